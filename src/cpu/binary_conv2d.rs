//! Twins of `binary_conv2d.wgsl`, `binary_conv2d_d_input.wgsl`, `binary_conv2d_d_weight.wgsl`, `sign_pack.wgsl`,
//! `binary_weight.wgsl`, `binary_weight_center.wgsl` and `binary_weight_d_latent.wgsl`.
//!
//! A set bit means -1 in the `sign` domain and for weights; in the `zero_one` domain of activations it means 1
//! ("active"), a clear bit 0.

use rayon::prelude::*;

use super::conv_core::{NONE, Panels};
use super::conv2d::{ConvDims, Geometry, backward, weight_products};
use crate::dims;
use crate::plan::round4;
use crate::vectorized;

/// Output columns of a block.
const OB: usize = 32;
/// Rows of a block.
const PB: usize = 4;

#[inline(always)]
fn bits_body(
    x: &[u32],
    none: &[u32],
    sources: &[usize],
    taps: usize,
    words: usize,
    panel: &[u32],
    and: bool,
    counts: &mut [[u32; OB]; PB],
) {
    let mut sum = *counts;
    let (sources, none) = (&sources[..PB * taps], &none[..words]);
    for t in 0..taps {
        let row = |i: usize| match sources[i * taps + t] {
            NONE => none,
            at => &x[at..][..words],
        };
        // Named rows of a length that the compiler knows: only then does it keep the sums in registers.
        let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3));
        let w = &panel[t * words * OB..].as_chunks::<OB>().0[..words];
        if and {
            for j in 0..words {
                count::<true>(&mut sum, &[r0[j], r1[j], r2[j], r3[j]], &w[j]);
            }
        } else {
            for j in 0..words {
                count::<false>(&mut sum, &[r0[j], r1[j], r2[j], r3[j]], &w[j]);
            }
        }
    }
    *counts = sum;
}

#[inline(always)]
fn count<const AND: bool>(sum: &mut [[u32; OB]; PB], x: &[u32; PB], w: &[u32; OB]) {
    for i in 0..PB {
        for o in 0..OB {
            sum[i][o] += if AND { (x[i] & w[o]).count_ones() } else { (x[i] ^ w[o]).count_ones() };
        }
    }
}

vectorized! {
    avx2 fn bits_by_bytes(
        x: &[u32],
        none: &[u32],
        sources: &[usize],
        taps: usize,
        words: usize,
        panel: &[u32],
        and: bool,
        counts: &mut [[u32; OB]; PB],
    ) => bits_body
}

/// Set bits of x op w for a block of pixels and columns, added to `counts`.
fn bits(
    x: &[u32],
    none: &[u32],
    sources: &[usize],
    taps: usize,
    words: usize,
    panel: &[u32],
    and: bool,
    counts: &mut [[u32; OB]; PB],
) {
    #[cfg(target_arch = "x86_64")]
    if super::simd::level() == super::simd::Level::Avx512 {
        // SAFETY: `level` has seen these features on this machine.
        unsafe {
            match and {
                true => bits_by_words::<true>(x, none, sources, taps, words, panel, counts),
                false => bits_by_words::<false>(x, none, sources, taps, words, panel, counts),
            }
        }
        return;
    }
    bits_by_bytes(x, none, sources, taps, words, panel, and, counts);
}

/// A row of a block as two vectors.
#[cfg(target_arch = "x86_64")]
type Halves = [std::arch::x86_64::__m512i; 2];

