//! Run any WGSL kernel against a Rust twin, over a grid of cases, on any adapter.
//!
//! The kernel need not be one of this crate: a [`KernelTest`] is a text, a twin, and [`KernelCase`]s that say what is
//! bound under which variable name. Group and binding numbers are read from the shader.
//! `examples/test_your_kernel.rs` shows it at work.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use super::compare;
use super::reflect::{ResourceKind, Shader};
use crate::cpu::{Buffer, TwinCall};
use crate::gpu::{Gpu, Once, OnceBuffer, OnceKind};
use crate::plan::{Elem, Kernel};
use crate::{Error, Result};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for u32 {}
    impl Sealed for i32 {}
}

/// An element of a storage buffer: `f32`, `u32` or `i32`.
pub trait Value: bytemuck::Pod + sealed::Sealed {
    /// Its type.
    const ELEM: Elem;
}
impl Value for f32 {
    const ELEM: Elem = Elem::F32;
}
impl Value for u32 {
    const ELEM: Elem = Elem::U32;
}
impl Value for i32 {
    const ELEM: Elem = Elem::I32;
}

#[derive(Debug, Clone)]
struct Bound {
    name: String,
    kind: OnceKind,
    elem: Elem,
    words: Vec<u32>,
    expected: Option<Vec<u32>>,
}

/// One point of the grid: contents of all buffers, constants, and how many workgroups run.
#[derive(Debug, Clone)]
pub struct KernelCase {
    name: String,
    bound: Vec<Bound>,
    constants: Vec<(String, f64)>,
    groups: [u32; 3],
}

impl KernelCase {
    /// A case with nothing bound and one workgroup.
    pub fn new(name: impl Into<String>) -> Self {
        KernelCase { name: name.into(), bound: Vec::new(), constants: Vec::new(), groups: [1, 1, 1] }
    }

    fn bind(mut self, name: &str, kind: OnceKind, elem: Elem, bytes: &[u8]) -> Self {
        let words = bytes.chunks(4).map(|c| c.iter().rev().fold(0, |w, b| w << 8 | *b as u32)).collect();
        self.bound.push(Bound { name: name.to_string(), kind, elem, words, expected: None });
        self
    }

    /// The contents of the `var<uniform>` of that name.
    pub fn uniform<T: bytemuck::NoUninit>(self, name: &str, value: &T) -> Self {
        self.bind(name, OnceKind::Uniform, Elem::U32, bytemuck::bytes_of(value))
    }

    /// The contents of the `var<storage, read>` of that name.
    pub fn input<T: Value>(self, name: &str, values: &[T]) -> Self {
        self.bind(name, OnceKind::Read, T::ELEM, bytemuck::cast_slice(values))
    }

    /// The first contents of the `var<storage, read_write>` of that name; compared afterwards.
    pub fn update<T: Value>(self, name: &str, values: &[T]) -> Self {
        self.bind(name, OnceKind::ReadWrite, T::ELEM, bytemuck::cast_slice(values))
    }

    /// A `var<storage, read_write>` of that name with `len` zeros; compared afterwards.
    pub fn output<T: Value>(self, name: &str, len: usize) -> Self {
        self.update(name, &vec![T::zeroed(); len])
    }

    /// Values known from elsewhere that the twin itself must produce in that output.
    pub fn expect<T: Value>(mut self, name: &str, values: &[T]) -> Self {
        if let Some(b) = self.bound.iter_mut().find(|b| b.name == name) {
            b.expected = Some(bytemuck::cast_slice(values).to_vec());
        }
        self
    }

    /// The value of an `override` constant.
    pub fn constant(mut self, name: &str, value: f64) -> Self {
        self.constants.push((name.to_string(), value));
        self
    }

    /// How many workgroups run in x, y and z.
    pub fn groups(mut self, groups: [u32; 3]) -> Self {
        self.groups = groups;
        self
    }
}

enum Item<'a> {
    Read(&'a [u32]),
    Write(&'a mut [u32]),
}

/// What a twin works on, by the names in the shader.
pub struct TwinArgs<'a> {
    items: Vec<(&'a str, Elem, OnceKind, Option<Item<'a>>)>,
}

impl<'a> TwinArgs<'a> {
    fn new(bound: &'a [Bound], outputs: &'a mut [Vec<u32>]) -> Self {
        let mut outputs = outputs.iter_mut();
        let items = bound
            .iter()
            .map(|b| {
                let item = match b.kind {
                    OnceKind::ReadWrite => outputs.next().map(|o| Item::Write(o)),
                    _ => Some(Item::Read(&b.words)),
                };
                (b.name.as_str(), b.elem, b.kind, item)
            })
            .collect();
        TwinArgs { items }
    }

