//! Adam and SGD on the parameter slabs of a group.

use super::INDEX;
use super::gradient_norm::GradientNorm;
use super::hyper;
use crate::cpu::optimizer::{AdamDims, OptimizerAdvanceDims, SgdDims, adam, optimizer_advance, sgd};
use crate::plan::{Builder, Cost, Format, Kernel, Shape, TensorId, flat_groups};
use crate::{Error, Result, kernel};

/// Scalars of a step.
pub static ADVANCE: Kernel = kernel!(
    "optimizer_advance",
    [],
    OptimizerAdvanceDims,
    [read hyper: f32, read norm: f32, read gate: u32, update state: u32, update control: u32],
    [],
    optimizer_advance
);
/// Adam.
pub static ADAM: Kernel = kernel!(
    "adam",
    [INDEX],
    AdamDims,
    [read control: u32, read grads: f32, update params: f32, update m: f32, update v: f32],
    [],
    adam
);
/// SGD.
pub static SGD: Kernel = kernel!(
    "sgd",
    [INDEX],
    SgdDims,
    [read control: u32, read grads: f32, update params: f32, update u: f32],
    [],
    sgd
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&ADVANCE, &ADAM, &SGD];

/// Which update, with PyTorch's meaning and names of the constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimizer {
    /// `torch.optim.Adam`.
    Adam {
        /// Decay of the mean, usually 0.9.
        beta1: f64,
        /// Decay of the mean square, usually 0.999.
        beta2: f64,
        /// Added to the root, usually 1e-8.
        eps: f32,
        /// Times the parameter, added to the gradient.
        weight_decay: f32,
    },
    /// `torch.optim.SGD` without dampening, not Nesterov.
    Sgd {
        /// Usually 0.9.
        momentum: f32,
        /// Times the parameter, added to the gradient.
        weight_decay: f32,
    },
}

impl Optimizer {
    /// Adam with PyTorch's defaults and no weight decay.
    pub const ADAM: Optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
}

/// The tensors that an optimizer keeps between steps; all are [`Role::State`](crate::plan::Role::State), to be saved
/// in checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptimizerTensors {
    /// `adam.m.<group>.<k>` and `adam.v.<group>.<k>`, or `sgd.momentum.<group>.<k>`, for each slab k: element by
    /// element like `slab.<group>.<k>`.
    pub moments: Vec<TensorId>,
    /// `adam.step.<group>` or `sgd.step.<group>`, [`Format::FlatU32`] of 3 values: the updates that were applied, and
    /// the bits of 1 - beta1^t and 1 - beta2^t (0 for SGD).
    pub step: TensorId,
}

/// Adds the update of all parameters of `group`, with the learning rate `hyper[LR]` and the clip scale of `norm`. With
/// the gate of `norm` at 0 nothing changes: no parameter, no moment, no counter.
///
/// # Errors
/// [`Error::Config`] for constants out of range, [`Error::Shape`] when the plan has no gradients of that group.
pub fn add_optimizer(
    b: &mut Builder,
    group: &str,
    kind: Optimizer,
    hyper: TensorId,
    norm: &GradientNorm,
) -> Result<OptimizerTensors> {
    let (name, complements) = match kind {
        Optimizer::Adam { beta1, beta2, eps, weight_decay } => {
            let fine = (0.0..1.0).contains(&beta1) && (0.0..1.0).contains(&beta2) && eps > 0.0 && weight_decay >= 0.0;
            check(fine, "Adam", "beta1 and beta2 in [0, 1), eps above 0 and weight decay of at least 0")?;
            ("adam", [(1.0 - beta1) as f32, (1.0 - beta2) as f32])
        }
        Optimizer::Sgd { momentum, weight_decay } => {
            let fine = (0.0..1.0).contains(&momentum) && weight_decay >= 0.0;
            check(fine, "SGD", "momentum in [0, 1) and weight decay of at least 0")?;
            ("sgd", [0.0, 0.0])
        }
    };
    let label = format!("{name}.{group}");
    hyper::expect_hyper(b, &label, hyper)?;
    let step = b.state(&format!("{name}.step.{group}"), Shape::vector(3), Format::FlatU32, None);
    let control = b.scratch(&format!("{label}.control"), Shape::vector(4), Format::FlatU32);
    let d = OptimizerAdvanceDims { complement1: complements[0], complement2: complements[1], lr: hyper::LR };
    let views = [b.at(hyper, 0), b.at(norm.norm, 0), b.at(norm.gate, 0), b.at(step, 0), b.at(control, 0)];
    b.dispatch(&ADVANCE, &label, &d, &views, flat_groups(1, 64), Cost::default())?;

    let mut moments = Vec::new();
    for (k, slab) in b.close_group(group).into_iter().enumerate() {
        let Some(grads) = slab.grads else {
            return Err(Error::shape(label, "a training plan", "one without gradients"));
        };
        let shape = Shape::vector(slab.elements);
        let vectors = slab.elements / 4;
        let groups = flat_groups(vectors as u64, 64);
        let mut views = vec![b.at(control, 0), b.at(grads, 0), b.at(slab.params, 0)];
        let mut moment = |b: &mut Builder, what: &str| {
            let t = b.state(&format!("{name}.{what}.{group}.{k}"), shape, Format::Flat, None);
            moments.push(t);
            b.at(t, 0)
        };
        match kind {
            Optimizer::Adam { beta2, eps, weight_decay, .. } => {
                views.extend([moment(b, "m"), moment(b, "v")]);
                let d = AdamDims {
                    vectors,
                    complement1: complements[0],
                    beta2: beta2 as f32,
                    complement2: complements[1],
                    eps,
                    decay: weight_decay,
                };
                b.dispatch(&ADAM, &label, &d, &views, groups, Cost::default())?;
            }
            Optimizer::Sgd { momentum, weight_decay } => {
                views.push(moment(b, "momentum"));
                let d = SgdDims { vectors, momentum, decay: weight_decay };
                b.dispatch(&SGD, &label, &d, &views, groups, Cost::default())?;
            }
        }
    }
    Ok(OptimizerTensors { moments, step })
}

fn check(fine: bool, name: &str, expected: &str) -> Result<()> {
    if fine {
        return Ok(());
    }
    Err(Error::config(
        "optimizer",
        format!("{name} needs {expected}"),
        "Correct the values; PyTorch's defaults are 0.9, 0.999 and 1e-8.",
    ))
}