/// [`bits_body`] with `vpopcntd`, which counts sixteen words at once: the compiler does not find it by itself, and counts bytes
/// by table instead, at a third of the speed.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
fn bits_by_words<const AND: bool>(
    x: &[u32],
    none: &[u32],
    sources: &[usize],
    taps: usize,
    words: usize,
    panel: &[u32],
    counts: &mut [[u32; OB]; PB],
) {
    use std::arch::x86_64::*;
    let zero = [_mm512_setzero_si512(); 2];
    let mut sum = [zero; PB];
    let (sources, none) = (&sources[..PB * taps], &none[..words]);
    for t in 0..taps {
        let row = |i: usize| match sources[i * taps + t] {
            NONE => none,
            at => &x[at..][..words],
        };
        let rows: [&[u32]; PB] = [row(0), row(1), row(2), row(3)];
        let w = &panel[t * words * OB..].as_chunks::<OB>().0[..words];
        for j in 0..words {
            // SAFETY: both types are 128 bytes in which every pattern is a value.
            let w = unsafe { std::mem::transmute::<[u32; OB], Halves>(w[j]) };
            for i in 0..PB {
                let x = _mm512_set1_epi32(rows[i][j] as i32);
                for h in 0..2 {
                    let both = if AND { _mm512_and_si512(x, w[h]) } else { _mm512_xor_si512(x, w[h]) };
                    sum[i][h] = _mm512_add_epi32(sum[i][h], _mm512_popcnt_epi32(both));
                }
            }
        }
    }
    for (counts, sum) in counts.iter_mut().zip(sum) {
        // SAFETY: as above.
        let sum = unsafe { std::mem::transmute::<Halves, [u32; OB]>(sum) };
        counts.iter_mut().zip(sum).for_each(|(c, s)| *c += s);
    }
}

/// The exact sums of a binary convolution, 4 pixels by 32 channels at a time: what the twins of `binary_conv2d.wgsl` and
/// `binary_conv2d_fused.wgsl` share.
pub(super) struct Sums<'a> {
    g: Geometry,
    x: &'a [u32],
    taps: usize,
    words: usize,
    /// Channels in and out.
    c: i32,
    o: usize,
    pixels: usize,
    zero_one: bool,
    minus_one: bool,
    /// Weight words as [O / OB][taps][words][OB].
    panels: Vec<u32>,
    /// The set bits of each tap's weights, for taps outside the map.
    set: Vec<i32>,
    none: Vec<u32>,
}

impl<'a> Sums<'a> {
    /// Pixels of a block.
    pub(super) const PIXELS: usize = PB;
    /// Channels of a block.
    pub(super) const CHANNELS: usize = OB;

    pub(super) fn new(dims: &ConvDims, x: &'a [u32], w: &[u32]) -> Self {
        let g = Geometry::of(dims);
        let (taps, words) = (g.taps(), dims.c.div_ceil(32) as usize);
        let (o, op) = (dims.o as usize, round4(dims.o) as usize);
        let panel_size = taps * words * OB;
        let mut panels = vec![0u32; o.div_ceil(OB) * panel_size];
        panels.par_chunks_mut(panel_size).enumerate().for_each(|(p, panel)| {
            let width = OB.min(o - p * OB);
            for (i, row) in panel.chunks_exact_mut(OB).enumerate() {
                row[..width].copy_from_slice(&w[i * op + p * OB..][..width]);
            }
        });
        let ones =
            |o: usize, t: usize| -> i32 { (0..words).map(|j| w[(t * words + j) * op + o].count_ones() as i32).sum() };
        let set: Vec<i32> = (0..o).flat_map(|o| (0..taps).map(move |t| (o, t))).map(|(o, t)| ones(o, t)).collect();
        Sums {
            x,
            taps,
            words,
            c: dims.c as i32,
            o,
            pixels: (dims.n * dims.p * dims.q) as usize,
            zero_one: dims.mode >= 2,
            minus_one: dims.mode == 0 || dims.mode == 3,
            panels,
            set,
            none: vec![0u32; words],
            g,
        }
    }

    /// Room for [`Sums::block`].
    pub(super) fn sources(&self) -> Vec<usize> {
        vec![NONE; PB * self.taps]
    }

