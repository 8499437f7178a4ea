//! The loops of the convolution of bytes: exact sums of products over gathered pixels.
//!
//! ```text
//! sums[m][o] = start[o] + sum over taps t, channels c of x[src(m, t)][c] * w[t][c][o]
//! ```
//! `src(m, t)` is the pixel that tap t of row m reads; outside the map it is a pixel of `outside`. Two ways, chosen by
//! the machine, and one result, as these sums do not round:
//! - floats: bytes as floats and fused multiply-adds. A product is at most 2^14, so [`EXACT`] of them sum up to at most
//!   2^24, and up to there every integer is a float. After so many, the floats are added to integers.
//! - bytes: `vpdpbusd` adds four products of an unsigned and a signed byte. x + 128 is unsigned; 128 times the sum of
//!   the weights is taken off at the start.

use std::ops::Range;

use rayon::prelude::*;

use super::conv_core::{NONE, OB, PB, multiply_add};
use super::simd::Lanes;
use crate::vectorized;

/// Products whose sum is exact in a float.
const EXACT: usize = 1024;

/// A block's results.
pub type Row = [i32; OB];

/// Sizes of the sums.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Taps of the kernel.
    pub taps: usize,
    /// Channels of x.
    pub channels: usize,
    /// Columns of w, padding included.
    pub columns: usize,
}

impl Sizes {
    fn words(&self) -> usize {
        self.channels.div_ceil(4)
    }
    /// Blocks of columns.
    pub fn panels(&self) -> usize {
        self.columns.div_ceil(OB)
    }
}

/// Both operands as the loops want them. Weights are panels [columns / OB][taps][depth][OB], the last one filled with
/// zeros; a depth is a channel, or of bytes a word of four.
pub enum Operands {
    /// Floats.
    Floats(Prepared<f32>),
    /// Words of four bytes, those of x unsigned.
    Bytes(Prepared<u32>),
}

/// One way's operands.
pub struct Prepared<T> {
    sizes: Sizes,
    /// Elements of a pixel that count.
    depth: usize,
    /// Elements from pixel to pixel.
    pitch: usize,
    x: Vec<T>,
    outside: Vec<T>,
    w: Vec<T>,
    /// First sums, a row a panel.
    start: Vec<Row>,
}

impl Operands {
    /// From packed bytes: x (pixels, words), w (taps, words, columns), the word that is read outside, and the first sum
    /// of each column.
    pub fn new(sizes: Sizes, x: &[u32], w: &[u32], outside: u32, start: &[i32], bytes: bool) -> Self {
        let mut first = vec![[0i32; OB]; sizes.panels()];
        first.as_flattened_mut()[..sizes.columns].copy_from_slice(start);
        if bytes { Operands::bytes(sizes, x, w, outside, first) } else { Operands::floats(sizes, x, w, outside, first) }
    }

    fn floats(sizes: Sizes, x: &[u32], w: &[u32], outside: u32, start: Vec<Row>) -> Self {
        let (words, depth) = (sizes.words(), sizes.channels);
        let mut pixels = vec![0f32; 4 * x.len()];
        let chunk = 1 << 14;
        pixels.par_chunks_mut(4 * chunk).zip(x.par_chunks(chunk)).for_each(|(to, from)| unpack(from, to));
        let mut pad = vec![0f32; 4 * words];
        unpack(&vec![outside; words], &mut pad);
        let mut panels = vec![0f32; sizes.panels() * sizes.taps * depth * OB];
        panels.par_chunks_mut(sizes.taps * depth * OB).enumerate().for_each(|(p, panel)| {
            for (t, tap) in panel.chunks_exact_mut(depth * OB).enumerate() {
                for (j, rows) in tap.chunks_mut(4 * OB).enumerate() {
                    unpack_weights(columns_of(&sizes, w, t * words + j, p), rows);
                }
            }
        });
        Operands::Floats(Prepared { sizes, depth, pitch: 4 * words, x: pixels, outside: pad, w: panels, start })
    }

