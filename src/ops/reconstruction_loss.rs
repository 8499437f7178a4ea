//! The difference of a reconstruction from its target: the pixel term of generator and autoencoder.

use super::loss_sum::{check_scale, scale_or_one};
use super::{INDEX, LANE_SUM, same_map};
use crate::cpu::reconstruction_loss::*;
use crate::plan::{Builder, Cost, Format, Groups, Io, Kernel, Op, Saved, Shape, TensorId, flat_groups};
use crate::{Error, Result, kernel};

/// Sums of blocks.
pub static PARTIAL: Kernel = kernel!(
    "reconstruction_loss_partial",
    [INDEX, LANE_SUM],
    ReconstructionDims,
    [read g: f32, read x: f32, write partials: f32],
    [],
    reconstruction_loss_partial
);
/// The loss and the images' differences.
pub static FINISH: Kernel = kernel!(
    "reconstruction_loss_finish",
    [LANE_SUM],
    ReconstructionDims,
    [read partials: f32, write differences: f32, write loss: f32],
    [],
    reconstruction_loss_finish
);
/// Gradient of the reconstruction.
pub static D_INPUT: Kernel = kernel!(
    "reconstruction_loss_d_input",
    [INDEX],
    ReconstructionDims,
    [read g: f32, read x: f32, read scale: f32, update d_g: f32],
    [],
    reconstruction_loss_d_input
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&PARTIAL, &FINISH, &D_INPUT];

/// Blocks of an image, a workgroup each.
const BLOCKS: u32 = 32;

/// What is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DifferenceKind {
    /// |g - x|.
    #[default]
    Absolute,
    /// (g - x)^2.
    Square,
}

/// What the sum is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// The values of the batch: a mean.
    #[default]
    Mean,
    /// The images of the batch: a sum over an image's values, a mean over images (the likelihood term of a variational
    /// autoencoder).
    SumOverBatch,
}

/// loss = sum of |g - x| or (g - x)^2 over the batch, divided as [`Reduction`] says. Inputs: the reconstruction g and its
/// target x, maps of one shape.
///
/// Outputs, for the host to read and not multiplied by any weight: the loss, [`Format::Flat`] of 1 value; and the
/// differences of each image, [`Format::Flat`] (N, 1, 1, 2), not sliced, with both kinds: mean |g - x| and mean
/// (g - x)^2 over the image's values.
///
/// Its gradient starts the backward pass and goes to the reconstruction alone: weight * scale * sign(g - x) (0 where they
/// are equal) or 2 (g - x), divided as the loss is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReconstructionLoss {
    /// What is added up.
    pub kind: DifferenceKind,
    /// What the sum is divided by.
    pub reduction: Reduction,
    /// A constant weight of the gradient; 1.
    pub weight: f32,
    /// A weight of the gradient that the host writes: an element of a dense tensor; 1 without. Both multiply.
    pub scale: Option<(TensorId, u32)>,
}

impl Default for ReconstructionLoss {
    fn default() -> Self {
        ReconstructionLoss { kind: DifferenceKind::Absolute, reduction: Reduction::Mean, weight: 1.0, scale: None }
    }
}

impl ReconstructionLoss {
    fn dims(&self, shape: Shape, first: u32, images: u32) -> ReconstructionDims {
        let vectors = (Format::Map.elements(shape.with_n(1)) / 4) as u32;
        let divisor = match self.reduction {
            Reduction::Mean => shape.len(),
            Reduction::SumOverBatch => shape.n as u64,
        };
        ReconstructionDims {
            images,
            first,
            vectors,
            block: vectors.div_ceil(BLOCKS),
            blocks: BLOCKS,
            square: (self.kind == DifferenceKind::Square) as u32,
            each: 1.0 / shape.with_n(1).len() as f32,
            factor: 1.0 / divisor as f32,
            ..Default::default()
        }
    }
}

impl Op for ReconstructionLoss {
    fn name(&self) -> &'static str {
        "reconstruction_loss"
    }

    fn is_loss(&self) -> bool {
        true
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let &[g, x] = inputs else {
            let expected = "reconstruction_loss: reconstruction and target";
            return Err(Error::shape(label, expected, format!("{} inputs", inputs.len())));
        };
        same_map(b, label, "reconstruction_loss", g, x)?;
        check_scale(b, label, self.scale)?;
        if !self.weight.is_finite() {
            return Err(Error::shape(label, "reconstruction_loss: a finite weight", self.weight.to_string()));
        }
        let shape = b.shape(g);
        let partials = b.scratch(&format!("{label}.partials"), Shape::new(shape.n, 1, BLOCKS, 2), Format::Flat);
        for (s, first, n) in b.slices() {
            let views = [b.at(g, s), b.at(x, s), b.at(partials, 0)];
            let groups = flat_groups(64 * (n * BLOCKS) as u64, 64);
            b.dispatch(&PARTIAL, label, &self.dims(shape, first, n), &views, groups, Cost::default())?;
        }
        let differences = b.output(&format!("{label}.differences"), Shape::new(shape.n, 1, 1, 2), Format::Flat, false);
        let loss = b.output(&format!("{label}.loss"), Shape::vector(1), Format::Flat, false);
        let views = [b.at(partials, 0), b.at(differences, 0), b.at(loss, 0)];
        let dims = self.dims(shape, 0, shape.n);
        b.dispatch(&FINISH, label, &dims, &views, Groups::Fixed([1, 1, 1]), Cost::default())?;
        Ok((vec![loss, differences], vec![]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, _saved: &Saved) -> Result<()> {
        let (g, x) = (io.inputs[0], io.inputs[1]);
        let Some(d_g) = b.d_input(io, 0) else { return Ok(()) };
        let (scale, index) = scale_or_one(b, &io.label, self.scale);
        let shape = b.shape(g);
        for (s, first, n) in b.slices() {
            let dims = self.dims(shape, first, n);
            let dims = ReconstructionDims { index, factor: self.weight * dims.factor, accumulate: d_g.flag(), ..dims };
            let views = [b.at(g, s), b.at(x, s), b.at(scale, 0), b.at(d_g.tensor, s)];
            let groups = flat_groups(n as u64 * dims.vectors as u64, 64);
            b.dispatch(&D_INPUT, &io.label, &dims, &views, groups, Cost::default())?;
        }
        Ok(())
    }
}
