//! Running one operation, forward and backward.

use std::sync::Arc;

use super::{TestDevice, compare};
use crate::plan::{Builder, Executor, Format, Mode, Plan, PlanLimits, Shape, TensorId};
use crate::rng::Counter;
use crate::{Error, Result};

/// An input of an [`OpCase`].
#[derive(Debug, Clone)]
pub struct TestInput {
    /// Its name.
    pub name: String,
    /// Its extents.
    pub shape: Shape,
    /// Its memory format.
    pub format: Format,
    /// Whether it follows the batch.
    pub sliced: bool,
    /// Whether its gradient is wanted.
    pub grad: bool,
    /// Values as N,C,H,W (weights O,I,KH,KW; dense formats as they are; integers as their bits).
    pub data: Vec<f32>,
}

impl TestInput {
    /// A float map of the batch whose gradient is wanted.
    pub fn map(name: &str, shape: Shape, data: Vec<f32>) -> Self {
        TestInput { name: name.to_string(), shape, format: Format::Map, sliced: true, grad: true, data }
    }
    /// Something that does not follow the batch (weights, vectors) whose gradient is wanted.
    pub fn param(name: &str, shape: Shape, format: Format, data: Vec<f32>) -> Self {
        TestInput { name: name.to_string(), shape, format, sliced: false, grad: true, data }
    }
    /// The same without a gradient.
    pub fn no_grad(self) -> Self {
        TestInput { grad: false, ..self }
    }
    /// Normal values from a name, scaled.
    pub fn random(shape: Shape, name: &str, scale: f32) -> Vec<f32> {
        let rng = Counter::named(7, name);
        (0..shape.len() as u32).map(|i| scale * rng.normal(i)).collect()
    }
}

/// Builds the operation on a builder: input tensors in, output tensors out.
pub type BuildOp<'a> = dyn Fn(&mut Builder, &[TensorId]) -> Result<Vec<TensorId>> + 'a;

/// An operation with inputs, and the upstream gradients of its outputs.
pub struct OpCase<'a> {
    /// For messages.
    pub name: String,
    /// Images in the batch.
    pub batch: u32,
    /// The inputs.
    pub inputs: Vec<TestInput>,
    /// Upstream gradient of each output, N,C,H,W. Empty: the operation is a loss, or no backward pass is wanted.
    pub upstream: Vec<Vec<f32>>,
    /// Whether to run the backward pass.
    pub backward: bool,
    /// The operation.
    pub build: Box<BuildOp<'a>>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Each output as N,C,H,W (integer formats as bits).
    pub outputs: Vec<Vec<f32>>,
    /// The gradient of each input, where wanted and reached.
    pub gradients: Vec<Option<Vec<f32>>>,
}

/// The tensors of a case's plan.
pub(super) struct Tensors {
    inputs: Vec<TensorId>,
    outputs: Vec<TensorId>,
    seeds: Vec<TensorId>,
    grads: Vec<Option<TensorId>>,
}

