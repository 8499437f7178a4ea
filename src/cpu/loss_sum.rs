//! Twin of `shaders/loss_sum.wgsl`.

use crate::dims;

dims! {
    /// Sizes of `loss_sum`.
    pub struct LossSumDims {
        /// Maps times images.
        rows: u32,
        /// Images.
        images: u32,
        /// Partial sums of a row.
        blocks: u32,
        /// 1: each image has a weight.
        weighted: u32,
        /// What the sum is multiplied by.
        factor: f32,
    }
}

/// loss = factor sum weight(image) partial, in f64.
pub fn loss_sum(dims: &LossSumDims, partials: &[f32], weights: &[f32], loss: &mut [f32]) {
    let mut sum = 0f64;
    for (row, blocks) in partials.chunks_exact(dims.blocks as usize).take(dims.rows as usize).enumerate() {
        let weight = if dims.weighted == 1 { weights[row % dims.images as usize] } else { 1.0 };
        sum += weight as f64 * blocks.iter().map(|p| *p as f64).sum::<f64>();
    }
    loss[0] = (dims.factor as f64 * sum) as f32;
}
