//! From a conformance case to the operation of this crate that it is about: one [`Adapter`] a file here. Each also
//! brings a grid of cases of its own for `autobidet selftest`.

mod activation;
mod batch_norm2d;
mod binary_conv2d;
mod boxes;
mod channel_weight;
mod conv2d;
mod inside;
mod integers;
mod loss;
mod multibox_loss;
mod optimizer;
mod pool;
mod quantize;
mod rearrange;
mod relu;
mod softmax;

use super::cases::{CaseFile, Values};
use super::{OpCase, Outcome, TestDevice, TestInput};
use crate::plan::{Builder, Format, Op, PlanLimits, Shape, TensorId};
use crate::{Error, Result};

/// Arrays by their names in case files, e.g. `out.y`.
pub type Named = Vec<(String, Values)>;

/// A computation that runs on a device or on the twins.
pub type OnDevice = Box<dyn Fn(&TestDevice) -> Result<Named>>;

/// A case, ready to run.
#[derive(Default)]
pub struct Prepared {
    /// What plain Rust on the host computes, where there is such a path.
    pub host: Option<Named>,
    /// What runs on devices and on the twins.
    pub device: Option<OnDevice>,
}

impl Prepared {
    /// Computed by the host alone.
    fn host(named: Named) -> Self {
        Prepared { host: Some(named), device: None }
    }

    /// Computed on any device.
    fn device(run: impl Fn(&TestDevice) -> Result<Named> + 'static) -> Self {
        Prepared { host: None, device: Some(Box::new(run)) }
    }
}

/// A case of this crate's own: device against twins, and gradients against finite differences.
pub struct Own {
    /// The operation.
    pub op: &'static str,
    /// What runs.
    pub case: OpCase<'static>,
    /// The largest error allowed between device and twins.
    pub tolerance: f64,
    /// Finite differences on the twins: samples an input, step, tolerance. `None` where the gradient is by definition
    /// not the derivative (estimators), or there is none.
    pub differences: Option<(usize, f32, f64)>,
}

/// One or several operations of case files.
pub struct Adapter {
    /// Their names.
    pub ops: &'static [&'static str],
    /// Turns a case into something to run.
    pub prepare: fn(&CaseFile) -> Result<Prepared>,
    /// The crate's own cases.
    pub own: fn() -> Vec<Own>,
}

/// Every adapter.
#[rustfmt::skip]
pub static ADAPTERS: &[&Adapter] = &[
    &activation::ADAPTER,
    &batch_norm2d::ADAPTER,
    &binary_conv2d::ADAPTER,
    &boxes::ADAPTER,
    &channel_weight::ADAPTER,
    &conv2d::ADAPTER,
    &inside::ADAPTER,
    &integers::ADAPTER,
    &loss::ADAPTER,
    &multibox_loss::ADAPTER,
    &optimizer::ADAPTER,
    &pool::ADAPTER,
    &quantize::ADAPTER,
    &rearrange::ADAPTER,
    &relu::ADAPTER,
    &softmax::ADAPTER,
];

/// Operations of the case files that this crate does not have: two-stage detectors are no part of it. Their cases are
/// reported and not counted.
pub static LATER: &[&str] = &["roi_align", "ps_roi_pool"];

/// The adapter of an operation.
pub fn adapter(op: &str) -> Option<&'static Adapter> {
    ADAPTERS.iter().copied().find(|a| a.ops.contains(&op))
}

/// The file names of the planes that an array is made of: one for a plain array, several where vectors are the planes
/// of one tensor, none where it is not compared.
type Planes = &'static [&'static str];

/// Collects the inputs of an operation from a case.
struct Inputs<'c> {
    file: &'c CaseFile,
    list: Vec<TestInput>,
    names: Vec<Planes>,
    batch: u32,
}

impl<'c> Inputs<'c> {
    /// Inputs of a case whose batch is the first extent of `in.<batch_of>`.
    fn new(file: &'c CaseFile, batch_of: &str) -> Result<Self> {
        let extent = file.tensor(&format!("in.{batch_of}"))?.shape.first().copied().unwrap_or(0);
        let batch = u32::try_from(extent).ok().filter(|n| (1..=65_535).contains(n));
        let Some(batch) = batch else {
            return Err(Error::format(&file.path, format!("in.{batch_of} has {extent} images"), "Expected 1 to 65535"));
        };
        Ok(Inputs { file, list: Vec::new(), names: Vec::new(), batch })
    }

