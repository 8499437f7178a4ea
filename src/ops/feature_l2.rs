//! The compression term of the information-bottleneck objective: the mean square of the high-level feature maps.

use super::loss_sum::{check_scale, loss_sum, scale_or_one};
use super::{FEATURE_L2_DIMS, INDEX, LANE_SUM, map_shape};
use crate::cpu::feature_l2::{FeatureL2Dims, feature_l2_d_input, feature_l2_partial};
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Saved, Shape, TensorId, flat_groups};
use crate::{Error, Result, kernel};

/// Sums of blocks.
pub static PARTIAL: Kernel = kernel!(
    "feature_l2_partial",
    [FEATURE_L2_DIMS, INDEX, LANE_SUM],
    FeatureL2Dims,
    [read f: f32, write partials: f32],
    [],
    feature_l2_partial
);
/// Gradient of one map.
pub static D_INPUT: Kernel = kernel!(
    "feature_l2_d_input",
    [FEATURE_L2_DIMS, INDEX],
    FeatureL2Dims,
    [read f: f32, read weights: f32, read scale: f32, update d_f: f32],
    [],
    feature_l2_d_input
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&PARTIAL, &D_INPUT];

/// Blocks of an image, a workgroup each.
const BLOCKS: u32 = 32;

/// loss = mean over maps k and images n of weight_n * mean(f_kn^2), with weight 1 where there are none.
///
/// Inputs: one or more maps of the batch, of any sizes, and optionally the weights, a dense tensor (N, 1, 1, 1) that is
/// not sliced. One output, dense, of one value; it is not multiplied by `scale`. With weights 1/beta_n it is the
/// per-image term of AutoBiDet, without them BiDet's, which the weight w_R = 1/beta multiplies.
///
/// Its gradient starts the backward pass: d_f = scale * 2 weight_n f / (maps, images and values of an image). Weights
/// and scale are constants in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeatureL2 {
    /// The loss's weight in the objective: an element of a dense tensor that the host writes; 1 without.
    pub scale: Option<(TensorId, u32)>,
}

/// A mean over the values of maps, an image at a time: what this operation and `bernoulli_kl` share.
pub(super) struct MapMean<'a> {
    /// The operation's name.
    pub op: &'static str,
    /// Sums of blocks, and gradient of one map.
    pub kernels: [&'static Kernel; 2],
    /// The number in a term's derivative.
    pub slope: f32,
    /// The loss's weight in the objective.
    pub scale: Option<(TensorId, u32)>,
    /// For each map whether its values go through tanh first; missing ones do not.
    pub bounded: &'a [bool],
}

/// The maps among the inputs, and the weights.
fn parts<'a>(b: &Builder, inputs: &'a [TensorId]) -> (&'a [TensorId], Option<TensorId>) {
    match inputs.split_last() {
        Some((w, maps)) if b.info(*w).format == Format::Flat => (maps, Some(*w)),
        _ => (inputs, None),
    }
}

impl MapMean<'_> {
    fn dims(&self, map: usize, shape: Shape, images: u32, first: u32) -> FeatureL2Dims {
        let vectors = (Format::Map.elements(shape.with_n(1)) / 4) as u32;
        let bounded = self.bounded.get(map).copied().unwrap_or(false) as u32;
        let block = vectors.div_ceil(BLOCKS);
        FeatureL2Dims { images, first, vectors, block, blocks: BLOCKS, bounded, ..Default::default() }
    }

    pub(super) fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let (maps, weights) = parts(b, inputs);
        if maps.is_empty() {
            return Err(Error::shape(label, format!("{}: at least one map", self.op), "none"));
        }
        check_scale(b, label, self.scale)?;
        let batch = b.batch();
        if let Some(w) = weights
            && (b.info(w).sliced || b.shape(w) != Shape::new(batch, 1, 1, 1))
        {
            let want = format!("{}: weights {batch}x1x1x1, not sliced", self.op);
            return Err(Error::shape(label, want, format!("{} {}", b.info(w).name, b.shape(w))));
        }
        let shape = Shape::new(1, maps.len() as u32, batch, BLOCKS);
        let partials = b.scratch(&format!("{label}.partials"), shape, Format::Flat);
        for (k, f) in maps.iter().enumerate() {
            let shape = map_shape(b, label, self.op, *f)?;
            for (s, first, n) in b.slices() {
                let dims = FeatureL2Dims {
                    offset: k as u32 * batch * BLOCKS,
                    factor: 1.0 / shape.with_n(1).len() as f32,
                    ..self.dims(k, shape, n, first)
                };
                let views = [b.at(*f, s), b.at(partials, 0)];
                let groups = flat_groups(64 * (n * BLOCKS) as u64, 64);
                b.dispatch(self.kernels[0], label, &dims, &views, groups, Cost::default())?;
            }
        }
        let loss = loss_sum(b, label, partials, weights, 1.0 / (maps.len() as f32 * batch as f32))?;
        Ok((vec![loss], vec![]))
    }

    pub(super) fn backward(&self, b: &mut Builder, io: &Io) -> Result<()> {
        let (maps, weights) = parts(b, &io.inputs);
        let (scale, index) = scale_or_one(b, &io.label, self.scale);
        for (k, f) in maps.iter().enumerate() {
            let Some(d_f) = b.d_input(io, k) else { continue };
            let shape = b.shape(*f);
            for (s, first, n) in b.slices() {
                let dims = FeatureL2Dims {
                    weighted: weights.is_some() as u32,
                    index,
                    factor: self.slope / (maps.len() as f32 * shape.len() as f32),
                    accumulate: d_f.flag(),
                    ..self.dims(k, shape, n, first)
                };
                let weights = b.at(weights.unwrap_or(scale), 0);
                let views = [b.at(*f, s), weights, b.at(scale, 0), b.at(d_f.tensor, s)];
                let groups = flat_groups(n as u64 * dims.vectors as u64, 64);
                b.dispatch(self.kernels[1], &io.label, &dims, &views, groups, Cost::default())?;
            }
        }
        Ok(())
    }
}

impl FeatureL2 {
    fn mean(&self) -> MapMean<'static> {
        MapMean { op: "feature_l2", kernels: [&PARTIAL, &D_INPUT], slope: 2.0, scale: self.scale, bounded: &[] }
    }
}

impl Op for FeatureL2 {
    fn name(&self) -> &'static str {
        "feature_l2"
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
