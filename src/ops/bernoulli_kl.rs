//! The compression term of the information-bottleneck objective for binary maps: the divergence of their sign bits from
//! fair coins.

use super::feature_l2::MapMean;
use super::{BERNOULLI, FEATURE_L2_DIMS, INDEX, LANE_SUM};
use crate::cpu::feature_l2::{FeatureL2Dims, bernoulli_kl_d_input, bernoulli_kl_partial};
use crate::plan::{Builder, Io, Kernel, Op, Saved, TensorId};
use crate::{Result, kernel};

/// Sums of blocks.
pub static PARTIAL: Kernel = kernel!(
    "bernoulli_kl_partial",
    [FEATURE_L2_DIMS, INDEX, BERNOULLI, LANE_SUM],
    FeatureL2Dims,
    [read f: f32, write partials: f32],
    [],
    bernoulli_kl_partial
);
/// Gradient of one map.
pub static D_INPUT: Kernel = kernel!(
    "bernoulli_kl_d_input",
    [FEATURE_L2_DIMS, INDEX, BERNOULLI],
    FeatureL2Dims,
    [read f: f32, read weights: f32, read scale: f32, update d_f: f32],
    [],
    bernoulli_kl_d_input
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&PARTIAL, &D_INPUT];

/// loss = mean over maps k and images n of weight_n * mean KL(q || 1/2), with weight 1 where there are none:
///
/// ```text
/// KL = q log q + (1 - q) log(1 - q) + log 2,     q = clip((a + 1) / 2, 1e-4, 1 - 1e-4)
/// ```
/// q is the probability of a sign bit being +1; a is the map's value, or its tanh where the map is `bounded`. For small a
/// it is a^2 / 2, half of what `feature_l2` sums. Inputs, output and `scale` are as in
/// [`FeatureL2`](super::feature_l2::FeatureL2).
///
/// Its gradient starts the backward pass: d_a = scale * weight_n log(q / (1 - q)) / 2 / (maps, images and values of an
/// image), and 0 where q is clipped: of a map that is not bounded, values at least 0.9998 away from 0 receive none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BernoulliKl {
    /// The loss's weight in the objective: an element of a dense tensor that the host writes; 1 without.
    pub scale: Option<(TensorId, u32)>,
    /// For each map whether a = tanh f rather than f: for maps whose sign nobody takes. Missing ones are not bounded.
    pub bounded: Vec<bool>,
}

impl BernoulliKl {
    fn mean(&self) -> MapMean<'_> {
        MapMean {
            op: "bernoulli_kl",
            kernels: [&PARTIAL, &D_INPUT],
            slope: 1.0,
            scale: self.scale,
            bounded: &self.bounded,
        }
    }
}

impl Op for BernoulliKl {
    fn name(&self) -> &'static str {
        "bernoulli_kl"
    }

    fn is_loss(&self) -> bool {
        true
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        self.mean().forward(b, label, inputs)
    }

    fn backward(&self, b: &mut Builder, io: &Io, _saved: &Saved) -> Result<()> {
        self.mean().backward(b, io)
    }
}
