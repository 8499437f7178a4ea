//! Twins of `shaders/feature_l2*.wgsl` and `shaders/bernoulli_kl*.wgsl`.

use super::parallel::{rows, store};
use crate::dims;

dims! {
    /// Sizes of the `feature_l2` and `bernoulli_kl` kernels.
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
        /// Forward: 1 / values of an image; backward: 1 (of squares: 2) / (maps, images and values of an image).
        factor: f32,
        /// 1: a sign bit's mean is tanh f, 0: f (`bernoulli_kl` only).
        bounded: u32,
        /// 1: add to d_f, 0: overwrite (backward only).
        accumulate: u32,
    }
}

/// factor sum `term(f)` of each block.
fn partial(dims: &FeatureL2Dims, f: &[f32], partials: &mut [f32], term: impl Fn(f32) -> f32 + Sync) {
    let (image, block, blocks) = (4 * dims.vectors as usize, 4 * dims.block as usize, dims.blocks as usize);
    let begin = dims.offset as usize + dims.first as usize * blocks;
    rows(&mut partials[begin..begin + dims.images as usize * blocks], 1, block, |row, sum| {
        let f = &f[row / blocks * image..][..image];
        let begin = (row % blocks * block).min(image);
        let f = &f[begin..(begin + block).min(image)];
        sum[0] = dims.factor * f.iter().map(|v| term(*v)).sum::<f32>();
    });
}

/// `d_f (+)= scale[index] factor weight(image) slope(f)`.
fn d_input(
    dims: &FeatureL2Dims,
    f: &[f32],
    weights: &[f32],
    scale: &[f32],
    d_f: &mut [f32],
    slope: impl Fn(f32) -> f32 + Sync,
) {
    let image = 4 * dims.vectors as usize;
    rows(d_f, image, image, |n, d_f| {
        let weight = if dims.weighted == 1 { weights[dims.first as usize + n] } else { 1.0 };
        let factor = scale[dims.index as usize] * dims.factor * weight;
        for (d, f) in d_f.iter_mut().zip(&f[n * image..]) {
            *d = store(dims.accumulate, *d, factor * slope(*f));
        }
    });
}

/// factor sum f^2 of each block.
pub fn feature_l2_partial(dims: &FeatureL2Dims, f: &[f32], partials: &mut [f32]) {
    partial(dims, f, partials, |f| f * f);
}

/// `d_f (+)= scale[index] factor weight(image) f`.
pub fn feature_l2_d_input(dims: &FeatureL2Dims, f: &[f32], weights: &[f32], scale: &[f32], d_f: &mut [f32]) {
    d_input(dims, f, weights, scale, d_f, |f| f);
}

/// Beyond this the mean of a sign bit, 2 q - 1, is clipped: q stays 1e-4 away from 0 and 1.
const LIMIT: f32 = 0.9998;

/// factor sum KL(u) of each block, `KL = ((1 + u) log(1 + u) + (1 - u) log(1 - u)) / 2`; u = f or tanh f, clipped.
pub fn bernoulli_kl_partial(dims: &FeatureL2Dims, f: &[f32], partials: &mut [f32]) {
    let kl = |u: f32| {
        let u = u.clamp(-LIMIT, LIMIT);
        0.5 * ((1.0 + u) * (1.0 + u).ln() + (1.0 - u) * (1.0 - u).ln())
    };
    match dims.bounded {
        1 => partial(dims, f, partials, |f| kl(f.tanh())),
        _ => partial(dims, f, partials, kl),
    }
}

/// `d_f (+)= scale[index] factor weight(image) log((1 + u) / (1 - u)) / 2`, times `1 - u^2` for u = tanh f; 0 where u is
/// clipped.
pub fn bernoulli_kl_d_input(dims: &FeatureL2Dims, f: &[f32], weights: &[f32], scale: &[f32], d_f: &mut [f32]) {
    let slope = |u: f32| {
        if u.abs() < LIMIT { 0.5 * ((1.0 + u).ln() - (1.0 - u).ln()) } else { 0.0 }
    };
    match dims.bounded {
        1 => d_input(dims, f, weights, scale, d_f, |f| {
            let u = f.tanh();
            slope(u) * (1.0 - u * u)
        }),
        _ => d_input(dims, f, weights, scale, d_f, slope),
    }
}
