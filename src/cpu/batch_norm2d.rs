//! Twins of `shaders/batch_norm2d*.wgsl`.

use super::parallel::rows;
use crate::dims;

dims! {
    /// Sizes of the batch normalisation kernels.
    pub struct BatchNorm2dDims {
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
        /// Blocks of an image; the last one may be shorter.
        blocks: u32,
        /// Blocks of the batch.
        rows: u32,
        /// Pixels of the batch.
        count: f32,
        /// Added to the variance.
        eps: f32,
        /// Weight of the new statistics in the running ones.
        momentum: f32,
        /// 1: a residual is added (forward).
        residual: u32,
        /// 1: the statistics are constants (backward).
        frozen: u32,
        /// 1: add to d_x, 0: overwrite (backward).
        accumulate: u32,
    }
}

impl BatchNorm2dDims {
    /// Values of a pixel, padding included.
    fn pitch(&self) -> usize {
        4 * self.vectors as usize
    }

    /// The part of a map that row `row` of this slice's partials covers.
    fn block_of<'a>(&self, map: &'a [f32], row: usize) -> &'a [f32] {
        let (image, k) = (row / self.blocks as usize, row % self.blocks as usize);
        let begin = k * self.block as usize;
        let end = (begin + self.block as usize).min(self.pixels as usize);
        let first = image * self.pixels as usize;
        &map[(first + begin) * self.pitch()..(first + end) * self.pitch()]
    }

    /// The rows of the partials that belong to this slice.
    fn own<'a>(&self, partials: &'a mut [f32]) -> &'a mut [f32] {
        let row = 2 * self.pitch();
        let begin = (self.first * self.blocks) as usize * row;
        &mut partials[begin..begin + (self.images * self.blocks) as usize * row]
    }
}

/// Mean and sum of squared deviations of each block, in two passes over it.
pub fn batch_norm2d_partial(dims: &BatchNorm2dDims, x: &[f32], partials: &mut [f32]) {
    let pitch = dims.pitch();
    rows(dims.own(partials), 2 * pitch, 2 * pitch * dims.block as usize, |row, out| {
        let block = dims.block_of(x, row);
        let (mean, m2) = out.split_at_mut(pitch);
        mean.fill(0.0);
        m2.fill(0.0);
        for pixel in block.chunks_exact(pitch) {
            for (m, v) in mean.iter_mut().zip(pixel) {
                *m += v;
            }
        }
        let n = (block.len() / pitch) as f32;
        mean.iter_mut().for_each(|m| *m /= n);
        for pixel in block.chunks_exact(pitch) {
            for ((q, m), v) in m2.iter_mut().zip(mean.iter()).zip(pixel) {
                *q += (v - m) * (v - m);
            }
        }
    });
}

/// Mean and biased variance of the batch: the blocks joined in order, in f64 (Chan, Golub and LeVeque 1983).
pub fn batch_norm2d_statistics(dims: &BatchNorm2dDims, partials: &[f32], stats: &mut [f32]) {
    let pitch = dims.pitch();
    let (mut mean, mut m2, mut count) = (vec![0f64; pitch], vec![0f64; pitch], 0f64);
    for (row, partial) in partials.chunks_exact(2 * pitch).take(dims.rows as usize).enumerate() {
        let n = dims.block.min(dims.pixels - (row as u32 % dims.blocks) * dims.block) as f64;
        let share = n / (count + n);
        for c in 0..pitch {
            let away = partial[c] as f64 - mean[c];
            mean[c] += away * share;
            m2[c] += partial[pitch + c] as f64 + away * away * (count * share);
        }
        count += n;
    }
    for c in 0..pitch {
        stats[c] = mean[c] as f32;
        stats[pitch + c] = (m2[c] / count) as f32;
    }
}

/// y = gamma (x - mean) / sqrt(variance + eps) + beta (+ residual).
pub fn batch_norm2d(dims: &BatchNorm2dDims, x: &[f32], stats: &[f32], affine: &[f32], residual: &[f32], y: &mut [f32]) {
    let pitch = dims.pitch();
    let (mean, variance) = stats.split_at(pitch);
    let (gamma, beta) = affine.split_at(pitch);
    let scale: Vec<f32> = gamma.iter().zip(variance).map(|(g, v)| g / (v + dims.eps).sqrt()).collect();
    let width = pitch * STRIP;
    rows(y, width, width, |i, y| {
        let x = &x[i * width..][..y.len()];
        for (y, x) in y.chunks_exact_mut(pitch).zip(x.chunks_exact(pitch)) {
            // Equal lengths that the compiler sees: no bounds checks, vector instructions.
            let (y, x, mean, scale, beta) =
                (&mut y[..pitch], &x[..pitch], &mean[..pitch], &scale[..pitch], &beta[..pitch]);
            for c in 0..pitch {
                y[c] = (x[c] - mean[c]) * scale[c] + beta[c];
            }
        }
        if dims.residual == 1 {
            for (y, r) in y.iter_mut().zip(&residual[i * width..]) {
                *y += r;
            }
        }
    });
}

