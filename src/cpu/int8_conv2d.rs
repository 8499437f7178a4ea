//! Twin of `shaders/int8_conv2d.wgsl`.

use rayon::prelude::*;

use super::conv_core::{NONE, OB, PB};
use super::conv2d::{ConvDims, Geometry};
use super::fixed::fixed_scale;
use super::int8_core::{Operands, Row, Sizes};
use super::simd::{Lanes, byte_products};
use crate::plan::round4;
use crate::vectorized;

/// Exact sums of products of bytes, then fixed-point scaling:
/// ```text
/// acc = start[o] + sum over kh, kw, c of x at the tap, or `pad` outside, * w[kh,kw,c,o]
/// y = fixed_scale(acc, mul[o], shift[o]) + add[o], and with relu max(that, 0)
/// ```
/// x: (N,H,W,words); w: (KH,KW,words,O padded), bytes past C 0; affine: planes mul, shift, start, add of O padded; y: (N,P,Q,O)
/// fixed-point map.
pub fn int8_conv2d(dims: &ConvDims, x: &[u32], w: &[u32], affine: &[i32], y: &mut [i32]) {
    convolve(dims, x, w, affine, y, byte_products());
}

/// [`int8_conv2d`] without byte products, as machines without them compute it: for tests.
pub fn int8_conv2d_by_floats(dims: &ConvDims, x: &[u32], w: &[u32], affine: &[i32], y: &mut [i32]) {
    convolve(dims, x, w, affine, y, false);
}

fn convolve(dims: &ConvDims, x: &[u32], w: &[u32], affine: &[i32], y: &mut [i32], bytes: bool) {
    let g = Geometry::of(dims);
    let (taps, o, op) = (g.taps(), dims.o as usize, round4(dims.o) as usize);
    let sizes = Sizes { taps, channels: dims.c as usize, columns: op };
    let [mul, shift, start, add] = std::array::from_fn(|k| &affine[k * op..][..op]);
    let operands = Operands::new(sizes, x, w, dims.pad, start, bytes);
    let pixels = y.len() / op;
    // Several tasks a thread, of whole blocks. How the pixels are cut does not change exact sums.
    let part = pixels.div_ceil(4 * rayon::current_num_threads()).next_multiple_of(PB).min(16 * PB);
    y.par_chunks_mut(part * op).enumerate().for_each_init(
        || (Vec::new(), Vec::new()),
        |(sources, sums), (i, y)| {
            let rows = y.len() / op;
            sources.clear();
            for m in i * part..i * part + rows {
                g.read_all(g.output_pixel(m), sources);
            }
            // The last block may have rows too many; they are not stored.
            let whole = rows.next_multiple_of(PB);
            sources.resize(whole * taps, NONE);
            sums.resize(whole, [0; OB]);
            for p in 0..sizes.panels() {
                let columns = p * OB..(p * OB + OB).min(op);
                operands.sums(p, sources, sums);
                let [mul, shift, add] = [mul, shift, add].map(|v| &v[columns.clone()]);
                finish(sums, mul, shift, add, dims.relu == 1, columns.start, y, op);
            }
            if o < op {
                y.chunks_exact_mut(op).for_each(|y| y[o..].fill(0));
            }
        },
    );
}

/// From sums to the columns of y from `first` on.
#[inline(always)]
#[allow(clippy::extra_unused_type_parameters)] // `vectorized!` gives it.
fn finish_body<L: Lanes>(
    sums: &[Row],
    mul: &[i32],
    shift: &[i32],
    add: &[i32],
    relu: bool,
    first: usize,
    y: &mut [i32],
    pitch: usize,
) {
    let (n, low) = (mul.len(), if relu { 0 } else { i32::MIN });
    let (shift, add) = (&shift[..n], &add[..n]);
    for (y, sums) in y.chunks_exact_mut(pitch).zip(sums) {
        let (y, sums) = (&mut y[first..][..n], &sums[..n]);
        for k in 0..n {
            y[k] = fixed_scale(sums[k], mul[k], shift[k]).wrapping_add(add[k]).max(low);
        }
    }
}

vectorized! {
    fn finish(
        sums: &[Row],
        mul: &[i32],
        shift: &[i32],
        add: &[i32],
        relu: bool,
        first: usize,
        y: &mut [i32],
        pitch: usize,
    ) => finish_body
}
