//! Twins of `shaders/reconstruction_loss*.wgsl`.

use super::parallel::{rows, store};
use crate::dims;

dims! {
    /// Sizes of the `reconstruction_loss` kernels.
    pub struct ReconstructionDims {
        /// Images of this slice (of the batch in `reconstruction_loss_finish`).
        images: u32,
        /// Images before them.
        first: u32,
        /// `vec4<f32>` of an image.
        vectors: u32,
        /// `vec4<f32>` of a block.
        block: u32,
        /// Blocks of an image.
        blocks: u32,
        /// 1: the loss is of squares, 0: of absolute values.
        square: u32,
        /// Which element of `scale` weighs the loss (backward only).
        index: u32,
        /// 1 / values of an image.
        each: f32,
        /// What the sum over the batch is multiplied by; backward: times the loss's constant weight.
        factor: f32,
        /// 1: add to d_g, 0: overwrite (backward only).
        accumulate: u32,
    }
}

/// Sums of absolute values and of squares of g - x of each block.
pub fn reconstruction_loss_partial(dims: &ReconstructionDims, g: &[f32], x: &[f32], partials: &mut [f32]) {
    let (image, block, blocks) = (4 * dims.vectors as usize, 4 * dims.block as usize, dims.blocks as usize);
    let begin = dims.first as usize * blocks;
    rows(&mut partials[2 * begin..][..2 * dims.images as usize * blocks], 2, 2 * block, |row, out| {
        let from = (row % blocks * block).min(image);
        let span = row / blocks * image + from..row / blocks * image + (from + block).min(image);
        // Four lanes, as the shader's vectors: they vectorise.
        let (mut absolute, mut square) = ([0f32; 4], [0f32; 4]);
        for (g, x) in g[span.clone()].chunks_exact(4).zip(x[span].chunks_exact(4)) {
            for i in 0..4 {
                let d = g[i] - x[i];
                absolute[i] += d.abs();
                square[i] += d * d;
            }
        }
        out[0] = absolute.iter().sum();
        out[1] = square.iter().sum();
    });
}

/// The loss, and each image's mean absolute and mean squared difference, in f64.
pub fn reconstruction_loss_finish(
    dims: &ReconstructionDims,
    partials: &[f32],
    differences: &mut [f32],
    loss: &mut [f32],
) {
    let mut sum = 0f64;
    let images = partials.chunks_exact(2 * dims.blocks as usize).take(dims.images as usize);
    for (blocks, out) in images.zip(differences.chunks_exact_mut(2)) {
        let mut own = [0f64; 2];
        for block in blocks.chunks_exact(2) {
            own[0] += block[0] as f64;
            own[1] += block[1] as f64;
        }
        out[0] = (dims.each as f64 * own[0]) as f32;
        out[1] = (dims.each as f64 * own[1]) as f32;
        sum += own[dims.square as usize];
    }
    loss[0] = (dims.factor as f64 * sum) as f32;
}

/// `d_g (+)= scale[index] factor sign(g - x)`, or `2 (g - x)` for the sign.
pub fn reconstruction_loss_d_input(dims: &ReconstructionDims, g: &[f32], x: &[f32], scale: &[f32], d_g: &mut [f32]) {
    let image = 4 * dims.vectors as usize;
    let factor = scale[dims.index as usize] * dims.factor;
    rows(d_g, image, image, |n, d_g| {
        for (d, (g, x)) in d_g.iter_mut().zip(g[n * image..].iter().zip(&x[n * image..])) {
            let away = g - x;
            let slope = match (dims.square, away == 0.0) {
                (1, _) => 2.0 * away,
                (_, true) => 0.0,
                (_, false) => away.signum(),
            };
            *d = store(dims.accumulate, *d, factor * slope);
        }
    });
}
