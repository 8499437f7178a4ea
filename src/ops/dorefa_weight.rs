//! Weights of a few bits (DoReFa-Net; spec: binarization, section 4).

use super::check::expect_weights;
use super::elementwise::one_input;
use super::{INDEX, LANES};
use crate::cpu::dorefa_weight::*;
use crate::plan::{Builder, Cost, Format, Groups, Io, Kernel, Op, Saved, Shape, TensorId, flat_groups, round4};
use crate::{Error, Result, kernel};

/// The blocks' largest |w|.
pub static MAX: Kernel =
    kernel!("dorefa_weight_max", [], DorefaWeightDims, [read w: f32, write maxima: f32], [], dorefa_weight_max);
/// Forward kernel.
pub static FORWARD: Kernel = kernel!(
    "dorefa_weight",
    [INDEX, LANES],
    DorefaWeightDims,
    [read w: f32, read maxima: f32, write y: f32],
    [],
    dorefa_weight
);
/// The blocks' sums for the gradient of the maximum.
pub static D_SUMS: Kernel = kernel!(
    "dorefa_weight_d_sums",
    [],
    DorefaWeightDims,
    [read w: f32, read g: f32, read maxima: f32, write sums: f32],
    [],
    dorefa_weight_d_sums
);
/// Gradient to the latent weights.
pub static D_LATENT: Kernel = kernel!(
    "dorefa_weight_d_latent",
    [INDEX],
    DorefaWeightDims,
    [read w: f32, read g: f32, read maxima: f32, read sums: f32, update d_w: f32],
    [],
    dorefa_weight_d_latent
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&MAX, &FORWARD, &D_SUMS, &D_LATENT];

/// Bits up to which the grid is worth the name; products with its number of steps are good in f32.
pub(super) const MAX_BITS: u32 = 16;
/// Workgroups of the reductions, at most; every invocation of the second stage reads all their results.
const MAX_BLOCKS: u32 = 64;

/// Steps of a grid of `bits`: 2^bits - 1.
pub(super) fn levels(bits: u32) -> f32 {
    ((1u32 << bits) - 1) as f32
}

/// y = 2 Q(tanh(w) / (2 max |tanh w|) + 1/2) - 1 with Q(r) = round((2^bits - 1) r) / (2^bits - 1), halves to even: one of
/// 2^bits values from -1 to 1, for the weights of a convolution or a linear layer. The maximum is that of the layer;
/// where all weights are 0 it is passed over, and all become the middle of the grid, rounded.
///
/// One input, [`Format::Weight`]; one output of the same shape and format. Gradient: the rounding counts as the identity,
/// tanh and maximum are differentiated. Kept for the backward pass: the input and the blocks' maxima.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DorefaWeight {
    /// Bits of a weight, 2 to 16; 4 in the published networks. (One bit is [`super::binary_conv2d`].)
    pub bits: u32,
}

impl DorefaWeight {
    fn dims(&self, w: Shape) -> DorefaWeightDims {
        let vectors = (Format::Weight.elements(w) / 4) as u32;
        DorefaWeightDims {
            vectors,
            o4: round4(w.c) / 4,
            cp: round4(w.w),
            c: w.w,
            o: w.c,
            blocks: vectors.div_ceil(64).min(MAX_BLOCKS),
            levels: levels(self.bits),
        }
    }
}

impl Op for DorefaWeight {
    fn name(&self) -> &'static str {
        "dorefa_weight"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let w = one_input(label, "dorefa_weight", inputs)?;
        let shape = expect_weights(b, label, "dorefa_weight", w)?;
        if !(2..=MAX_BITS).contains(&self.bits) {
            return Err(Error::shape(label, format!("dorefa_weight: 2 to {MAX_BITS} bits"), self.bits.to_string()));
        }
        let dims = self.dims(shape);
        let maxima = b.scratch(&format!("{label}.maxima"), Shape::vector(dims.blocks), Format::Flat);
        let y = b.scratch(&format!("{label}.y"), shape, Format::Weight);
        let views = [b.at(w, 0), b.at(maxima, 0)];
        b.dispatch(&MAX, label, &dims, &views, Groups::Fixed([dims.blocks, 1, 1]), Cost::default())?;
        let views = [b.at(w, 0), b.at(maxima, 0), b.at(y, 0)];
        b.dispatch(&FORWARD, label, &dims, &views, flat_groups(dims.vectors as u64, 64), Cost::default())?;
        Ok((vec![y], vec![w, maxima]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        let Some(g) = b.d_output(io, 0) else { return Ok(()) };
        let Some(d_w) = b.d_input(io, 0) else { return Ok(()) };
        let (w, maxima) = (saved[0], saved[1]);
        let dims = self.dims(b.shape(w));
        let sums = b.scratch(&format!("{}.d_sums", io.label), Shape::vector(2 * dims.blocks), Format::Flat);
        let views = [b.at(w, 0), b.at(g, 0), b.at(maxima, 0), b.at(sums, 0)];
        b.dispatch(&D_SUMS, &io.label, &dims, &views, Groups::Fixed([dims.blocks, 1, 1]), Cost::default())?;
        let views = [b.at(w, 0), b.at(g, 0), b.at(maxima, 0), b.at(sums, 0), b.at(d_w.tensor, 0)];
        b.dispatch(&D_LATENT, &io.label, &dims, &views, flat_groups(dims.vectors as u64, 64), Cost::default())
    }
}
