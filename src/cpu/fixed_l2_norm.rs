//! Twin of `shaders/fixed_l2_norm.wgsl`.

use super::fixed::pack_bytes;
use super::parallel::rows;
use super::simd::Lanes;
use crate::{dims, vectorized};

dims! {
    /// Sizes of `fixed_l2_norm`.
    pub struct FixedL2NormDims {
        /// Pixels of this slice.
        pixels: u32,
        /// Channels in vectors of four.
        vectors: u32,
        /// How many bits of x are dropped.
        shift: u32,
    }
}

/// `q_c = round(factor_c x_c / |x|)`; the algebra is in the shader.
pub fn fixed_l2_norm(dims: &FixedL2NormDims, x: &[i32], weight: &[i32], y: &mut [u32]) {
    let vectors = dims.vectors as usize;
    rows(y, vectors, 64 * vectors, |p, y| pixel(dims.shift, &x[4 * p * vectors..][..4 * vectors], weight, y));
}

/// What is left of x.
#[inline(always)]
fn shifted(x: i32, shift: u32) -> i32 {
    (x >> shift).clamp(-2047, 2047)
}

#[inline(always)]
#[allow(clippy::extra_unused_type_parameters)] // `vectorized!` gives it.
fn pixel_body<L: Lanes>(shift: u32, x: &[i32], weight: &[i32], y: &mut [u32]) {
    let square = |x: &i32| shifted(*x, shift) * shifted(*x, shift);
    let sum = x.iter().fold(0u32, |sum, x| sum.wrapping_add(square(x) as u32));
    let k = (sum.leading_zeros() / 2).min(15);
    let r = (sum << (2 * k)).isqrt().max(1);
    for ((y, x), weight) in y.iter_mut().zip(x.as_chunks::<4>().0).zip(weight.as_chunks::<4>().0) {
        *y = pack_bytes(&std::array::from_fn(|i| quotient(shifted(x[i], shift), k, weight[i], r)));
    }
}

/// t 2^k m / (r 2^e), to the nearest byte.
#[inline(always)]
fn quotient(t: i32, k: u32, weight: i32, r: u32) -> i32 {
    let m = weight >> 4;
    let d = r << (weight & 15);
    let n = (t.unsigned_abs() << k).wrapping_mul(m.unsigned_abs()).wrapping_add(d / 2);
    // The integer quotient, several times as fast: a quotient that is no whole number is below the next one by at least
    // 1 / (n + d) of it, far more than a double's rounding.
    let q = ((n as f64 / d as f64) as u32).min(128) as i32;
    (if (t < 0) != (m < 0) { -q } else { q }).clamp(-128, 127)
}

vectorized! {
    fn pixel(shift: u32, x: &[i32], weight: &[i32], y: &mut [u32]) => pixel_body
}