    fn bytes(sizes: Sizes, x: &[u32], w: &[u32], outside: u32, mut start: Vec<Row>) -> Self {
        let depth = sizes.words();
        // Adding 128 to a signed byte turns its highest bit over.
        const UNSIGNED: u32 = 0x8080_8080;
        let mut pixels = vec![0u32; x.len()];
        let chunk = 1 << 14;
        pixels.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(to, from)| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = from ^ UNSIGNED);
        });
        let mut panels = vec![0u32; sizes.panels() * sizes.taps * depth * OB];
        panels.par_chunks_mut(sizes.taps * depth * OB).zip(&mut start).enumerate().for_each(|(p, (panel, start))| {
            for (i, row) in panel.as_chunks_mut::<OB>().0.iter_mut().enumerate() {
                let from = columns_of(&sizes, w, i, p);
                row[..from.len()].copy_from_slice(from);
            }
            take_off(panel, start);
        });
        let outside = vec![outside ^ UNSIGNED; depth];
        Operands::Bytes(Prepared { sizes, depth, pitch: depth, x: pixels, outside, w: panels, start })
    }

    /// The sums of a panel for a multiple of [`PB`] rows. `sources`: a pixel for each row and tap, or [`NONE`].
    pub fn sums(&self, panel: usize, sources: &[usize], sums: &mut [Row]) {
        match self {
            Operands::Floats(p) => {
                sums.fill(p.start[panel]);
                float_sums(p, panel, sources, sums);
            }
            Operands::Bytes(p) => byte_sums(p, panel, sources, sums),
        }
    }
}

/// The words of row `i` of w that belong to panel `p`.
fn columns_of<'a>(sizes: &Sizes, w: &'a [u32], i: usize, p: usize) -> &'a [u32] {
    &w[i * sizes.columns + p * OB..][..OB.min(sizes.columns - p * OB)]
}

#[inline(always)]
#[allow(clippy::extra_unused_type_parameters)] // `vectorized!` gives it.
fn unpack_body<L: Lanes>(from: &[u32], to: &mut [f32]) {
    for (to, from) in to.as_chunks_mut::<4>().0.iter_mut().zip(from) {
        *to = from.to_le_bytes().map(|b| b as i8 as f32);
    }
}

/// `from`: the words of a row; `to`: up to four rows of OB channels' weights.
#[inline(always)]
#[allow(clippy::extra_unused_type_parameters)] // `vectorized!` gives it.
fn unpack_weights_body<L: Lanes>(from: &[u32], to: &mut [f32]) {
    for (k, row) in to.as_chunks_mut::<OB>().0.iter_mut().enumerate() {
        for (to, from) in row.iter_mut().zip(from) {
            *to = ((from << (24 - 8 * k)) as i32 >> 24) as f32;
        }
    }
}

/// Subtracts 128 times the sum of each column's weights.
#[inline(always)]
#[allow(clippy::extra_unused_type_parameters)] // `vectorized!` gives it.
fn take_off_body<L: Lanes>(panel: &[u32], start: &mut Row) {
    let mut sum = [0i32; OB];
    for row in panel.as_chunks::<OB>().0 {
        for (sum, w) in sum.iter_mut().zip(row) {
            let byte = |k: u32| (w << (24 - 8 * k)) as i32 >> 24;
            *sum += byte(0) + byte(1) + byte(2) + byte(3);
        }
    }
    start.iter_mut().zip(sum).for_each(|(s, sum)| *s = s.wrapping_sub(128 * sum));
}

vectorized! {
    fn unpack(from: &[u32], to: &mut [f32]) => unpack_body
}
vectorized! {
    fn unpack_weights(from: &[u32], to: &mut [f32]) => unpack_weights_body
}
vectorized! {
    fn take_off(panel: &[u32], start: &mut Row) => take_off_body
}

impl<T> Prepared<T> {
    fn panel(&self, panel: usize) -> &[[T; OB]] {
        let size = self.sizes.taps * self.depth;
        self.w[panel * size * OB..][..size * OB].as_chunks::<OB>().0
    }

    /// The pixel that tap `t` of row `i` of a block reads. No closures here and in the blocks: they are compiled without
    /// the caller's vector instructions, and not always inlined.
    #[inline(always)]
    fn pixel(&self, sources: &[usize], i: usize, t: usize) -> &[T] {
        match sources[i * self.sizes.taps + t] {
            NONE => &self.outside[..self.depth],
            pixel => &self.x[pixel * self.pitch..][..self.depth],
        }
    }
}

