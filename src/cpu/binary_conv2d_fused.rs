//! Twin of `binary_conv2d_fused.wgsl`.

use rayon::prelude::*;

use super::binary_conv2d::Sums;
use super::conv2d::ConvDims;
use super::fixed::fixed_scale;
use super::simd::Lanes;
use crate::plan::round4;
use crate::vectorized;

/// Channels of a block.
const OB: usize = Sums::CHANNELS;

/// What a block of channels is finished with: the planes of `affine`, and what is wanted.
struct Finish {
    /// Scale or multiplier, shift or exponent, and so on, as in the shader.
    planes: [[u32; OB]; 4],
    relu: bool,
    above: bool,
}

#[inline(always)]
#[allow(clippy::extra_unused_type_parameters)] // `vectorized!` gives it.
fn finish_float_body<L: Lanes>(f: &Finish, sums: &[i32; OB], residual: &[u32; OB], y: &mut [u32; OB], word: &mut u32) {
    let [scale, _, shift, t] = &f.planes;
    let mut bits = 0;
    for k in 0..OB {
        let v = f32::from_bits(scale[k]) * sums[k] as f32 + f32::from_bits(shift[k]) + f32::from_bits(residual[k]);
        let v = if f.relu { v.max(0.0) } else { v };
        y[k] = v.to_bits();
        let t = v + f32::from_bits(t[k]);
        bits |= u32::from(if f.above { t > 0.0 } else { t < 0.0 }) << k;
    }
    *word = bits;
}

#[inline(always)]
#[allow(clippy::extra_unused_type_parameters)] // `vectorized!` gives it.
fn finish_fixed_body<L: Lanes>(f: &Finish, sums: &[i32; OB], residual: &[u32; OB], y: &mut [u32; OB], word: &mut u32) {
    let [mul, s, add, t] = &f.planes;
    let mut bits = 0;
    for k in 0..OB {
        let v = fixed_scale(sums[k], mul[k] as i32, s[k] as i32);
        let v = v.wrapping_add(add[k] as i32).wrapping_add(residual[k] as i32);
        let v = if f.relu { v.max(0) } else { v };
        y[k] = v as u32;
        let t = v.wrapping_add(t[k] as i32);
        bits |= u32::from(if f.above { t > 0 } else { t < 0 }) << k;
    }
    *word = bits;
}

vectorized! {
    fn finish_float(f: &Finish, sums: &[i32; OB], residual: &[u32; OB], y: &mut [u32; OB], word: &mut u32) => finish_float_body
}
vectorized! {
    fn finish_fixed(f: &Finish, sums: &[i32; OB], residual: &[u32; OB], y: &mut [u32; OB], word: &mut u32) => finish_fixed_body
}

/// Sums, scale and shift, residual, ReLU, map and sign words: the algebra is the shader's. x: (N,H,W,words); w:
/// (KH,KW,words,O padded); affine: 4 planes of O padded; residual and y: maps; y_words: (N,P,Q,ceil(O / 32)). Buffers that
/// `dims` does not ask for are left alone.
pub fn binary_conv2d_fused(
    dims: &ConvDims,
    x: &[u32],
    w: &[u32],
    affine: &[u32],
    residual: &[u32],
    y: &mut [u32],
    y_words: &mut [u32],
) {
    let sums = Sums::new(dims, x, w);
    let (o, op, ow) = (dims.o as usize, round4(dims.o) as usize, dims.o.div_ceil(32) as usize);
    let pixels = (dims.n * dims.p * dims.q) as usize;
    let finish: Vec<Finish> = (0..o.div_ceil(OB))
        .map(|p| Finish {
            planes: [0, 1, 2, 3].map(|i| {
                let mut plane = [0; OB];
                let width = OB.min(o - p * OB);
                plane[..width].copy_from_slice(&affine[i * op + p * OB..][..width]);
                plane
            }),
            relu: dims.relu == 1,
            above: dims.pack == 2,
        })
        .collect();
    // A task is some blocks of pixels, with their part of each output that is wanted.
    const BLOCKS: usize = 8;
    const TASK: usize = BLOCKS * Sums::PIXELS;
    let tasks = pixels.div_ceil(TASK);
    let (map, pack) = (dims.map == 1, dims.pack != 0);
    let maps = parts(y, map, TASK * op, pixels * op, tasks);
    let words = parts(y_words, pack, TASK * ow, pixels * ow, tasks);
    maps.into_par_iter().zip(words).enumerate().for_each_init(
        || sums.sources(),
        |sources, (task, (y, y_words))| {
            for block in 0..BLOCKS.min((pixels - task * TASK).div_ceil(Sums::PIXELS)) {
                let block = task * BLOCKS + block;
                sums.block(block, sources, |i, first, sums| {
                    let (pixel, width) = (block * Sums::PIXELS + i, OB.min(o - first));
                    let mut values = [0; OB];
                    if dims.residual == 1 {
                        values[..width].copy_from_slice(&residual[pixel * op + first..][..width]);
                    }
                    let (f, residual, mut word) = (&finish[first / OB], values, 0);
                    match dims.fixed {
                        0 => finish_float(f, sums, &residual, &mut values, &mut word),
                        _ => finish_fixed(f, sums, &residual, &mut values, &mut word),
                    }
                    let at = pixel - task * TASK;
                    if map {
                        let row = &mut y[at * op..][..op];
                        row[first..first + width].copy_from_slice(&values[..width]);
                        row[o..].fill(0);
                    }
                    if pack {
                        y_words[at * ow + first / OB] = word & u32::MAX >> (OB - width);
                    }
                });
            }
        },
    );
}

/// The tasks' parts of an output, empty ones where it is not wanted.
fn parts(buffer: &mut [u32], wanted: bool, part: usize, len: usize, tasks: usize) -> Vec<&mut [u32]> {
    let mut list: Vec<&mut [u32]> = if wanted { buffer[..len].chunks_mut(part).collect() } else { Vec::new() };
    list.resize_with(tasks, Default::default);
    list
}