    fn take(&mut self, name: &str, kind: OnceKind, elem: Option<Elem>) -> Result<Item<'a>> {
        let found = self.items.iter_mut().find(|i| i.0 == name && i.2 == kind && elem.is_none_or(|e| e == i.1));
        let item = found.and_then(|i| match &mut i.3 {
            Some(Item::Read(words)) => Some(Item::Read(words)),
            other => other.take(),
        });
        item.ok_or_else(|| {
            let have: Vec<_> = self.items.iter().map(|i| (i.0, i.1, i.2)).collect();
            Error::shape("twin", format!("one of {have:?}, outputs once each"), format!("{name} {elem:?} {kind:?}"))
        })
    }

    /// The uniform of that name.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is none, or `T` has another size.
    pub fn uniform<T: bytemuck::AnyBitPattern>(&mut self, name: &str) -> Result<T> {
        match self.take(name, OnceKind::Uniform, None)? {
            Item::Read(words) if words.len() * 4 == size_of::<T>() => {
                Ok(bytemuck::pod_read_unaligned(bytemuck::cast_slice(words)))
            }
            _ => Err(Error::shape(format!("twin: {name}"), "the uniform's size", format!("{} bytes", size_of::<T>()))),
        }
    }

    /// The input of that name and element type.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is none.
    pub fn input<T: Value>(&mut self, name: &str) -> Result<&'a [T]> {
        match self.take(name, OnceKind::Read, Some(T::ELEM))? {
            Item::Read(words) => Ok(bytemuck::cast_slice(words)),
            Item::Write(words) => Ok(bytemuck::cast_slice(words)),
        }
    }

    /// The output of that name and element type, with its first contents; once.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is none, or it has been taken.
    pub fn output<T: Value>(&mut self, name: &str) -> Result<&'a mut [T]> {
        match self.take(name, OnceKind::ReadWrite, Some(T::ELEM))? {
            Item::Write(words) => Ok(bytemuck::cast_slice_mut(words)),
            Item::Read(_) => Ok(&mut []),
        }
    }
}

/// A failure that is known and explained. When such a case passes, that is reported as a failure: the entry is old.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExpectedFailure {
    /// Part of the adapter's name, letter case ignored; empty: all.
    pub adapter_contains: String,
    /// Part of the driver's name and version, letter case ignored; empty: all.
    pub driver_contains: String,
    /// Part of the case's name; empty: all.
    pub case_contains: String,
    /// Why it fails, with a link where there is one.
    pub reason: String,
}

impl ExpectedFailure {
    fn covers(&self, gpu: &Gpu, case: &str) -> bool {
        let i = gpu.info();
        let driver = format!("{} {}", i.driver, i.driver_info).to_lowercase();
        i.name.to_lowercase().contains(&self.adapter_contains.to_lowercase())
            && driver.contains(&self.driver_contains.to_lowercase())
            && case.contains(&self.case_contains)
    }
}

type TwinFn<'t> = dyn Fn(&mut TwinArgs<'_>) -> Result<()> + 't;

enum Twin<'t> {
    Missing,
    Function(Box<TwinFn<'t>>),
    Row(&'static Kernel),
}

/// A kernel, its twin, and the grid of cases.
pub struct KernelTest<'t> {
    name: String,
    source: String,
    twin: Twin<'t>,
    tolerance: f64,
    cases: Vec<KernelCase>,
    expected_failures: Vec<ExpectedFailure>,
}

/// How one case went on one device.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Within the tolerance; the largest error (see [`compare`]) of any float output.
    Passed(f64),
    /// What was wrong.
    Failed(String),
    /// Failed, as [`ExpectedFailure`] says, for this reason.
    FailedAsExpected(String),
}

/// A line of a [`KernelReport`].
#[derive(Debug, Clone, PartialEq)]
pub struct KernelRow {
    /// The case.
    pub case: String,
    /// The adapter, or `twin`.
    pub device: String,
    /// How it went.
    pub verdict: Verdict,
    /// Milliseconds, compilation and copies included.
    pub ms: f64,
}

/// All results of a [`KernelTest`].
#[derive(Debug, Clone, PartialEq)]
pub struct KernelReport {
    /// The kernel.
    pub kernel: String,
    /// One row a case and device, twin first.
    pub rows: Vec<KernelRow>,
}

impl<'t> KernelTest<'t> {
    /// A kernel from its WGSL text. Its entry point is `main`.
    pub fn new(name: impl Into<String>, wgsl: impl Into<String>) -> Self {
        KernelTest {
            name: name.into(),
            source: wgsl.into(),
            twin: Twin::Missing,
            tolerance: 0.0,
            cases: Vec::new(),
            expected_failures: Vec::new(),
        }
    }

