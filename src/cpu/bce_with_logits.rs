//! Twins of `shaders/bce_with_logits*.wgsl`.

use super::activation::logistic;
use super::parallel::{rows, store};
use crate::dims;

dims! {
    /// Sizes of the `bce_with_logits` kernels.
    pub struct BceWithLogitsDims {
        /// Images of this slice.
        images: u32,
        /// Images before them.
        first: u32,
        /// Pixels of an image.
        pixels: u32,
        /// Values of a pixel that take part.
        channels: u32,
        /// Values from pixel to pixel.
        pitch: u32,
        /// Values of a block.
        block: u32,
        /// Blocks of an image.
        blocks: u32,
        /// Which element of `scale` weighs the loss.
        index: u32,
        /// 1 / values of the batch.
        factor: f32,
        /// 1: add to d_x, 0: overwrite (backward only).
        accumulate: u32,
    }
}

/// Sum of max(x, 0) - x t + log(1 + exp(-|x|)) of each block.
pub fn bce_with_logits_partial(dims: &BceWithLogitsDims, logits: &[f32], targets: &[f32], partials: &mut [f32]) {
    let (blocks, block, channels) = (dims.blocks as usize, dims.block as usize, dims.channels as usize);
    let begin = dims.first as usize * blocks;
    rows(&mut partials[begin..begin + dims.images as usize * blocks], 1, 8 * block, |row, sum| {
        let image = row / blocks * dims.pixels as usize;
        let begin = row % blocks * block;
        let end = (begin + block).min(dims.pixels as usize * channels);
        sum[0] = (begin..end)
            .map(|i| {
                let at = (image + i / channels) * dims.pitch as usize + i % channels;
                let x = logits[at];
                x.max(0.0) - x * targets[at] + (-x.abs()).exp().ln_1p()
            })
            .sum();
    });
}

/// `d_x (+)= scale[index] factor (sigmoid(x) - t)`; pad lanes get 0.
pub fn bce_with_logits_d_input(
    dims: &BceWithLogitsDims,
    logits: &[f32],
    targets: &[f32],
    scale: &[f32],
    d_x: &mut [f32],
) {
    let (pitch, channels) = (dims.pitch as usize, dims.channels as usize);
    let slope = scale[dims.index as usize] * dims.factor;
    rows(d_x, pitch, 4 * pitch, |p, d_x| {
        for (c, d) in d_x.iter_mut().enumerate() {
            let at = p * pitch + c;
            let value = if c < channels { slope * (logistic(logits[at]) - targets[at]) } else { 0.0 };
            *d = store(dims.accumulate, *d, value);
        }
    });
}
