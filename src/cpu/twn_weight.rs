//! Twins of `shaders/twn_weight*.wgsl`.

use super::parallel::rows;
use crate::dims;

dims! {
    /// Sizes of the `twn_weight` kernels.
    pub struct TwnWeightDims {
        /// Kernel rows x kernel columns x input channels with padding.
        rows: u32,
        /// `vec4<f32>` of the output channels.
        o4: u32,
        /// Output channels: filters.
        o: u32,
        /// Weights of a filter.
        filter_size: f32,
        /// The threshold as a multiple of mean |w|.
        threshold: f32,
        /// 1: one threshold and one scale for the layer, 0: for each filter.
        per_layer: u32,
    }
}

/// Adds up a row of channels as the kernels do: vectors onto each other, then their lanes.
fn total(row: &[f32]) -> f32 {
    let mut sum = [0f32; 4];
    row.as_chunks::<4>().0.iter().for_each(|v| (0..4).for_each(|i| sum[i] += v[i]));
    (sum[0] + sum[1]) + (sum[2] + sum[3])
}

/// Each filter's sum of |w|.
pub fn twn_weight_sums(dims: &TwnWeightDims, w: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    for row in w.chunks_exact(4 * dims.o4 as usize) {
        sums.iter_mut().zip(row).for_each(|(s, w)| *s += w.abs());
    }
}

/// delta = threshold * mean |w| of the filter or the layer, then each filter's sum and number of |w| > delta.
pub fn twn_weight_above(dims: &TwnWeightDims, w: &[f32], sums: &[f32], above: &mut [f32]) {
    let pitch = 4 * dims.o4 as usize;
    let (delta, above) = above.split_at_mut(pitch);
    let (sum, count) = above.split_at_mut(pitch);
    if dims.per_layer == 1 {
        delta.fill(0.0);
        delta[..dims.o as usize].fill(dims.threshold * (total(sums) / (dims.filter_size * dims.o as f32)));
    } else {
        delta.iter_mut().zip(sums).for_each(|(d, s)| *d = dims.threshold * (s / dims.filter_size));
    }
    sum.fill(0.0);
    count.fill(0.0);
    for row in w.chunks_exact(pitch) {
        for (((s, n), d), w) in sum.iter_mut().zip(count.iter_mut()).zip(&*delta).zip(row) {
            let is_above = w.abs() > *d;
            *s += if is_above { w.abs() } else { 0.0 };
            *n += if is_above { 1.0 } else { 0.0 };
        }
    }
}

/// y = alpha where w > delta, -alpha where w < -delta, else 0; alpha = mean of the |w| > delta of the filter or the layer.
pub fn twn_weight(dims: &TwnWeightDims, w: &[f32], above: &[f32], y: &mut [f32]) {
    let pitch = 4 * dims.o4 as usize;
    let (delta, above) = above.split_at(pitch);
    let (sum, count) = above.split_at(pitch);
    let mut alpha: Vec<f32> = sum.iter().zip(count).map(|(s, n)| s / n.max(1.0)).collect();
    if dims.per_layer == 1 {
        alpha.fill(total(sum) / total(count).max(1.0));
    }
    rows(y, pitch, 2 * pitch, |row, y| {
        for (((y, w), d), a) in y.iter_mut().zip(&w[row * pitch..]).zip(delta).zip(&alpha) {
            *y = if *w > *d {
                *a
            } else if *w < -*d {
                -*a
            } else {
                0.0
            };
        }
    });
}