    /// The sums of the pixels from PIXELS `block` on: `give` gets each pixel (from 0 in the block), the first of 32
    /// channels and their sums, of which those past the last channel mean nothing.
    pub(super) fn block(&self, block: usize, sources: &mut [usize], mut give: impl FnMut(usize, usize, &[i32; OB])) {
        let (taps, words, c) = (self.taps, self.words, self.c);
        let rows = PB.min(self.pixels - block * PB);
        let mut active = [0i32; PB];
        sources.fill(NONE);
        for i in 0..rows {
            let at = self.g.output_pixel(block * PB + i);
            for t in 0..taps {
                let pixel = self.g.read_at(at, t);
                if pixel != NONE {
                    sources[i * taps + t] = pixel * words;
                    if self.zero_one {
                        let here = &self.x[pixel * words..][..words];
                        active[i] += here.iter().map(|v| v.count_ones() as i32).sum::<i32>();
                    }
                }
            }
        }
        for (p, panel) in self.panels.chunks_exact(taps * words * OB).enumerate() {
            let mut counts = [[0u32; OB]; PB];
            bits(self.x, &self.none, sources, taps, words, panel, self.zero_one, &mut counts);
            for i in 0..rows {
                let width = OB.min(self.o - p * OB);
                let base = if self.zero_one { active[i] } else { taps as i32 * c };
                let mut sums: [i32; OB] = std::array::from_fn(|k| base - 2 * counts[i][k] as i32);
                for t in (0..taps).filter(|t| sources[i * taps + t] == NONE) {
                    for (k, sum) in sums[..width].iter_mut().enumerate() {
                        // The loop above took it as all clear bits: +1 in the sign domain, nothing in the other.
                        let clear = c - 2 * self.set[(p * OB + k) * taps + t];
                        let counted = if self.zero_one { 0 } else { clear };
                        *sum += (if self.minus_one { -clear } else { 0 }) - counted;
                    }
                }
                give(i, p * OB, &sums);
            }
        }
    }
}

/// Exact integers, then the scale:
/// ```text
/// sign domain:     y = alpha[o] * sum over taps of (C - 2 popcount(x ^ w))
/// zero_one domain: y = alpha[o] * sum over taps of (popcount(x) - 2 popcount(x & w))
/// ```
/// A tap outside the map counts as all -1 or not at all (see [`ConvDims`]'s mode). x: (N,H,W,words); w:
/// (KH,KW,words,O padded); alpha: one a channel, padded to a multiple of 4; y: (N,P,Q,O) map.
pub fn binary_conv2d(dims: &ConvDims, x: &[u32], w: &[u32], alpha: &[f32], y: &mut [f32]) {
    let sums = Sums::new(dims, x, w);
    let (o, op) = (dims.o as usize, round4(dims.o) as usize);
    y.par_chunks_mut(PB * op).enumerate().for_each_init(
        || sums.sources(),
        |sources, (block, y)| {
            sums.block(block, sources, |i, first, sums| {
                let width = OB.min(o - first);
                let y = &mut y[i * op + first..][..width];
                for ((y, sum), alpha) in y.iter_mut().zip(sums).zip(&alpha[first..]) {
                    *y = alpha * *sum as f32;
                }
            });
            for row in y.chunks_exact_mut(op) {
                row[o..].fill(0.0);
            }
        },
    );
}

/// d_x (+)= window(x) * sum over taps and o of `alpha[o] * d_z` at the output pixel whose tap reads it * sign of w.
/// d_z: map; w: (KH,KW,words,O padded); x, d_x: maps of the real input.
pub fn binary_conv2d_d_input(dims: &ConvDims, d_z: &[f32], w: &[u32], alpha: &[f32], x: &[f32], d_x: &mut [f32]) {
    let g = Geometry::of(dims);
    let (c, cp) = (dims.c as usize, round4(dims.c) as usize);
    let (op, words) = (round4(dims.o) as usize, dims.c.div_ceil(32) as usize);
    let panels = Panels::new(g.taps(), dims.o as usize, cp, |t, o, k| match k < c {
        true if w[(t * words + k / 32) * op + o] >> (k % 32) & 1 == 1 => -alpha[o],
        true => alpha[o],
        false => 0.0,
    });
    let window = |x: f32| match dims.window {
        1 => (2.0 - 2.0 * x.abs()).max(0.0),
        2 => (x.abs() <= 1.0) as u32 as f32,
        3 => (x.abs() < 1.0) as u32 as f32,
        _ => 1.0,
    };
    let chunk = 1 << 14;
    if dims.accumulate == 1 {
        let mut sum = vec![0f32; d_x.len()];
        backward(&g, d_z, op, &panels, false, &mut sum, cp);
        d_x.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).zip(sum.par_chunks(chunk)).for_each(|((d, x), s)| {
            for ((d, x), s) in d.iter_mut().zip(x).zip(s) {
                *d += window(*x) * s;
            }
        });
    } else {
        backward(&g, d_z, op, &panels, false, d_x, cp);
        d_x.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(d, x)| {
            for (d, x) in d.iter_mut().zip(x) {
                *d *= window(*x);
            }
        });
    }
}