    /// A kernel of this crate's table with its own twin.
    pub fn of(kernel: &'static Kernel) -> Self {
        KernelTest { twin: Twin::Row(kernel), ..KernelTest::new(kernel.name, kernel.text()) }
    }

    /// The same computation in Rust.
    pub fn twin(mut self, twin: impl Fn(&mut TwinArgs<'_>) -> Result<()> + 't) -> Self {
        self.twin = Twin::Function(Box::new(twin));
        self
    }

    /// The largest error allowed of float outputs, relative to the largest value of the output; 0 (exact) by default.
    /// Integers are always compared exactly.
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Adds cases.
    pub fn cases(mut self, cases: impl IntoIterator<Item = KernelCase>) -> Self {
        self.cases.extend(cases);
        self
    }

    /// Adds a known failure.
    pub fn expect_failure(mut self, failure: ExpectedFailure) -> Self {
        self.expected_failures.push(failure);
        self
    }

    /// Runs every case on the twin and on every adapter.
    ///
    /// # Errors
    /// [`Error::Shader`] or [`Error::Shape`] when the test itself is wrong: the text is no valid WGSL, a variable is
    /// not bound or bound as something else, there is no twin or no case. What a device does wrong is in the report.
    pub fn run(&self, adapters: &[Arc<Gpu>]) -> Result<KernelReport> {
        if self.cases.is_empty() {
            return Err(Error::shape(&self.name, "at least one case", "none"));
        }
        let shader = Shader::parse(&self.name, &self.source)?;
        let Some(entry) = shader.module.entry_points.iter().position(|e| e.name == "main") else {
            return Err(Error::shape(&self.name, "an entry point `main`", "none of that name"));
        };
        let resources = shader.resources(entry)?;
        let mut rows = Vec::new();
        for case in &self.cases {
            let label = format!("{}, {}", self.name, case.name);
            let mut buffers = Vec::new();
            for r in &resources {
                let kind = match r.kind {
                    ResourceKind::Uniform => OnceKind::Uniform,
                    ResourceKind::StorageRead => OnceKind::Read,
                    ResourceKind::StorageReadWrite => OnceKind::ReadWrite,
                };
                match case.bound.iter().find(|b| b.name == r.name) {
                    Some(b) if b.kind == kind => {}
                    Some(b) => {
                        let got = format!("{:?}", b.kind);
                        return Err(Error::shape(&label, format!("{} bound as {kind:?}", r.name), got));
                    }
                    None => return Err(Error::shape(&label, format!("{kind:?} {} to be bound", r.name), "nothing")),
                }
            }
            for b in &case.bound {
                let Some(r) = resources.iter().find(|r| r.name == b.name) else {
                    return Err(Error::shape(&label, "variables of the shader", b.name.clone()));
                };
                let bytes = bytemuck::cast_slice(&b.words);
                buffers.push(OnceBuffer { group: r.group, binding: r.binding, kind: b.kind, bytes });
            }
            let begin = Instant::now();
            let want = self.run_twin(case, &label)?;
            // Outputs of which nothing is known from elsewhere are compared with themselves.
            let expected = outputs(case).zip(&want).map(|(b, w)| b.expected.as_ref().unwrap_or(w));
            let verdict = self.judge(case, want.iter().zip(expected));
            let ms = begin.elapsed().as_secs_f64() * 1e3;
            rows.push(KernelRow { case: case.name.clone(), device: "twin".to_string(), verdict, ms });
            for gpu in adapters {
                let begin = Instant::now();
                let constants: Vec<_> = case.constants.iter().map(|(n, v)| (n.as_str(), *v)).collect();
                let got = gpu.run_once(&Once {
                    label: &label,
                    source: &self.source,
                    entry_point: "main",
                    constants: &constants,
                    buffers: &buffers,
                    groups: case.groups,
                });
                let verdict = match got {
                    Err(e) => Verdict::Failed(e.to_string()),
                    Ok(got) => {
                        let got: Vec<Vec<u32>> =
                            got.iter().map(|g| g.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect()).collect();
                        self.judge(case, got.iter().zip(&want))
                    }
                };
                let known = self.expected_failures.iter().find(|f| f.covers(gpu, &case.name));
                let verdict = match (verdict, known) {
                    (Verdict::Failed(_), Some(f)) => Verdict::FailedAsExpected(f.reason.clone()),
                    (Verdict::Passed(_), Some(f)) => {
                        Verdict::Failed(format!("passes, but was expected to fail: {}; remove the entry", f.reason))
                    }
                    (v, _) => v,
                };
                let ms = begin.elapsed().as_secs_f64() * 1e3;
                rows.push(KernelRow { case: case.name.clone(), device: gpu.name(), verdict, ms });
            }
        }
        Ok(KernelReport { kernel: self.name.clone(), rows })
    }

    fn run_twin(&self, case: &KernelCase, label: &str) -> Result<Vec<Vec<u32>>> {
        let mut out: Vec<Vec<u32>> = outputs(case).map(|b| b.words.clone()).collect();
        let mut args = TwinArgs::new(&case.bound, &mut out);
        match &self.twin {
            Twin::Missing => return Err(Error::shape(label, "a twin (KernelTest::twin)", "none")),
            Twin::Function(f) => f(&mut args)?,
            Twin::Row(kernel) => {
                let Item::Read(dims) = args.take("dims", OnceKind::Uniform, None)? else {
                    return Err(Error::shape(label, "a uniform `dims`", "a buffer"));
                };
                if dims.len() * 4 != kernel.dims.size {
                    let (want, got) = (kernel.dims.size, dims.len() * 4);
                    return Err(Error::shape(label, format!("dims of {want} bytes"), got.to_string()));
                }
                let mut buffers = Vec::new();
                for b in kernel.bindings {
                    let kind = if b.access == crate::plan::Access::Read { OnceKind::Read } else { OnceKind::ReadWrite };
                    buffers.push(match args.take(b.name, kind, Some(b.elem))? {
                        Item::Read(w) => Buffer::Read(w),
                        Item::Write(w) => Buffer::Write(w),
                    });
                }
                (kernel.twin)(&mut TwinCall::new(bytemuck::cast_slice(dims), buffers));
            }
        }
        Ok(out)
    }

    /// Compares the outputs: what came out and what should have, in the case's order.
    fn judge<'a>(&self, case: &KernelCase, pairs: impl Iterator<Item = (&'a Vec<u32>, &'a Vec<u32>)>) -> Verdict {
        let mut worst = 0f64;
        for (bound, (got, want)) in outputs(case).zip(pairs) {
            if got.len() != want.len() {
                return Verdict::Failed(format!("{}: {} values, expected {}", bound.name, got.len(), want.len()));
            }
            let wrong = match bound.elem {
                Elem::F32 => {
                    let d = compare(bytemuck::cast_slice(got), bytemuck::cast_slice(want));
                    worst = worst.max(d.error);
                    (d.error > self.tolerance).then(|| {
                        let (got, want) = (d.got, d.want);
                        format!("[{}] is {got}, expected {want} (error {:.2e})", d.index, d.error)
                    })
                }
                Elem::U32 => got.iter().zip(want).position(|(g, w)| g != w).map(|i| differs(i, &got[i], &want[i])),
                Elem::I32 => got
                    .iter()
                    .zip(want)
                    .position(|(g, w)| g != w)
                    .map(|i| differs(i, &(got[i] as i32), &(want[i] as i32))),
            };
            if let Some(w) = wrong {
                return Verdict::Failed(bound.name.clone() + &w);
            }
        }
        Verdict::Passed(worst)
    }
}

