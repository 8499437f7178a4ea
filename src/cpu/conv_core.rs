//! The loops that all convolution twins share: register-blocked products over gathered pixel rows.
//!
//! ```text
//! rows:     out[m][o]      = init + sum over taps t, channels c of a[src(m, t)][c] * w[t][c][o]      forward, d_input
//! products: out[t][c][o]  += sum over m, in order, of a[src(m, t)][c] * b[m][o]                      d_weight
//! bits:     out[m][o]      = sum over taps t, words j of popcount(x[src(m, t)][j] op w[t][j][o])     binary forward
//! ```
//! `src(m, t)` is the pixel that tap t of row m reads, or none outside the map. The order of every sum is fixed: it does
//! not depend on threads, blocks, or on how a batch is cut.

use rayon::prelude::*;

use super::simd::Lanes;
use crate::vectorized;

/// Output columns of a block.
pub const OB: usize = 32;
/// Rows of a block.
pub const PB: usize = 6;
/// Rows of a task.
const TASK: usize = 96;
/// "Reads nothing": the tap is outside the map.
pub const NONE: usize = usize::MAX;

/// Weights [taps][depth][out] repacked as panels [out / OB][taps][depth][OB], the last panel filled with zeros.
pub struct Panels {
    data: Vec<f32>,
    taps: usize,
    depth: usize,
    out: usize,
}

impl Panels {
    /// From any layout: `weight(tap, depth, out)` gives one value.
    pub fn new(taps: usize, depth: usize, out: usize, weight: impl Fn(usize, usize, usize) -> f32 + Sync) -> Self {
        let size = taps * depth * OB;
        let mut data = vec![0f32; out.div_ceil(OB) * size];
        data.par_chunks_mut(size.max(1)).enumerate().for_each(|(p, panel)| {
            let columns = OB.min(out - p * OB);
            for t in 0..taps {
                for d in 0..depth {
                    let row = &mut panel[(t * depth + d) * OB..][..columns];
                    for (o, v) in row.iter_mut().enumerate() {
                        *v = weight(t, d, p * OB + o);
                    }
                }
            }
        });
        Panels { data, taps, depth, out }
    }
}

/// One block: PB rows by OB columns. `sources[i * taps + t]` is an offset into `a`, or [`NONE`].
#[inline(always)]
fn block<L: Lanes>(
    a: &[f32],
    zeros: &[f32],
    sources: &[usize],
    taps: usize,
    depth: usize,
    panel: &[f32],
    acc: &mut [[f32; OB]; PB],
) {
    let mut sum = *acc;
    let (sources, zeros) = (&sources[..PB * taps], &zeros[..depth]);
    for t in 0..taps {
        if (0..PB).all(|i| sources[i * taps + t] == NONE) {
            continue;
        }
        let row = |i: usize| match sources[i * taps + t] {
            NONE => zeros,
            at => &a[at..][..depth],
        };
        // Named rows of a length that the compiler knows: only then does it keep the sums in registers.
        let (r0, r1, r2, r3, r4, r5) = (row(0), row(1), row(2), row(3), row(4), row(5));
        let w = &panel[t * depth * OB..].as_chunks::<OB>().0[..depth];
        for d in 0..depth {
            multiply_add::<L>(&mut sum, &[r0[d], r1[d], r2[d], r3[d], r4[d], r5[d]], &w[d]);
        }
    }
    *acc = sum;
}

/// sum += x * w, every row by every column.
#[inline(always)]
pub fn multiply_add<L: Lanes>(sum: &mut [[f32; OB]; PB], x: &[f32; PB], w: &[f32; OB]) {
    for i in 0..PB {
        for o in 0..OB {
            sum[i][o] = L::mul_add(x[i], w[o], sum[i][o]);
        }
    }
}

