//! Twin of `shaders/threshold_pack.wgsl`.

use super::parallel::rows;
use crate::dims;
use crate::plan::round4;

dims! {
    /// Sizes of `threshold_pack`.
    pub struct ThresholdPackDims {
        /// Pixels of this slice.
        pixels: u32,
        /// Channels.
        c: u32,
        /// 0: a set bit means x + t < 0; 1: it means x + t > 0.
        mode: u32,
        /// 0: numbers are f32; 1: i32. The shader has a constant for it.
        fixed: u32,
    }
}

/// Words of a map with a threshold a channel.
pub fn threshold_pack(dims: &ThresholdPackDims, x: &[u32], threshold: &[u32], y: &mut [u32]) {
    // x < -t and x > -t as the shader has it: comparing does not round.
    match (dims.fixed == 1, dims.mode == 1) {
        (false, false) => pack(dims, x, threshold, y, |x, t| f32::from_bits(x) < -f32::from_bits(t)),
        (false, true) => pack(dims, x, threshold, y, |x, t| f32::from_bits(x) > -f32::from_bits(t)),
        (true, false) => pack(dims, x, threshold, y, |x, t| (x as i32) < (t as i32).wrapping_neg()),
        (true, true) => pack(dims, x, threshold, y, |x, t| (x as i32) > (t as i32).wrapping_neg()),
    }
}

fn pack(
    dims: &ThresholdPackDims,
    x: &[u32],
    threshold: &[u32],
    y: &mut [u32],
    set: impl Fn(u32, u32) -> bool + Sync + Copy,
) {
    let (c, pitch, words) = (dims.c as usize, round4(dims.c) as usize, dims.c.div_ceil(32) as usize);
    rows(y, words, pitch, |p, y| {
        let x = &x[p * pitch..][..c];
        for ((y, x), t) in y.iter_mut().zip(x.chunks(32)).zip(threshold[..c].chunks(32)) {
            let bit = |bits: u32, (i, (x, t)): (usize, (&u32, &u32))| bits | (set(*x, *t) as u32) << i;
            *y = x.iter().zip(t).enumerate().fold(0, bit);
        }
    });
}
