//! Twins of `shaders/gradient_squares.wgsl`, `gradient_sums.wgsl`, `finite_flag.wgsl` and `gradient_gate.wgsl`.

use rayon::prelude::*;

use crate::dims;

dims! {
    /// Sizes of `gradient_squares`.
    pub struct GradientSquaresDims {
        /// First block of this slab.
        first: u32,
        /// Its blocks.
        count: u32,
    }
}
dims! {
    /// Sizes of `gradient_sums`.
    pub struct GradientSumsDims {
        /// Parameters of the group.
        params: u32,
    }
}
dims! {
    /// Sizes of `finite_flag`.
    pub struct FiniteFlagDims {
        /// Values to look at.
        count: u32,
        /// Which flag to set.
        slot: u32,
    }
}
dims! {
    /// Sizes of `gradient_gate`.
    pub struct GradientGateDims {
        /// Parameters of the group.
        params: u32,
        /// Flags to look at.
        flags: u32,
        /// The place of the largest norm in `hyper`.
        clip: u32,
        /// Place of the gradients' factor in the hyper tensor; 0 there counts as 1.
        factor: u32,
    }
}

const INFINITY: u32 = 0x7f80_0000;

fn is_bad(bits: u32) -> bool {
    bits & INFINITY == INFINITY
}

/// Sum of squares of each block and whether an element is not finite, in the order of the kernel: 64 lanes of vec4.
pub fn gradient_squares(d: &GradientSquaresDims, grads: &[u32], blocks: &[u32], sums: &mut [f32], bad: &mut [u32]) {
    let range = d.first as usize..(d.first + d.count) as usize;
    let out = sums[range.clone()].par_iter_mut().zip(&mut bad[range.clone()]);
    out.zip(blocks[2 * range.start..2 * range.end].par_chunks_exact(2)).for_each(|((sum, bad), block)| {
        let data = &grads[block[0] as usize..][..(block[1] as usize).next_multiple_of(4)];
        let mut lanes = [0f32; 256];
        let mut largest = 0u32;
        for row in data.chunks(256) {
            for (lane, bits) in lanes.iter_mut().zip(row) {
                largest = largest.max(bits & 0x7fff_ffff);
                let g = f32::from_bits(*bits);
                *lane += g * g;
            }
        }
        let mut folded = [0f32; 64];
        for (f, l) in folded.iter_mut().zip(lanes.chunks_exact(4)) {
            *f = (l[0] + l[1]) + (l[2] + l[3]);
        }
        *sum = super::tree_sum(&mut folded);
        *bad = is_bad(largest) as u32;
    });
}

/// The blocks of each parameter in order; the bits of infinity where something was not finite.
pub fn gradient_sums(d: &GradientSumsDims, ranges: &[u32], sums: &[f32], bad: &[u32], squares: &mut [u32]) {
    for (square, range) in squares.iter_mut().zip(ranges.chunks_exact(2)).take(d.params as usize) {
        let blocks = range[0] as usize..(range[0] + range[1]) as usize;
        let sum = sums[blocks.clone()].iter().fold(0f32, |s, v| s + v);
        let wrong = bad[blocks].iter().any(|b| *b > 0) || is_bad(sum.to_bits());
        *square = if wrong { INFINITY } else { sum.to_bits() };
    }
}

/// `flags[slot]` = 1 where a value is not finite.
pub fn finite_flag(d: &FiniteFlagDims, x: &[u32], flags: &mut [u32]) {
    flags[d.slot as usize] = x[..d.count as usize].iter().any(|b| is_bad(*b)) as u32;
}

/// Norm, clip scale and gate.
pub fn gradient_gate(
    d: &GradientGateDims,
    squares: &[u32],
    flags: &[u32],
    hyper: &[f32],
    norm: &mut [u32],
    gate: &mut [u32],
) {
    let squares = &squares[..d.params as usize];
    let sum = squares.iter().filter(|b| !is_bad(**b)).fold(0f32, |s, b| s + f32::from_bits(*b));
    let finite = !squares.iter().any(|b| is_bad(*b)) && !is_bad(sum.to_bits());
    let factor = match hyper[d.factor as usize] {
        0.0 => 1.0,
        f => f,
    };
    let length = if finite { factor * sum.sqrt() } else { 0.0 };
    norm[0] = if finite { length.to_bits() } else { INFINITY };
    let clip = hyper[d.clip as usize];
    let scale = factor * if clip > 0.0 { (clip / (length + 1e-6)).min(1.0) } else { 1.0 };
    norm[1] = scale.to_bits();
    gate[0] = (finite && flags[..d.flags as usize].iter().all(|f| *f == 0)) as u32;
}
