//! Twin of `shaders/fixed_quantize.wgsl`.

use super::fixed::{fixed_scale, pack_bytes};
use super::parallel::rows;
use super::simd::Lanes;
use crate::plan::round4;
use crate::{dims, vectorized};

dims! {
    /// Sizes and scale of `fixed_quantize`.
    pub struct FixedQuantizeDims {
        /// Images of this slice.
        images: u32,
        /// Rows of x.
        h: u32,
        /// Columns of x.
        w: u32,
        /// Rows of y.
        out_h: u32,
        /// Columns of y.
        out_w: u32,
        /// Channels.
        c: u32,
        /// 1: averages over windows of 2x2 first.
        pool: u32,
        /// Multiplier.
        mul: i32,
        /// Divisor, as a power of two.
        shift: i32,
        /// What 0 becomes.
        zero: i32,
    }
}

/// q = clamp(fixed_scale(a, mul, shift) + zero, -128, 127), a being x or its mean over the pixels of a window.
pub fn fixed_quantize(dims: &FixedQuantizeDims, x: &[i32], y: &mut [u32]) {
    let (words, pitch) = (dims.c.div_ceil(4) as usize, round4(dims.c) as usize);
    let (w, width) = (dims.w as usize * pitch, dims.out_w as usize * words);
    rows(y, width, 8 * width, |row, y| {
        let (image, oy) = (row / dims.out_h as usize, row % dims.out_h as usize);
        if dims.pool == 0 {
            quantize(&x[row * w..][..w], dims.mul, dims.shift, dims.zero, y);
        } else {
            let first = 2 * oy;
            let at = (image * dims.h as usize + first) * w;
            let second = if first + 1 < dims.h as usize { Some(&x[at + w..][..w]) } else { None };
            let mut means = vec![0i32; dims.out_w as usize * pitch];
            average(&x[at..][..w], second, pitch, &mut means);
            quantize(&means, dims.mul, dims.shift, dims.zero, y);
        }
        // A last word that is not full: the others of its bytes are no channels.
        if !dims.c.is_multiple_of(4) {
            let mask = u32::MAX >> (8 * (4 - dims.c % 4));
            y.iter_mut().skip(words - 1).step_by(words).for_each(|y| *y &= mask);
        }
    });
}

/// Means of windows of 2x2 over two rows (or over the last one alone), rounded down.
fn average(first: &[i32], second: Option<&[i32]>, pitch: usize, means: &mut [i32]) {
    for (ox, means) in means.chunks_exact_mut(pitch).enumerate() {
        let mut count = 0;
        for row in [Some(first), second].into_iter().flatten() {
            for pixel in row[2 * ox * pitch..].chunks_exact(pitch).take(2) {
                means.iter_mut().zip(pixel).for_each(|(m, x)| *m = m.wrapping_add(*x));
                count += 1u32;
            }
        }
        means.iter_mut().for_each(|m| *m >>= count.ilog2());
    }
}

#[inline(always)]
#[allow(clippy::extra_unused_type_parameters)] // `vectorized!` gives it.
fn quantize_body<L: Lanes>(x: &[i32], mul: i32, shift: i32, zero: i32, y: &mut [u32]) {
    for (y, x) in y.iter_mut().zip(x.as_chunks::<4>().0) {
        *y = pack_bytes(&x.map(|x| fixed_scale(x, mul, shift).wrapping_add(zero).clamp(-128, 127)));
    }
}

vectorized! {
    fn quantize(x: &[i32], mul: i32, shift: i32, zero: i32, y: &mut [u32]) => quantize_body
}