/// `d_w[kh,kw,c,o]` += sum over n, p, q, in this order, of the activation at the tap * `d_y[n,p,q,o]`; splits as in
/// `conv2d_d_weight`. x: sign words, d_y: map, d_w: gradient of the binary weights in the latent weights' layout.
pub fn binary_conv2d_d_weight(dims: &ConvDims, x: &[u32], d_y: &[f32], d_w: &mut [f32]) {
    let g = Geometry::of(dims);
    let words = dims.c.div_ceil(32) as usize;
    let (c, cp) = (dims.c as usize, round4(dims.c) as usize);
    let (clear, set) = if dims.mode >= 2 { (0.0, 1.0) } else { (1.0, -1.0) };
    let pixels = (dims.n * dims.h * dims.w) as usize;
    let mut a = vec![0f32; pixels * cp];
    a.par_chunks_mut(cp).enumerate().for_each(|(i, row)| {
        for (k, v) in row[..c].iter_mut().enumerate() {
            *v = if x[i * words + k / 32] >> (k % 32) & 1 == 1 { set } else { clear };
        }
    });
    let outside = (dims.mode == 0 || dims.mode == 3).then_some(-1.0);
    weight_products(dims, &g, &a, outside, d_y, d_w);
}

dims! {
    /// Sizes of `sign_pack`.
    pub struct SignPackDims {
        /// Pixels of this slice.
        pixels: u32,
        /// Channels.
        c: u32,
        /// 0: a set bit means x < 0 (the sign of 0 is +1); 1: it means x > 0.
        mode: u32,
    }
}

/// Sign words of a map.
pub fn sign_pack(dims: &SignPackDims, x: &[f32], words: &mut [u32]) {
    let (c, cp, w) = (dims.c as usize, round4(dims.c) as usize, dims.c.div_ceil(32) as usize);
    words.par_chunks_mut(w * 64).zip(x.par_chunks(cp * 64)).for_each(|(words, x)| {
        for (words, x) in words.chunks_exact_mut(w).zip(x.chunks_exact(cp)) {
            for (word, x) in words.iter_mut().zip(x[..c].chunks(32)) {
                let mut bits = 0u32;
                for (i, v) in x.iter().enumerate() {
                    let set = if dims.mode == 1 { *v > 0.0 } else { *v < 0.0 };
                    bits |= (set as u32) << i;
                }
                *word = bits;
            }
        }
    });
}

dims! {
    /// Sizes of `binary_weight`, `binary_weight_center` and `binary_weight_d_latent`.
    pub struct BinaryWeightDims {
        /// Kernel rows.
        kh: u32,
        /// Kernel columns.
        kw: u32,
        /// Input channels.
        c: u32,
        /// Output channels.
        o: u32,
        /// 0: alpha is 1; 1: alpha is mean |W| of the filter, differentiated; 2: mean |W|, XNOR-Net's gradient.
        rule: u32,
    }
}

/// w = clamp(w - mean over the input channels of the tap, -1, 1), in place.
pub fn binary_weight_center(dims: &BinaryWeightDims, latent: &mut [f32]) {
    let (c, op) = (dims.c as usize, round4(dims.o) as usize);
    latent.par_chunks_mut(round4(dims.c) as usize * op).for_each(|tap| {
        let mut mean = vec![0f32; op];
        for row in tap.chunks_exact(op).take(c) {
            mean.iter_mut().zip(row).for_each(|(m, v)| *m += v);
        }
        mean.iter_mut().for_each(|m| *m /= c as f32);
        for row in tap.chunks_exact_mut(op).take(c) {
            row.iter_mut().zip(&mean).for_each(|(v, m)| *v = (*v - m).clamp(-1.0, 1.0));
        }
    });
}

