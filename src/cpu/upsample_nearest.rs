//! Twins of `shaders/upsample_nearest*.wgsl`.

use super::parallel::rows;
use crate::dims;

dims! {
    /// Sizes of `upsample_nearest` and `upsample_nearest_d_input`.
    pub struct UpsampleNearestDims {
        /// Images of this slice.
        images: u32,
        /// Rows of x.
        h: u32,
        /// Columns of x.
        w: u32,
        /// `vec4<f32>` of a pixel.
        vectors: u32,
        /// The factor.
        scale: u32,
        /// 1: add to d_x, 0: overwrite (backward only).
        accumulate: u32,
    }
}

/// y(row, column) = x(row / scale, column / scale).
pub fn upsample_nearest(dims: &UpsampleNearestDims, x: &[f32], y: &mut [f32]) {
    let (pitch, w, scale) = (4 * dims.vectors as usize, dims.w as usize, dims.scale as usize);
    let width = w * scale * pitch;
    rows(y, width, width, |row, y| {
        let x = &x[row / scale * w * pitch..][..w * pitch];
        for (copies, x) in y.chunks_exact_mut(scale * pitch).zip(x.chunks_exact(pitch)) {
            copies.chunks_exact_mut(pitch).for_each(|y| y.copy_from_slice(x));
        }
    });
}

/// d_x (+)= sum of d_y over the pixel's copies.
pub fn upsample_nearest_d_input(dims: &UpsampleNearestDims, d_y: &[f32], d_x: &mut [f32]) {
    let (pitch, w, scale) = (4 * dims.vectors as usize, dims.w as usize, dims.scale as usize);
    let width = w * scale * pitch;
    rows(d_x, w * pitch, width * scale, |row, d_x| {
        let mut sums = vec![0f32; pitch];
        for (ix, d) in d_x.chunks_exact_mut(pitch).enumerate() {
            sums.fill(0.0);
            for oy in 0..scale {
                let d_y = &d_y[(row * scale + oy) * width + ix * scale * pitch..][..scale * pitch];
                for d_y in d_y.chunks_exact(pitch) {
                    sums.iter_mut().zip(d_y).for_each(|(s, g)| *s += g);
                }
            }
            if dims.accumulate == 1 {
                d.iter_mut().zip(&sums).for_each(|(d, s)| *d += s);
            } else {
                d.copy_from_slice(&sums);
            }
        }
    });
}