    fn push(mut self, names: Planes, input: TestInput) -> Self {
        let grad = names.iter().any(|n| self.file.has(&format!("gin.{n}")));
        self.list.push(TestInput { grad, ..input });
        self.names.push(names);
        self
    }

    /// A map of the batch, N,C,H,W or N,C.
    fn map(self, names: Planes) -> Result<Self> {
        let name = format!("in.{}", names[0]);
        let shape = match self.file.tensor(&name)?.shape.len() {
            2 => {
                let [n, c] = self.file.extents(&name)?;
                Shape::new(n, 1, 1, c)
            }
            _ => self.file.nchw(&name)?,
        };
        let data = self.file.floats(&name)?.to_vec();
        Ok(self.push(names, TestInput::map(names[0], shape, data)))
    }

    /// Something dense of the batch: (N, values), (N, rows, values), or four extents.
    fn flat(self, names: Planes) -> Result<Self> {
        let name = format!("in.{}", names[0]);
        let dims = &self.file.tensor(&name)?.shape;
        let shape = match dims.len() {
            3 => {
                let [n, rows, values] = self.file.extents(&name)?;
                Shape::new(n, 1, rows, values)
            }
            4 => {
                let [n, h, w, c] = self.file.extents(&name)?;
                Shape::new(n, h, w, c)
            }
            _ => {
                let [n, values] = self.file.extents(&name)?;
                Shape::new(n, 1, 1, values)
            }
        };
        let data = self.file.floats(&name)?.to_vec();
        let input = TestInput { format: Format::Flat, ..TestInput::map(names[0], shape, data) };
        Ok(self.push(names, input))
    }

    /// Convolution weights O,I,KH,KW, or linear weights O,I.
    fn weight(self, names: Planes) -> Result<Self> {
        let name = format!("in.{}", names[0]);
        let shape = match self.file.tensor(&name)?.shape.len() {
            2 => {
                let [o, i] = self.file.extents(&name)?;
                Shape::new(1, 1, i, o)
            }
            _ => {
                let [o, i, kh, kw] = self.file.extents(&name)?;
                Shape::new(kh, kw, i, o)
            }
        };
        let data = self.file.floats(&name)?.to_vec();
        Ok(self.push(names, TestInput::param(names[0], shape, Format::Weight, data)))
    }

    /// Vectors a channel, as planes of one tensor.
    fn planes(self, names: Planes) -> Result<Self> {
        let vectors: Vec<&[f32]> = names.iter().map(|n| self.file.floats(&format!("in.{n}"))).collect::<Result<_>>()?;
        let [c] = self.file.extents(&format!("in.{}", names[0]))?;
        let mut data = Vec::new();
        for k in 0..c as usize {
            for (v, n) in vectors.iter().zip(names) {
                let value = v.get(k).copied().filter(|_| v.len() == c as usize);
                data.push(value.ok_or_else(|| {
                    Error::format(&self.file.path, format!("in.{n} has {} values", v.len()), format!("Expected {c}"))
                })?);
            }
        }
        let shape = Shape::new(1, 1, names.len() as u32, c);
        Ok(self.push(names, TestInput::param(names[0], shape, Format::Map, data)))
    }

    /// Objects from `in.targets` (N, M, 5): corners and class, padded with -1, as boxes, labels and counts.
    fn objects(mut self) -> Result<Self> {
        let [n, m, five] = self.file.extents("in.targets")?;
        let rows = self.file.floats("in.targets")?;
        if five != 5 {
            return Err(Error::format(&self.file.path, format!("in.targets has {five} values a row"), "Expected 5"));
        }
        let row = |w, c| Shape::new(n, 1, w, c);
        let boxes = rows.chunks_exact(5).flat_map(|r| r[..4].to_vec()).collect();
        let labels: Vec<i32> = rows.chunks_exact(5).map(|r| r[4] as i32).collect();
        let counts = labels.chunks_exact(m as usize).map(|l| l.iter().filter(|l| **l >= 0).count() as i32);
        let counts = dense("counts", row(1, 1), Format::FlatU32, true, bits(counts));
        self.list.push(dense("boxes", row(m, 4), Format::Flat, true, boxes));
        self.list.push(dense("labels", row(m, 1), Format::FlatI32, true, bits(labels)));
        self.list.push(counts);
        self.names.extend([&[] as Planes; 3]);
        Ok(self)
    }

    /// `in.priors` (P, 4), shared by the images.
    fn priors(mut self) -> Result<Self> {
        let rows = self.file.rows::<4>("in.priors")?;
        let shape = Shape::new(1, 1, rows.len() as u32, 4);
        self.list.push(dense("priors", shape, Format::Flat, false, rows.into_iter().flatten().collect()));
        self.names.push(&[]);
        Ok(self)
    }

