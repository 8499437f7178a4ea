//! Twins of `shaders/feature_l2*.wgsl`.

use super::parallel::{rows, store};
use crate::dims;

dims! {
    /// Sizes of the `feature_l2` kernels.
    pub struct FeatureL2Dims {
        /// Images of this slice.
        images: u32,
        /// Images before them.
        first: u32,
        /// Where the partial sums of this map begin.
        offset: u32,
        /// `vec4<f32>` of an image.
        vectors: u32,
        /// `vec4<f32>` of a block.
        block: u32,
        /// Blocks of an image.
        blocks: u32,
        /// 1: each image has a weight.
        weighted: u32,
        /// Which element of `scale` weighs the loss.
        index: u32,
        /// Forward: 1 / values of an image; backward: 2 / (maps, images and values of an image).
        factor: f32,
        /// 1: add to d_f, 0: overwrite (backward only).
        accumulate: u32,
    }
}

/// factor sum f^2 of each block.
pub fn feature_l2_partial(dims: &FeatureL2Dims, f: &[f32], partials: &mut [f32]) {
    let (image, block, blocks) = (4 * dims.vectors as usize, 4 * dims.block as usize, dims.blocks as usize);
    let begin = dims.offset as usize + dims.first as usize * blocks;
    rows(&mut partials[begin..begin + dims.images as usize * blocks], 1, block, |row, sum| {
        let f = &f[row / blocks * image..][..image];
        let begin = (row % blocks * block).min(image);
        let f = &f[begin..(begin + block).min(image)];
        sum[0] = dims.factor * f.iter().map(|v| v * v).sum::<f32>();
    });
}

/// `d_f (+)= scale[index] factor weight(image) f`.
pub fn feature_l2_d_input(dims: &FeatureL2Dims, f: &[f32], weights: &[f32], scale: &[f32], d_f: &mut [f32]) {
    let image = 4 * dims.vectors as usize;
    rows(d_f, image, image, |n, d_f| {
        let weight = if dims.weighted == 1 { weights[dims.first as usize + n] } else { 1.0 };
        let slope = scale[dims.index as usize] * dims.factor * weight;
        for (d, f) in d_f.iter_mut().zip(&f[n * image..]) {
            *d = store(dims.accumulate, *d, slope * f);
        }
    });
}
