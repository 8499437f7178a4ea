//! Twins of `shaders/l2_norm*.wgsl`.

use super::parallel::{rows, store};
use crate::dims;

dims! {
    /// Sizes of the `l2_norm` kernels.
    pub struct L2NormDims {
        /// Images of this slice.
        images: u32,
        /// Images before them.
        first: u32,
        /// Pixels of an image.
        pixels: u32,
        /// `vec4<f32>` of a pixel.
        vectors: u32,
        /// Pixels of a block.
        block: u32,
        /// Blocks of an image.
        blocks: u32,
        /// Added to the norm.
        eps: f32,
        /// 1: add to d_x, 0: overwrite (backward only).
        accumulate: u32,
    }
}

/// norm = sqrt(sum x^2), y = weight x / (norm + eps).
pub fn l2_norm(dims: &L2NormDims, x: &[f32], weight: &[f32], norm: &mut [f32], y: &mut [f32]) {
    let pitch = 4 * dims.vectors as usize;
    rows(norm, 1, pitch, |p, norm| norm[0] = x[p * pitch..][..pitch].iter().map(|x| x * x).sum::<f32>().sqrt());
    rows(y, pitch, pitch, |p, y| {
        let scale = 1.0 / (norm[p] + dims.eps);
        for ((y, x), w) in y.iter_mut().zip(&x[p * pitch..]).zip(weight) {
            *y = w * (x * scale);
        }
    });
}

/// d_x (+)= weight d_y / s - x (sum weight d_y x) / (norm s^2), s = norm + eps; 0 where the norm is 0.
pub fn l2_norm_d_input(dims: &L2NormDims, x: &[f32], weight: &[f32], norm: &[f32], d_y: &[f32], d_x: &mut [f32]) {
    let pitch = 4 * dims.vectors as usize;
    rows(d_x, pitch, 3 * pitch, |p, d_x| {
        let (x, d_y) = (&x[p * pitch..][..pitch], &d_y[p * pitch..][..pitch]);
        let (mut scale, mut slope) = (0.0, 0.0);
        if norm[p] > 0.0 {
            let product: f32 = x.iter().zip(d_y).zip(weight).map(|((x, g), w)| w * g * x).sum();
            scale = 1.0 / (norm[p] + dims.eps);
            slope = product * scale / norm[p] * scale;
        }
        for (((d, x), g), w) in d_x.iter_mut().zip(x).zip(d_y).zip(weight) {
            *d = store(dims.accumulate, *d, w * g * scale - x * slope);
        }
    });
}

/// Each block's sum of d_y x / (norm + eps).
pub fn l2_norm_d_weight(dims: &L2NormDims, x: &[f32], norm: &[f32], d_y: &[f32], partials: &mut [f32]) {
    let (pitch, blocks) = (4 * dims.vectors as usize, dims.blocks as usize);
    let own = dims.first as usize * blocks * pitch..(dims.first + dims.images) as usize * blocks * pitch;
    rows(&mut partials[own], pitch, pitch * dims.block as usize, |row, sums| {
        sums.fill(0.0);
        let image = row / blocks * dims.pixels as usize;
        let begin = row % blocks * dims.block as usize;
        let end = (begin + dims.block as usize).min(dims.pixels as usize);
        for p in image + begin..image + end {
            let scale = 1.0 / (norm[p] + dims.eps);
            for ((s, x), g) in sums.iter_mut().zip(&x[p * pitch..]).zip(&d_y[p * pitch..]) {
                *s += g * (x * scale);
            }
        }
    });
}