#[inline(always)]
fn float_sums_body<L: Lanes>(p: &Prepared<f32>, panel: usize, sources: &[usize], sums: &mut [Row]) {
    let (taps, depth) = (p.sizes.taps, p.depth);
    let panel = p.panel(panel);
    // As many whole taps at a time as are exact, or parts of one. Weights of this size stay in the cache for all rows.
    let group = (EXACT / depth).max(1);
    for t in (0..taps).step_by(group) {
        for c in (0..depth).step_by(EXACT) {
            let (t, c) = (t..(t + group).min(taps), c..(c + EXACT).min(depth));
            for (sums, sources) in sums.as_chunks_mut::<PB>().0.iter_mut().zip(sources.chunks_exact(PB * taps)) {
                let mut part = [[0f32; OB]; PB];
                float_block::<L>(p, panel, sources, t.clone(), c.clone(), &mut part);
                for (sums, part) in sums.as_flattened_mut().iter_mut().zip(part.as_flattened()) {
                    *sums = sums.wrapping_add(*part as i32);
                }
            }
        }
    }
}

#[inline(always)]
fn float_block<L: Lanes>(
    p: &Prepared<f32>,
    panel: &[[f32; OB]],
    sources: &[usize],
    taps: Range<usize>,
    channels: Range<usize>,
    part: &mut [[f32; OB]; PB],
) {
    let mut sum = *part;
    let (c, n) = (channels.start, channels.len());
    for t in taps {
        // Named rows of a length that the compiler knows: only then does it keep the sums in registers.
        let (r0, r1) = (&p.pixel(sources, 0, t)[c..][..n], &p.pixel(sources, 1, t)[c..][..n]);
        let (r2, r3) = (&p.pixel(sources, 2, t)[c..][..n], &p.pixel(sources, 3, t)[c..][..n]);
        let (r4, r5) = (&p.pixel(sources, 4, t)[c..][..n], &p.pixel(sources, 5, t)[c..][..n]);
        let w = &panel[t * p.depth + c..][..n];
        for d in 0..n {
            multiply_add::<L>(&mut sum, &[r0[d], r1[d], r2[d], r3[d], r4[d], r5[d]], &w[d]);
        }
    }
    *part = sum;
}

vectorized! {
    fn float_sums(p: &Prepared<f32>, panel: usize, sources: &[usize], sums: &mut [Row]) => float_sums_body
}

/// Only where [`super::simd::byte_products`] holds: [`Operands`] are of bytes nowhere else.
fn byte_sums(p: &Prepared<u32>, panel: usize, sources: &[usize], sums: &mut [Row]) {
    assert!(super::simd::byte_products(), "byte products on a machine without them");
    #[cfg(target_arch = "x86_64")]
    for (sums, sources) in sums.as_chunks_mut::<PB>().0.iter_mut().zip(sources.chunks_exact(PB * p.sizes.taps)) {
        // SAFETY: this machine has the instructions, as just asserted.
        unsafe { byte_block(p, p.panel(panel), &p.start[panel], sources, sums) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (p, panel, sources, sums);
}

/// A row as two vectors. A transmute, as the loads of `std::arch` go over the stack where assertions are on.
#[cfg(target_arch = "x86_64")]
type Halves = [std::arch::x86_64::__m512i; 2];

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn byte_block(p: &Prepared<u32>, panel: &[[u32; OB]], start: &Row, sources: &[usize], sums: &mut [Row; PB]) {
    use std::arch::x86_64::{_mm512_dpbusd_epi32, _mm512_set1_epi32};
    const { assert!(PB == 6) };
    let n = p.depth;
    // SAFETY: both are plain integers of the same size, here and below.
    let mut sum = [unsafe { std::mem::transmute::<Row, Halves>(*start) }; PB];
    for t in 0..p.sizes.taps {
        let (r0, r1, r2) = (p.pixel(sources, 0, t), p.pixel(sources, 1, t), p.pixel(sources, 2, t));
        let (r3, r4, r5) = (p.pixel(sources, 3, t), p.pixel(sources, 4, t), p.pixel(sources, 5, t));
        let w = &panel[t * n..][..n];
        for d in 0..n {
            // SAFETY: as above.
            let [low, high] = unsafe { std::mem::transmute::<[u32; OB], Halves>(w[d]) };
            let x = [r0[d], r1[d], r2[d], r3[d], r4[d], r5[d]];
            for i in 0..PB {
                let x = _mm512_set1_epi32(x[i] as i32);
                sum[i] = [_mm512_dpbusd_epi32(sum[i][0], x, low), _mm512_dpbusd_epi32(sum[i][1], x, high)];
            }
        }
    }
    for i in 0..PB {
        // SAFETY: as above.
        sums[i] = unsafe { std::mem::transmute::<Halves, Row>(sum[i]) };
    }
}