    /// The case: `outputs` names what `build` returns, in order.
    fn run(
        self,
        outputs: &'static [Planes],
        build: impl Fn(&mut Builder, &[TensorId]) -> Result<Vec<TensorId>> + 'static,
    ) -> Result<Prepared> {
        let mut upstream = Vec::new();
        for names in outputs {
            let name = format!("gout.{}", names.first().copied().unwrap_or_default());
            if self.file.has(&name) {
                upstream.push(self.file.floats(&name)?.to_vec());
            }
        }
        let grads = self.list.iter().any(|i| i.grad);
        let case = OpCase {
            name: self.file.name.clone(),
            batch: self.batch,
            inputs: self.list,
            upstream,
            backward: grads,
            build: Box::new(build),
        };
        check_size(self.file, &case)?;
        let names = self.names;
        Ok(Prepared::device(move |device| Ok(named(&case.run(device)?, outputs, &names))))
    }
}

/// Refuses attributes that would make much out of little, such as an upsampling by 60,000.
fn check_size(file: &CaseFile, case: &OpCase<'_>) -> Result<()> {
    let given: u64 = file.tensors.values().map(|t| 4 * t.values.len() as u64).sum();
    let (need, have) = (case.plan(PlanLimits::HOST)?.memory.bytes(), (256 << 20) + 64 * given);
    if need > have {
        return Err(Error::Limit {
            what: format!("case {}", file.path.display()),
            need: format!("{need} bytes"),
            limit: format!("the most for a case of {given} bytes"),
            have: have.to_string(),
            remedy: "Check its attributes.".to_string(),
        });
    }
    Ok(())
}

/// A dense input without a gradient.
fn dense(name: &str, shape: Shape, format: Format, sliced: bool, data: Vec<f32>) -> TestInput {
    TestInput { name: name.to_string(), shape, format, sliced, grad: false, data }
}

/// Integers as the bits of floats, as integer tensors take them.
fn bits(values: impl IntoIterator<Item = i32>) -> Vec<f32> {
    values.into_iter().map(|v| f32::from_bits(v as u32)).collect()
}

/// The integers of an integer tensor's bits.
fn integers(values: &[f32]) -> Vec<i32> {
    values.iter().map(|v| v.to_bits() as i32).collect()
}

fn named(outcome: &Outcome, outputs: &[Planes], inputs: &[Planes]) -> Named {
    let mut out = Vec::new();
    let mut add = |prefix: &str, names: Planes, data: &[f32]| {
        for (p, name) in names.iter().enumerate() {
            let plane = data.iter().skip(p).step_by(names.len()).copied().collect();
            out.push((format!("{prefix}.{name}"), Values::F32(plane)));
        }
    };
    outputs.iter().zip(&outcome.outputs).for_each(|(names, data)| add("out", names, data));
    for (names, data) in inputs.iter().zip(&outcome.gradients) {
        if let Some(data) = data {
            add("gin", names, data);
        }
    }
    out
}

/// An operation from one map `x` to one map `y`.
fn unary(file: &CaseFile, op: impl Op + Copy + 'static) -> Result<Prepared> {
    Inputs::new(file, "x")?.map(&["x"])?.run(&[&["y"]], move |b, t| b.apply(op, "op", t))
}

/// Shapes that find most mistakes of index arithmetic: one value, odd channels, several images, more than a workgroup.
const SHAPES: [Shape; 4] =
    [Shape::new(1, 1, 1, 1), Shape::new(2, 3, 5, 3), Shape::new(3, 4, 4, 33), Shape::new(1, 23, 19, 64)];

/// Own cases of an operation from one map to one map, over the usual shapes.
fn own_unary(op_name: &'static str, op: impl Op + Copy + 'static, tolerance: f64, step: f32) -> Vec<Own> {
    let case = |shape: Shape| {
        let build = move |b: &mut Builder, t: &[TensorId]| b.apply(op, "op", t);
        let name = format!("{op_name} {shape}");
        OpCase {
            batch: shape.n,
            inputs: vec![TestInput::map("x", shape, TestInput::random(shape, &name, 1.0))],
            upstream: vec![TestInput::random(shape, "upstream", 1.0)],
            backward: true,
            build: Box::new(build),
            name,
        }
    };
    let own = |s| Own { op: op_name, case: case(s), tolerance, differences: Some((5, step, 1e-2)) };
    SHAPES.map(own).into_iter().collect()
}