#[inline(always)]
fn task_body<L: Lanes>(
    a: &[f32],
    zeros: &[f32],
    sources: &[usize],
    places: &[usize],
    panels: &Panels,
    bias: &[f32],
    accumulate: bool,
    out: &mut [f32],
) {
    let (taps, depth, columns) = (panels.taps, panels.depth, panels.out);
    let rows = places.len();
    for (p, panel) in panels.data.chunks_exact(taps * depth * OB).enumerate() {
        let width = OB.min(columns - p * OB);
        let mut first = [0f32; OB];
        if !bias.is_empty() {
            first[..width].copy_from_slice(&bias[p * OB..p * OB + width]);
        }
        let mut r = 0;
        while r < rows {
            let n = PB.min(rows - r);
            let mut acc = [first; PB];
            // The last block may reach back over rows that are done: they are computed again, and not stored.
            let mut mine = [NONE; PB * 64];
            let fits = taps <= 64;
            let list: &[usize] = if n == PB {
                &sources[r * taps..(r + PB) * taps]
            } else if fits {
                mine[..n * taps].copy_from_slice(&sources[r * taps..(r + n) * taps]);
                &mine[..PB * taps]
            } else {
                &[]
            };
            if list.is_empty() {
                for i in 0..n {
                    let mut padded = vec![NONE; PB * taps];
                    padded[..taps].copy_from_slice(&sources[(r + i) * taps..(r + i + 1) * taps]);
                    let mut one = [first; PB];
                    block::<L>(a, zeros, &padded, taps, depth, panel, &mut one);
                    acc[i] = one[0];
                }
            } else {
                block::<L>(a, zeros, list, taps, depth, panel, &mut acc);
            }
            for i in 0..n {
                let y = &mut out[places[r + i] + p * OB..][..width];
                for o in 0..width {
                    y[o] = if accumulate { y[o] + acc[i][o] } else { acc[i][o] };
                }
            }
            r += n;
        }
    }
}

vectorized! {
    fn task(
        a: &[f32],
        zeros: &[f32],
        sources: &[usize],
        places: &[usize],
        panels: &Panels,
        bias: &[f32],
        accumulate: bool,
        out: &mut [f32],
    ) => task_body
}

/// `rows` for groups of rows. The output is cut into `parts` of equal length; `rows_of(part)` gives, for the rows of a
/// part, their sources (taps offsets into `a` each) and their places (offsets into the part). `bias` is empty or one
/// value a column.
pub fn rows(
    a: &[f32],
    panels: &Panels,
    bias: &[f32],
    accumulate: bool,
    out: &mut [f32],
    part: usize,
    rows_of: impl Fn(usize, &mut Vec<usize>, &mut Vec<usize>) + Sync,
) {
    let zeros = vec![0f32; panels.depth];
    out.par_chunks_mut(part).enumerate().for_each_init(
        || (Vec::new(), Vec::new()),
        |(sources, places), (i, out)| {
            sources.clear();
            places.clear();
            rows_of(i, sources, places);
            for (s, p) in sources.chunks(TASK * panels.taps).zip(places.chunks(TASK)) {
                task(a, &zeros, s, p, panels, bias, accumulate, out);
            }
        },
    );
}

/// Channels of a block of [`products`].
const CB: usize = 6;
/// Rows that are read again and again while they are in the cache.
const TILE: usize = 256;

/// One block of products: CB channels by OB columns over the rows of a tile.
#[inline(always)]
fn products_block<L: Lanes>(
    a: &[f32],
    sources: &[usize],
    outside: Option<f32>,
    channel: usize,
    b: &[f32],
    pitch: usize,
    acc: &mut [[f32; OB]; CB],
) {
    let mut sum = *acc;
    for (m, s) in sources.iter().enumerate() {
        let row: &[f32; OB] = match b[m * pitch..][..OB].try_into() {
            Ok(r) => r,
            Err(_) => return,
        };
        let x: [f32; CB] = match (*s, outside) {
            (NONE, None) => continue,
            (NONE, Some(v)) => [v; CB],
            (at, _) => match a[at + channel..][..CB].try_into() {
                Ok(x) => x,
                Err(_) => return,
            },
        };
        for i in 0..CB {
            for o in 0..OB {
                sum[i][o] = L::mul_add(x[i], row[o], sum[i][o]);
            }
        }
    }
    *acc = sum;
}

