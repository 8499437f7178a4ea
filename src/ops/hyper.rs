//! The numbers that the host gives to every step: one [`Format::Flat`] input of
//! [`LEN`] values. What each place holds is said here, for the host and for the operations.

use crate::Result;
use crate::plan::{Builder, Format, Shape, TensorId};

/// Learning rate.
pub const LR: u32 = 0;
/// Weight of the information-bottleneck loss.
pub const IB_WEIGHT: u32 = 1;
/// Weight of the sparse object prior.
pub const SOP_WEIGHT: u32 = 2;
/// Largest norm of a group's gradient; 0 for no limit.
pub const CLIP_NORM: u32 = 3;
/// Scale of the noise in sampled locations.
pub const NOISE: u32 = 4;
/// The run's seed, a u32 bit pattern.
pub const SEED: u32 = 5;
/// The number of the step, a u32 bit pattern.
pub const STEP: u32 = 6;
/// What gradients are multiplied by before anything else: 1 / number of micro-batches.
pub const GRADIENT_SCALE: u32 = 7;
/// Whether each image's beta follows its estimate: 0 while the estimator warms up, 1 after.
pub const BETA_READY: u32 = 8;
/// Values; those from 9 on are free.
pub const LEN: u32 = 16;

/// Adds the tensor to a plan.
pub fn hyper_input(b: &mut Builder) -> TensorId {
    b.input("hyper", Shape::vector(LEN), Format::Flat, false)
}

/// Where a loss finds the weight of its gradient: a tensor and a place in it; a constant 1 where none is given.
pub(crate) fn weight_of(b: &mut Builder, scale: Option<(TensorId, u32)>) -> (TensorId, u32) {
    scale.unwrap_or_else(|| (b.constant("weight.one", Shape::vector(1), Format::Flat, vec![1f32.to_bits()]), 0))
}

/// Checks that a tensor is the one of [`hyper_input`].
pub(crate) fn expect_hyper(b: &Builder, label: &str, hyper: TensorId) -> Result<()> {
    super::check::expect_tensor(b, label, "hyper", hyper, Shape::vector(LEN), Format::Flat, false)
}
