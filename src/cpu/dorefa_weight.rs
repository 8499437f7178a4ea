//! Twins of `shaders/dorefa_weight*.wgsl`.

use super::parallel::rows;
use super::tree_sum;
use crate::dims;
use crate::plan::round4;

dims! {
    /// Sizes of the `dorefa_weight` kernels.
    pub struct DorefaWeightDims {
        /// Number of `vec4<f32>` of the tensor.
        vectors: u32,
        /// `vec4<f32>` of the output channels.
        o4: u32,
        /// Input channels with padding.
        cp: u32,
        /// Input channels.
        c: u32,
        /// Output channels.
        o: u32,
        /// Workgroups of the reductions.
        blocks: u32,
        /// Steps of the grid from -1 to 1: 2^bits - 1.
        levels: f32,
    }
}

/// Lanes of a reduction's workgroup.
const LANES: usize = 64;

fn largest(maxima: &[f32]) -> f32 {
    maxima.iter().fold(0.0, |m, v| m.max(*v))
}

/// The vectors of a lane of a block, in order.
fn share(values: &[f32], blocks: usize, block: usize, lane: usize) -> impl Iterator<Item = &[f32; 4]> {
    values.as_chunks::<4>().0.iter().skip(block * LANES + lane).step_by(blocks * LANES)
}

/// Each block's max |w|.
pub fn dorefa_weight_max(dims: &DorefaWeightDims, w: &[f32], maxima: &mut [f32]) {
    let blocks = dims.blocks as usize;
    rows(maxima, 1, w.len() / blocks, |block, m| {
        m[0] = 0.0;
        for first in w.chunks(4 * LANES).skip(block).step_by(blocks) {
            m[0] = first.iter().fold(m[0], |m, v| m.max(v.abs()));
        }
    });
}

/// y = 2 round(levels (tanh(w) / (2 max |tanh w|) + 1/2)) / levels - 1, halves to even; 0 in the padding.
pub fn dorefa_weight(dims: &DorefaWeightDims, w: &[f32], maxima: &[f32], y: &mut [f32]) {
    let (op, o, levels) = (4 * dims.o4 as usize, dims.o as usize, dims.levels);
    let largest = largest(maxima);
    let m = largest.tanh();
    rows(y, op, 16 * op, |row, y| {
        y.fill(0.0);
        if row as u32 % dims.cp < dims.c {
            for (y, w) in y[..o].iter_mut().zip(&w[row * op..]) {
                let t = if largest > 0.0 { w.tanh() / m } else { 0.0 };
                *y = (2.0 * (levels * (0.5 * t + 0.5)).round_ties_even() - levels) / levels;
            }
        }
    });
}

/// Each block's sum of g tanh(w), then each block's number of w whose |w| is the maximum.
pub fn dorefa_weight_d_sums(dims: &DorefaWeightDims, w: &[f32], g: &[f32], maxima: &[f32], sums: &mut [f32]) {
    let blocks = dims.blocks as usize;
    let largest = largest(maxima);
    let (sums, counts) = sums.split_at_mut(blocks);
    rows(sums, 1, 16 * w.len() / blocks, |block, out| {
        let mut lanes = [0f32; LANES];
        for (lane, total) in lanes.iter_mut().enumerate() {
            let mut sum = [0f32; 4];
            for (w, g) in share(w, blocks, block, lane).zip(share(g, blocks, block, lane)) {
                (0..4).for_each(|i| sum[i] += g[i] * w[i].tanh());
            }
            *total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        }
        out[0] = tree_sum(&mut lanes);
    });
    rows(counts, 1, w.len() / blocks, |block, out| {
        let mine = w.chunks(4 * LANES).skip(block).step_by(blocks).flatten();
        out[0] = mine.filter(|w| w.abs() == largest).count() as f32;
    });
}

/// d_w += (1 - t^2) (g / m - [|w| is the maximum] sign(w) (sum of g t) / (m^2 number of maxima)), t = tanh(w), m = max |t|;
/// 0 where m is 0.
pub fn dorefa_weight_d_latent(
    dims: &DorefaWeightDims,
    w: &[f32],
    g: &[f32],
    maxima: &[f32],
    sums: &[f32],
    d_w: &mut [f32],
) {
    let largest = largest(maxima);
    if largest == 0.0 {
        return;
    }
    let m = largest.tanh();
    let (sums, counts) = sums.split_at(dims.blocks as usize);
    let count: f32 = counts.iter().sum();
    let share = sums.iter().fold(0.0, |a, s| a + s) / m / count;
    let width = (round4(dims.o) * dims.cp) as usize;
    rows(d_w, width, 16 * width, |tap, d_w| {
        for ((d, w), g) in d_w.iter_mut().zip(&w[tap * width..]).zip(&g[tap * width..]) {
            let t = w.tanh();
            let share = if w.abs() == largest { w.signum() * share } else { 0.0 };
            *d += (1.0 - t * t) * (g - share) / m;
        }
    });
}