#[inline(always)]
fn products_body<L: Lanes>(
    a: &[f32],
    sources: &[usize],
    outside: Option<f32>,
    channels: usize,
    b: &[f32],
    columns: usize,
    out: &mut [f32],
    pitch: usize,
) {
    // out: [channels][pitch]; b: panels [columns / OB][rows][OB]
    let rows = sources.len();
    for (p, b) in b.chunks_exact(rows * OB).enumerate() {
        let width = OB.min(columns - p * OB);
        let mut c = 0;
        while c < channels {
            let n = CB.min(channels - c);
            // The last block starts early enough to be whole; channels that are done are not stored again.
            let start = (c + n).saturating_sub(CB);
            let mut acc = [[0f32; OB]; CB];
            for i in 0..CB.min(channels) {
                acc[i][..width].copy_from_slice(&out[(start + i) * pitch + p * OB..][..width]);
            }
            products_block::<L>(a, sources, outside, start, b, OB, &mut acc);
            for i in (c - start)..CB.min(channels) {
                out[(start + i) * pitch + p * OB..][..width].copy_from_slice(&acc[i][..width]);
            }
            c += n;
        }
    }
}

vectorized! {
    fn products_tile(
        a: &[f32],
        sources: &[usize],
        outside: Option<f32>,
        channels: usize,
        b: &[f32],
        columns: usize,
        out: &mut [f32],
        pitch: usize,
    ) => products_body
}

/// `products`: `a` is (pixels, pitch, channels that count); `b` is (rows, pitch, columns that count); `list` are the rows
/// of `b` that are summed, in this order; `source(row, t)` is a pixel of `a` or [`NONE`] (which reads as `outside` where
/// given, else as nothing); `out` is [taps][pitch of a][pitch of b].
pub fn products(
    (a, a_pitch, channels): (&[f32], usize, usize),
    (b, b_pitch, columns): (&[f32], usize, usize),
    list: &[usize],
    taps: usize,
    outside: Option<f32>,
    out: &mut [f32],
    source: impl Fn(usize, usize) -> usize + Sync,
) {
    let out_rows = a_pitch;
    // Blocks of CB channels read past the last channel when there are fewer: a narrow copy with room instead.
    let (copy, a, a_pitch) = if channels < CB || a_pitch < CB {
        let mut copy = vec![0f32; a.len() / a_pitch * CB];
        for (d, s) in copy.chunks_exact_mut(CB).zip(a.chunks_exact(a_pitch)) {
            d[..channels.min(CB)].copy_from_slice(&s[..channels.min(CB)]);
        }
        (copy, None, CB)
    } else {
        (Vec::new(), Some(a), a_pitch)
    };
    let a: &[f32] = a.unwrap_or(&copy);
    // A task is a tap and a range of channels: sums over rows never cross tasks. Ranges are whole blocks; the last one
    // reaches back over channels of the one before it, in a copy.
    let per = (4 * CB).min(channels.next_multiple_of(CB));
    for tile in list.chunks(TILE) {
        let n = tile.len();
        let mut panels = vec![0f32; columns.div_ceil(OB) * n * OB];
        panels.par_chunks_exact_mut(n * OB).enumerate().for_each(|(p, panel)| {
            let width = OB.min(columns - p * OB);
            for (m, row) in panel.chunks_exact_mut(OB).enumerate() {
                row[..width].copy_from_slice(&b[tile[m] * b_pitch + p * OB..][..width]);
            }
        });
        let mut jobs: Vec<(usize, usize, &mut [f32])> = Vec::new();
        for (t, tap) in out.chunks_exact_mut(out_rows * b_pitch).enumerate().take(taps) {
            for (k, part) in tap[..channels * b_pitch].chunks_mut(per * b_pitch).enumerate() {
                jobs.push((t, k * per, part));
            }
        }
        // The pixels of each tap, once for all ranges of channels.
        let pixels: Vec<Vec<usize>> = (0..taps)
            .into_par_iter()
            .map(|t| {
                let at = |m: &usize| match source(*m, t) {
                    NONE => NONE,
                    pixel => pixel * a_pitch,
                };
                tile.iter().map(at).collect()
            })
            .collect();
        jobs.into_par_iter().for_each(|(t, first, part)| {
            let here = part.len() / b_pitch;
            let start = if here < CB && first + here >= CB { first + here - CB } else { first };
            let sources = &pixels[t];
            if here >= CB {
                products_tile(&a[start..], sources, outside, here, &panels, columns, part, b_pitch);
                return;
            }
            let skip = (first - start) * b_pitch;
            let mut wide = vec![0f32; CB * b_pitch];
            wide[skip..skip + part.len()].copy_from_slice(part);
            products_tile(&a[start..], sources, outside, CB, &panels, columns, &mut wide, b_pitch);
            part.copy_from_slice(&wide[skip..skip + part.len()]);
        });
    }
}