/// Pixels that one task of an elementwise loop takes.
const STRIP: usize = 64;

/// running = (1 - momentum) running + momentum (mean, unbiased variance), where the gate is open.
pub fn batch_norm2d_running(dims: &BatchNorm2dDims, stats: &[f32], gate: &[u32], running: &mut [f32]) {
    if gate[0] == 0 {
        return;
    }
    let unbiased = dims.count / (dims.count - 1.0).max(1.0);
    for (c, (r, s)) in running.iter_mut().zip(stats).enumerate() {
        let new = if c < dims.pitch() { *s } else { unbiased * s };
        *r = (1.0 - dims.momentum) * *r + dims.momentum * new;
    }
}

/// Each block's part of d_gamma and d_beta.
pub fn batch_norm2d_d_partial(dims: &BatchNorm2dDims, x: &[f32], d_y: &[f32], stats: &[f32], partials: &mut [f32]) {
    let pitch = dims.pitch();
    let (mean, variance) = stats.split_at(pitch);
    rows(dims.own(partials), 2 * pitch, 2 * pitch * dims.block as usize, |row, out| {
        let (x, d_y) = (dims.block_of(x, row), dims.block_of(d_y, row));
        let (d_gamma, d_beta) = out.split_at_mut(pitch);
        d_gamma.fill(0.0);
        d_beta.fill(0.0);
        for (x, g) in x.chunks_exact(pitch).zip(d_y.chunks_exact(pitch)) {
            let (x, g, mean) = (&x[..pitch], &g[..pitch], &mean[..pitch]);
            let (d_gamma, d_beta) = (&mut d_gamma[..pitch], &mut d_beta[..pitch]);
            for c in 0..pitch {
                d_gamma[c] += g[c] * (x[c] - mean[c]);
                d_beta[c] += g[c];
            }
        }
        for (d, v) in d_gamma.iter_mut().zip(variance) {
            *d /= (v + dims.eps).sqrt();
        }
    });
}

/// d_x (+)= gamma / sqrt(variance + eps) (d_y - (sum d_y + x^ sum d_y x^) / n); frozen: without what is subtracted.
pub fn batch_norm2d_d_input(
    dims: &BatchNorm2dDims,
    x: &[f32],
    d_y: &[f32],
    stats: &[f32],
    affine: &[f32],
    sums: &[f32],
    d_x: &mut [f32],
) {
    let pitch = dims.pitch();
    let (mean, variance) = stats.split_at(pitch);
    let inverse: Vec<f32> = variance.iter().map(|v| 1.0 / (v + dims.eps).sqrt()).collect();
    let scale: Vec<f32> = affine.iter().zip(&inverse).map(|(g, i)| g * i).collect();
    let (mut slope, mut offset) = (vec![0f32; pitch], vec![0f32; pitch]);
    if dims.frozen == 0 {
        for c in 0..pitch {
            slope[c] = sums[c] * inverse[c] / dims.count;
            offset[c] = sums[pitch + c] / dims.count;
        }
    }
    let width = pitch * STRIP;
    rows(d_x, width, width, |i, d_x| {
        if dims.accumulate == 0 {
            d_x.fill(0.0); // What was there may be anything, also NaN.
        }
        let pixels = x[i * width..].chunks_exact(pitch).zip(d_y[i * width..].chunks_exact(pitch));
        for (d, (x, g)) in d_x.chunks_exact_mut(pitch).zip(pixels) {
            let (d, x, g) = (&mut d[..pitch], &x[..pitch], &g[..pitch]);
            let (mean, slope) = (&mean[..pitch], &slope[..pitch]);
            let (scale, offset) = (&scale[..pitch], &offset[..pitch]);
            for c in 0..pitch {
                d[c] += (g[c] - (offset[c] + (x[c] - mean[c]) * slope[c])) * scale[c];
            }
        }
    });
}
