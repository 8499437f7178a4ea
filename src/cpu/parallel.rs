//! Loops of the twins on several threads. Every output belongs to one chunk and every chunk is computed in order, so
//! that results do not depend on the number of threads.

use rayon::prelude::*;

/// Elements (or operations) below which one thread does it all.
const SERIAL: usize = 1 << 15;
/// Elements in a chunk of an elementwise loop.
const CHUNK: usize = 1 << 13;

/// Calls `f(row, elements)` for each row of `width` elements; `work` is what a row costs, in element operations.
pub(crate) fn rows<T: Send>(out: &mut [T], width: usize, work: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let width = width.max(1);
    let count = out.len().div_ceil(width);
    if count * work < SERIAL {
        out.chunks_mut(width).enumerate().for_each(|(i, o)| f(i, o));
    } else {
        let least = (SERIAL / 4).div_ceil(work.max(1));
        out.par_chunks_mut(width).with_min_len(least).enumerate().for_each(|(i, o)| f(i, o));
    }
}

/// out = f(out, a), element by element.
pub(crate) fn zip1(a: &[f32], out: &mut [f32], f: impl Fn(f32, f32) -> f32 + Sync) {
    rows(out, CHUNK, CHUNK, |i, o| {
        for (o, a) in o.iter_mut().zip(&a[i * CHUNK..]) {
            *o = f(*o, *a);
        }
    });
}

/// out = f(out, a, b), element by element.
pub(crate) fn zip2(a: &[f32], b: &[f32], out: &mut [f32], f: impl Fn(f32, f32, f32) -> f32 + Sync) {
    rows(out, CHUNK, CHUNK, |i, o| {
        for ((o, a), b) in o.iter_mut().zip(&a[i * CHUNK..]).zip(&b[i * CHUNK..]) {
            *o = f(*o, *a, *b);
        }
    });
}

/// What a gradient kernel stores: `value` added to what is there, or `value` alone.
pub(crate) fn store(accumulate: u32, old: f32, value: f32) -> f32 {
    if accumulate == 1 { old + value } else { value }
}