fn differs(i: usize, got: &dyn std::fmt::Display, want: &dyn std::fmt::Display) -> String {
    format!("[{i}] is {got}, expected {want}")
}

fn outputs(case: &KernelCase) -> impl Iterator<Item = &Bound> {
    case.bound.iter().filter(|b| b.kind == OnceKind::ReadWrite)
}

impl KernelReport {
    /// Rows that failed against expectation.
    pub fn failures(&self) -> impl Iterator<Item = &KernelRow> {
        self.rows.iter().filter(|r| matches!(r.verdict, Verdict::Failed(_)))
    }

    /// An error that names every failure.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is a failure.
    pub fn check(&self) -> Result<()> {
        let lines: Vec<String> = self
            .failures()
            .map(|r| match &r.verdict {
                Verdict::Failed(why) => format!("{} on {}: {why}", r.case, r.device),
                _ => String::new(),
            })
            .collect();
        if lines.is_empty() {
            return Ok(());
        }
        Err(Error::shape(format!("kernel {}", self.kernel), "agreement with the twin", lines.join("\n  ")))
    }

    /// The results as a Markdown table.
    pub fn markdown(&self) -> String {
        let mut out = format!("| {} | device | result | ms |\n|---|---|---|---|\n", self.kernel);
        for r in &self.rows {
            let result = match &r.verdict {
                Verdict::Passed(0.0) => "passed, exact".to_string(),
                Verdict::Passed(e) => format!("passed, error {e:.1e}"),
                Verdict::Failed(why) => format!("**failed**: {}", why.replace('|', "\\|").replace('\n', " ")),
                Verdict::FailedAsExpected(why) => format!("failed as expected: {why}"),
            };
            let _ = writeln!(out, "| {} | {} | {result} | {:.1} |", r.case, r.device, r.ms);
        }
        out
    }
}
