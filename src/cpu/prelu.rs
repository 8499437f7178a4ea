//! Twins of `shaders/prelu*.wgsl`.

use super::parallel::{rows, store};
use crate::dims;

dims! {
    /// Sizes of the `prelu` kernels.
    pub struct PreluDims {
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
        /// 1: add to d_x, 0: overwrite (backward only).
        accumulate: u32,
    }
}

/// y = x where x > 0, else slope x.
pub fn prelu(dims: &PreluDims, x: &[f32], slope: &[f32], y: &mut [f32]) {
    let pitch = 4 * dims.vectors as usize;
    rows(y, pitch, pitch, |p, y| {
        for ((y, x), s) in y.iter_mut().zip(&x[p * pitch..]).zip(slope) {
            *y = if *x > 0.0 { *x } else { s * x };
        }
    });
}

/// d_x (+)= d_y where x > 0, else slope d_y.
pub fn prelu_d_input(dims: &PreluDims, x: &[f32], slope: &[f32], d_y: &[f32], d_x: &mut [f32]) {
    let pitch = 4 * dims.vectors as usize;
    rows(d_x, pitch, pitch, |p, d_x| {
        let values = x[p * pitch..].iter().zip(&d_y[p * pitch..]).zip(slope);
        for (d, ((x, g), s)) in d_x.iter_mut().zip(values) {
            *d = store(dims.accumulate, *d, if *x > 0.0 { *g } else { s * g });
        }
    });
}

/// Each block's sum of d_y x where x <= 0.
pub fn prelu_d_slope(dims: &PreluDims, x: &[f32], d_y: &[f32], partials: &mut [f32]) {
    let (pitch, blocks) = (4 * dims.vectors as usize, dims.blocks as usize);
    let own = dims.first as usize * blocks * pitch..(dims.first + dims.images) as usize * blocks * pitch;
    rows(&mut partials[own], pitch, pitch * dims.block as usize, |row, sums| {
        sums.fill(0.0);
        let image = row / blocks * dims.pixels as usize;
        let begin = row % blocks * dims.block as usize;
        let end = (begin + dims.block as usize).min(dims.pixels as usize);
        for p in image + begin..image + end {
            for ((s, x), g) in sums.iter_mut().zip(&x[p * pitch..]).zip(&d_y[p * pitch..]) {
                *s += g * x.min(0.0);
            }
        }
    });
}
