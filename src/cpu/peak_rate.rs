//! Twins of `shaders/peak_popcount.wgsl` and `shaders/peak_multiply_add.wgsl`.

use rayon::prelude::*;

use super::simd::Lanes;
use crate::{dims, vectorized};

dims! {
    /// Sizes of `peak_popcount` and `peak_multiply_add`.
    pub struct PeakRateDims {
        /// Number of vectors of four values.
        vectors: u32,
        /// Rounds of the loop, at least 1.
        rounds: u32,
    }
}

/// Values that a thread has in registers at a time: four vectors of sixteen, in two chains each.
const WIDTH: usize = 64;
/// Times that a round's arithmetic is done.
const UNROLLED: u32 = 8;
/// w_1 of `peak_popcount`.
const STEP: u32 = 2_654_435_769;

/// Blocks of [`WIDTH`] values, in parallel; the last one is filled up.
fn blocks<T: Copy + Default + Send + Sync>(x: &[T], y: &mut [T], body: impl Fn(&[T; WIDTH], &mut [T; WIDTH]) + Sync) {
    y.par_chunks_mut(WIDTH * 16).zip(x.par_chunks(WIDTH * 16)).for_each(|(y, x)| {
        for (y, x) in y.chunks_mut(WIDTH).zip(x.chunks(WIDTH)) {
            let (mut values, mut out) = ([T::default(); WIDTH], [T::default(); WIDTH]);
            values[..x.len()].copy_from_slice(x);
            body(&values, &mut out);
            y.copy_from_slice(&out[..y.len()]);
        }
    });
}

/// y = sum over r < 8 rounds and j < 2 of the ones in (x + j) ^ w_r.
pub fn peak_popcount(dims: &PeakRateDims, x: &[u32], y: &mut [u32]) {
    blocks(x, y, |x, y| ones(dims.rounds * UNROLLED, x, y));
}

fn ones(times: u32, x: &[u32; WIDTH], y: &mut [u32; WIDTH]) {
    #[cfg(target_arch = "x86_64")]
    if super::simd::level() == super::simd::Level::Avx512 {
        // SAFETY: `level` has seen these features on this machine.
        unsafe { count_words(times, x, y) };
        return;
    }
    count(times, x, y);
}

/// [`count_body`] with `vpopcntd`, which the compiler does not find by itself (see `binary_conv2d`).
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
fn count_words(times: u32, x: &[u32; WIDTH], y: &mut [u32; WIDTH]) {
    use std::arch::x86_64::*;
    let one = _mm512_set1_epi32(1);
    let mut first = [one; 4];
    for (v, x) in first.iter_mut().zip(x.chunks_exact(16)) {
        // SAFETY: sixteen words lie there.
        *v = unsafe { _mm512_loadu_si512(x.as_ptr().cast()) };
    }
    let mut sums = [[_mm512_setzero_si512(); 2]; 4];
    let mut w = 0u32;
    for _ in 0..times {
        let word = _mm512_set1_epi32(w as i32);
        for (s, v) in sums.iter_mut().zip(&first) {
            let next = _mm512_add_epi32(*v, one);
            s[0] = _mm512_add_epi32(s[0], _mm512_popcnt_epi32(_mm512_xor_si512(*v, word)));
            s[1] = _mm512_add_epi32(s[1], _mm512_popcnt_epi32(_mm512_xor_si512(next, word)));
        }
        w = w.wrapping_add(STEP);
    }
    for (s, y) in sums.iter().zip(y.chunks_exact_mut(16)) {
        // SAFETY: there is room for sixteen words.
        unsafe { _mm512_storeu_si512(y.as_mut_ptr().cast(), _mm512_add_epi32(s[0], s[1])) };
    }
}

vectorized!(fn count(times: u32, x: &[u32; WIDTH], y: &mut [u32; WIDTH]) => count_body);

#[inline(always)]
#[allow(clippy::extra_unused_type_parameters)] // `vectorized!` gives it.
fn count_body<L: Lanes>(times: u32, x: &[u32; WIDTH], y: &mut [u32; WIDTH]) {
    let mut w = 0u32;
    for _ in 0..times {
        for (s, x) in y.iter_mut().zip(x) {
            *s += (x ^ w).count_ones() + (x.wrapping_add(1) ^ w).count_ones();
        }
        w = w.wrapping_add(STEP);
    }
}

/// y = a_0 + a_1 after 8 rounds of a_j = a_j x + x, with a_j = j at first.
pub fn peak_multiply_add(dims: &PeakRateDims, x: &[f32], y: &mut [f32]) {
    blocks(x, y, |x, y| chain(dims.rounds * UNROLLED, x, y));
}

vectorized!(fn chain(times: u32, x: &[f32; WIDTH], y: &mut [f32; WIDTH]) => chain_body);

#[inline(always)]
fn chain_body<L: Lanes>(times: u32, x: &[f32; WIDTH], y: &mut [f32; WIDTH]) {
    let (mut a0, mut a1) = ([0f32; WIDTH], [1f32; WIDTH]);
    for _ in 0..times {
        for l in 0..WIDTH {
            a0[l] = L::mul_add(a0[l], x[l], x[l]);
            a1[l] = L::mul_add(a1[l], x[l], x[l]);
        }
    }
    for l in 0..WIDTH {
        y[l] = a0[l] + a1[l];
    }
}