/// From latent weights (`[taps][C][O]`): sign words (`[taps][words][O padded]`) and alpha (one a channel). The sign of 0 is
/// +1.
pub fn binary_weight(dims: &BinaryWeightDims, latent: &[f32], words: &mut [u32], alpha: &mut [f32]) {
    let (taps, c, o) = ((dims.kh * dims.kw) as usize, dims.c as usize, dims.o as usize);
    let (cp, op, w) = (round4(dims.c) as usize, round4(dims.o) as usize, dims.c.div_ceil(32) as usize);
    let n = (taps * c) as f32;
    alpha.fill(0.0);
    for t in 0..taps {
        for k in 0..c {
            for (a, v) in alpha[..o].iter_mut().zip(&latent[(t * cp + k) * op..]) {
                *a += v.abs();
            }
        }
    }
    for a in alpha[..o].iter_mut() {
        *a = if dims.rule == 0 { 1.0 } else { *a / n };
    }
    words.par_chunks_mut(op).enumerate().for_each(|(row, words)| {
        words.fill(0);
        let (t, first) = (row / w, row % w * 32);
        for k in first..c.min(first + 32) {
            for (word, v) in words[..o].iter_mut().zip(&latent[(t * cp + k) * op..]) {
                *word |= ((*v < 0.0) as u32) << (k - first);
            }
        }
    });
}

/// Gradient of the latent weights from g, that of the binary ones (docs/method.md, section 1).
/// rule 1: d_latent += alpha_o g + sign(W)/n * sum over the filter of g sign(W), with sign(0) = 0;
/// rule 0: d_latent += g;
/// rule 2: d_latent += g (alpha_o 1[|W| < 1] + 1/n)(1 - 1/C).
pub fn binary_weight_d_latent(
    dims: &BinaryWeightDims,
    latent: &[f32],
    d_binary: &[f32],
    alpha: &[f32],
    d_latent: &mut [f32],
) {
    let (taps, c, o) = ((dims.kh * dims.kw) as usize, dims.c as usize, dims.o as usize);
    let (cp, op) = (round4(dims.c) as usize, round4(dims.o) as usize);
    let n = (taps * c) as f32;
    let centred = 1.0 - 1.0 / c as f32;
    let sign = |v: f32| {
        if v > 0.0 {
            1.0
        } else if v < 0.0 {
            -1.0
        } else {
            0.0
        }
    };
    let mut sums = vec![0f32; op];
    if dims.rule == 1 {
        for t in 0..taps {
            for k in 0..c {
                let row = (t * cp + k) * op;
                for i in 0..o {
                    sums[i] += d_binary[row + i] * sign(latent[row + i]);
                }
            }
        }
    }
    d_latent.par_chunks_mut(cp * op).enumerate().for_each(|(t, d)| {
        for k in 0..c {
            let row = (t * cp + k) * op;
            for i in 0..o {
                let (w, g) = (latent[row + i], d_binary[row + i]);
                d[k * op + i] += match dims.rule {
                    0 => g,
                    1 => alpha[i] * g + sign(w) * sums[i] / n,
                    _ => g * ((if w.abs() < 1.0 { alpha[i] } else { 0.0 }) + 1.0 / n) * centred,
                };
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way of counting that this machine has counts the same.
    #[test]
    fn bits_are_counted_alike() {
        let rng = crate::rng::Counter::named(2, "bits");
        let word = |i: usize| rng.words(i as u32)[0];
        for (taps, words) in [(1, 1), (9, 2), (9, 16), (25, 3)] {
            let x: Vec<u32> = (0..50 * words).map(word).collect();
            let panel: Vec<u32> = (0..taps * words * OB).map(|i| word(10_000 + i)).collect();
            let source = |i: usize| if i.is_multiple_of(5) { NONE } else { word(50_000 + i) as usize % 50 * words };
            let sources: Vec<usize> = (0..PB * taps).map(source).collect();
            let none = vec![0; words];
            for and in [false, true] {
                let mut want = [[3u32; OB]; PB];
                for (i, o) in (0..PB * OB).map(|k| (k / OB, k % OB)) {
                    for (t, j) in (0..taps * words).map(|k| (k / words, k % words)) {
                        let at = sources[i * taps + t];
                        let (x, w) = (if at == NONE { 0 } else { x[at + j] }, panel[(t * words + j) * OB + o]);
                        want[i][o] += if and { x & w } else { x ^ w }.count_ones();
                    }
                }
                let (mut best, mut plain, mut bytes) = ([[3; OB]; PB], [[3; OB]; PB], [[3; OB]; PB]);
                bits(&x, &none, &sources, taps, words, &panel, and, &mut best);
                bits_body(&x, &none, &sources, taps, words, &panel, and, &mut plain);
                bits_by_bytes(&x, &none, &sources, taps, words, &panel, and, &mut bytes);
                assert!(best == want && plain == want && bytes == want, "{taps} taps of {words} words, and: {and}");
            }
        }
    }
}
