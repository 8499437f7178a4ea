//! From a conformance case to the operation of this crate that it is about: one [`Adapter`] a file here. Each also
//! brings a grid of cases of its own for `autobidet selftest`.

mod batch_norm2d;
mod boxes;
mod optimizer;
mod relu;

use super::cases::{CaseFile, Values};
use super::{OpCase, Outcome, TestDevice, TestInput};
use crate::plan::{Builder, Format, Op, Shape, TensorId};
use crate::{Error, Result};

/// Arrays by their names in case files, e.g. `out.y`.
pub type Named = Vec<(String, Values)>;

/// A computation that runs on a device or on the twins.
pub type OnDevice = Box<dyn Fn(&TestDevice) -> Result<Named>>;

/// A case, ready to run.
pub enum Prepared {
    /// On any device.
    Device(OnDevice),
    /// Computed by the host alone; the results.
    Host(Named),
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
pub static ADAPTERS: &[&Adapter] = &[&batch_norm2d::ADAPTER, &boxes::ADAPTER, &optimizer::ADAPTER, &relu::ADAPTER];

/// Operations of the case files that this crate does not have: two-stage detectors and quantization to more than one
/// bit are no part of it. Their cases are reported and not counted.
pub static LATER: &[&str] = &["roi_align", "ps_roi_pool", "dorefa_weight", "dorefa_activation", "twn_weight"];

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

    /// A map N,C,H,W of the batch.
    fn map(self, names: Planes) -> Result<Self> {
        let name = format!("in.{}", names[0]);
        let (shape, data) = (self.file.nchw(&name)?, self.file.floats(&name)?.to_vec());
        Ok(self.push(names, TestInput::map(names[0], shape, data)))
    }

    /// Something dense of the batch: (N, rows, values) or (N, values).
    fn flat(self, names: Planes) -> Result<Self> {
        let name = format!("in.{}", names[0]);
        let dims = &self.file.tensor(&name)?.shape;
        let shape = match dims.len() {
            3 => {
                let [n, rows, values] = self.file.extents(&name)?;
                Shape::new(n, 1, rows, values)
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
        let names = self.names;
        Ok(Prepared::Device(Box::new(move |device| Ok(named(&case.run(device)?, outputs, &names)))))
    }
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