impl OpCase<'_> {
    /// Runs on a device with its own limits.
    pub fn run(&self, device: &TestDevice) -> Result<Outcome> {
        self.run_with(device, device.limits())
    }

    /// Runs on a device with plans built for `limits` (small ones force slices).
    pub fn run_with(&self, device: &TestDevice, limits: PlanLimits) -> Result<Outcome> {
        pollster::block_on(self.run_async(device, limits))
    }

    /// [`OpCase::run_with`] where nothing may block.
    pub async fn run_async(&self, device: &TestDevice, limits: PlanLimits) -> Result<Outcome> {
        let (plan, tensors) = self.planned(limits)?;
        let mut e = device.executor(Arc::new(plan))?;
        self.fill(&mut *e, &tensors)?;
        let all: Vec<usize> = (0..e.plan().steps.len()).collect();
        e.run_steps(&all)?;
        let wanted: Vec<TensorId> =
            tensors.outputs.iter().copied().chain(tensors.grads.iter().copied().flatten()).collect();
        let mut read = e.fetch_nchw(&wanted).await?.into_iter();
        let outputs = read.by_ref().take(tensors.outputs.len()).collect();
        Ok(Outcome { outputs, gradients: tensors.grads.iter().map(|g| g.and_then(|_| read.next())).collect() })
    }

    /// Writes inputs and upstream gradients.
    pub(super) fn fill(&self, e: &mut dyn Executor, tensors: &Tensors) -> Result<()> {
        for (t, i) in tensors.inputs.iter().zip(&self.inputs) {
            e.write_nchw(*t, &i.data)?;
        }
        for (t, g) in tensors.seeds.iter().zip(&self.upstream) {
            e.write_nchw(*t, g)?;
        }
        Ok(())
    }

    /// The plan of forward and backward pass for `limits`.
    pub fn plan(&self, limits: PlanLimits) -> Result<Plan> {
        Ok(self.planned(limits)?.0)
    }

    pub(super) fn planned(&self, limits: PlanLimits) -> Result<(Plan, Tensors)> {
        Builder::build(&self.name, Mode::Train, limits, self.batch, |b| {
            let mut inputs = Vec::new();
            for i in &self.inputs {
                let t = b.input(&i.name, i.shape, i.format, i.sliced);
                if i.grad && self.backward {
                    b.want_grad(t);
                }
                inputs.push(t);
            }
            let outputs = (self.build)(b, &inputs)?;
            for o in &outputs {
                b.keep(*o);
            }
            let (mut seeds, mut grads) = (Vec::new(), vec![None; inputs.len()]);
            if self.backward {
                b.segment("backward");
                if !self.upstream.is_empty() {
                    for (k, o) in outputs.iter().enumerate() {
                        let i = b.info(*o).clone();
                        let t = b.input(&format!("upstream{k}"), i.shape, i.format, i.sliced);
                        b.seed_gradient(*o, t);
                        seeds.push(t);
                    }
                }
                b.backward()?;
                for (k, t) in inputs.iter().enumerate() {
                    grads[k] = b.gradient(*t).filter(|_| self.inputs[k].grad);
                    if let Some(g) = grads[k] {
                        b.keep(g);
                    }
                }
            }
            b.segment("update");
            b.add_deferred()?;
            Ok(Tensors { inputs, outputs, seeds, grads })
        })
    }

    /// Runs on the twins, on `device`, and on both cut into slices of one image (where the batch has several): device
    /// and twins must agree within `tolerance`; slices must not change a bit on the same device. Returns the outcome of
    /// the twins and the largest error seen.
    pub fn check(&self, device: Option<&TestDevice>, tolerance: f64) -> Result<(Outcome, f64)> {
        pollster::block_on(self.check_async(device, tolerance))
    }

    /// [`OpCase::check`] where nothing may block.
    pub async fn check_async(&self, device: Option<&TestDevice>, tolerance: f64) -> Result<(Outcome, f64)> {
        let twin = self.run(&TestDevice::Cpu)?;
        let mut worst = 0f64;
        let cut = PlanLimits { max_binding: self.bytes_for_slices(), ..PlanLimits::HOST };
        if self.batch > 1 {
            self.same_bits(&self.run_cut(&TestDevice::Cpu, cut).await?, &twin, "twins in slices")?;
        }
        if let Some(d) = device {
            let got = self.run_async(d, d.limits()).await?;
            let pairs = got.outputs.iter().zip(&twin.outputs);
            let grads = got.gradients.iter().zip(&twin.gradients).filter_map(|(a, b)| Some((a.as_ref()?, b.as_ref()?)));
            for (k, (g, w)) in pairs.chain(grads).enumerate() {
                let diff = compare(g, w);
                worst = worst.max(diff.error);
                if diff.error > tolerance {
                    return Err(self.failed(&format!("array {k} differs from the twin's on {}: {diff:?}", d.name())));
                }
            }
            if self.batch > 1 {
                let cut = PlanLimits { max_binding: cut.max_binding, ..d.limits() };
                self.same_bits(&self.run_cut(d, cut).await?, &got, "device in slices")?;
            }
        }
        Ok((twin, worst))
    }

    /// [`OpCase::run_with`], where partial sums that do not follow the slices may need a larger binding than tiny inputs:
    /// the limit is doubled until the plan fits.
    async fn run_cut(&self, device: &TestDevice, mut limits: PlanLimits) -> Result<Outcome> {
        let most = device.limits().max_binding;
        loop {
            match self.run_async(device, limits).await {
                Err(Error::Limit { .. }) if limits.max_binding < most => limits.max_binding *= 2,
                outcome => return outcome,
            }
        }
    }

    /// A binding limit that cuts the batch at least in two without forbidding the largest unsliced input.
    fn bytes_for_slices(&self) -> u64 {
        let sliced = self.inputs.iter().filter(|i| i.sliced).map(|i| 4 * i.format.elements(i.shape)).max().unwrap_or(0);
        let whole = self.inputs.iter().filter(|i| !i.sliced).map(|i| 4 * i.format.elements(i.shape)).max().unwrap_or(0);
        (sliced - 1).max(whole).max(sliced / self.batch as u64).max(256)
    }

    fn same_bits(&self, got: &Outcome, want: &Outcome, what: &str) -> Result<()> {
        let arrays = |o: &Outcome| -> Vec<Vec<u32>> {
            let all = o.outputs.iter().chain(o.gradients.iter().flatten());
            all.map(|v| v.iter().map(|f| f.to_bits()).collect()).collect()
        };
        if arrays(got) != arrays(want) {
            return Err(self.failed(&format!("{what}: other bits than in one piece")));
        }
        Ok(())
    }

    /// Central differences of sum(output * upstream) (for losses: of the first output) on the twins, at up to `samples`
    /// elements of every input with a gradient, against the gradients. Errors are relative to the largest gradient of
    /// that input.
    pub fn finite_difference(&self, samples: usize, step: f32, tolerance: f64) -> Result<()> {
        let base = self.run(&TestDevice::Cpu)?;
        for (k, input) in self.inputs.iter().enumerate().filter(|(_, i)| i.grad) {
            let Some(gradient) = &base.gradients[k] else {
                return Err(self.failed(&format!("no gradient for {}", input.name)));
            };
            let scale = gradient.iter().fold(1e-6f64, |m, v| m.max(v.abs() as f64));
            let rng = Counter::named(11, &input.name);
            for s in 0..samples.min(input.data.len()) as u32 {
                let i =
                    if samples >= input.data.len() { s } else { rng.words(s)[0] % input.data.len() as u32 } as usize;
                let value = |delta: f32| -> Result<f64> {
                    let mut inputs = self.inputs.clone();
                    inputs[k].data[i] += delta;
                    let c = OpCase {
                        name: self.name.clone(),
                        batch: self.batch,
                        inputs,
                        upstream: Vec::new(),
                        backward: false,
                        build: Box::new(|b, t| (self.build)(b, t)),
                    };
                    let o = c.run(&TestDevice::Cpu)?;
                    Ok(match self.upstream.is_empty() {
                        true => o.outputs[0][0] as f64,
                        false => o
                            .outputs
                            .iter()
                            .zip(&self.upstream)
                            .flat_map(|(o, g)| o.iter().zip(g).map(|(a, b)| *a as f64 * *b as f64))
                            .sum(),
                    })
                };
                let numeric = (value(step)? - value(-step)?) / (2.0 * step as f64);
                let error = (numeric - gradient[i] as f64).abs() / scale;
                if error > tolerance {
                    return Err(self.failed(&format!(
                        "gradient of {}[{i}] is {}, finite differences say {numeric} (error {error:.2e})",
                        input.name, gradient[i]
                    )));
                }
            }
        }
        Ok(())
    }

    fn failed(&self, what: &str) -> Error {
        Error::shape(format!("case {}", self.name), "agreement", what)
    }
}
