//! Twins of the `conv2d_grouped` kernels: an output channel of a group reads the input channels of that group only.

use rayon::prelude::*;

use super::conv_core::NONE;
use super::conv2d::{ConvDims, Geometry};
use crate::plan::round4;

/// (input channels, their pitch in the weights, output channels) of a group.
fn group(dims: &ConvDims) -> (usize, usize, usize) {
    let (c, o) = (dims.c / dims.groups, dims.o / dims.groups);
    (c as usize, round4(c) as usize, o as usize)
}

/// `y[n,p,q,o] = bias[o] + sum over kh, kw and the c of its group of x[n, p s - pad + kh dil, q s - pad + kw dil, c] *
/// w[kh,kw,c,o]`.
pub fn conv2d_grouped(dims: &ConvDims, x: &[f32], w: &[f32], bias: &[f32], y: &mut [f32]) {
    let g = Geometry::of(dims);
    let (cp, op) = (round4(dims.c) as usize, round4(dims.o) as usize);
    let (cg, cgp, og) = group(dims);
    y.par_chunks_mut(op).enumerate().for_each(|(m, y)| {
        y.fill(0.0);
        y[..dims.o as usize].copy_from_slice(&bias[..dims.o as usize]);
        for t in 0..g.taps() {
            let pixel = g.read(m, t);
            if pixel == NONE {
                continue;
            }
            let row = &x[pixel * cp..][..cp];
            for c in 0..cg {
                let w = &w[(t * cgp + c) * op..][..op];
                for (o, y) in y[..dims.o as usize].iter_mut().enumerate() {
                    *y += row[o / og * cg + c] * w[o];
                }
            }
        }
    });
}

/// `d_x[n,h,w,c]` (+)= sum over kh, kw and the o of its group of d_y at the output pixel whose tap reads it *
/// `w[kh,kw,c,o]`.
pub fn conv2d_grouped_d_input(dims: &ConvDims, d_y: &[f32], w: &[f32], d_x: &mut [f32]) {
    let g = Geometry::of(dims);
    let (cp, op) = (round4(dims.c) as usize, round4(dims.o) as usize);
    let (cg, cgp, og) = group(dims);
    d_x.par_chunks_mut(cp).enumerate().for_each(|(i, d_x)| {
        let (image, y, x) = (i / (g.input[0] * g.input[1]), i / g.input[1] % g.input[0], i % g.input[1]);
        let mut sum = vec![0f32; cp];
        for t in 0..g.taps() {
            let pixel = g.reached(image, y, x, t);
            if pixel == NONE {
                continue;
            }
            let row = &d_y[pixel * op..][..op];
            for (c, s) in sum[..dims.c as usize].iter_mut().enumerate() {
                let w = &w[(t * cgp + c % cg) * op..][..op];
                let first = c / cg * og;
                for o in first..first + og {
                    *s += row[o] * w[o];
                }
            }
        }
        for (d, s) in d_x.iter_mut().zip(sum) {
            *d = if dims.accumulate == 1 { *d + s } else { s };
        }
    });
}

/// `d_w[kh,kw,c,o]` += sum over n, p, q, in this order, of x at the tap, of channel c of o's group, * `d_y[n,p,q,o]`.
pub fn conv2d_grouped_d_weight(dims: &ConvDims, x: &[f32], d_y: &[f32], d_w: &mut [f32]) {
    let g = Geometry::of(dims);
    let (cp, op) = (round4(dims.c) as usize, round4(dims.o) as usize);
    let pixels = dims.n as usize * g.output[0] * g.output[1];
    let (cg, cgp, og) = group(dims);
    d_w.par_chunks_mut(op).enumerate().for_each(|(row, d_w)| {
        let (t, k) = (row / cgp, row % cgp);
        if k >= cg {
            return;
        }
        for m in 0..pixels {
            let pixel = g.read(m, t);
            if pixel == NONE {
                continue;
            }
            for (i, d) in d_w[..dims.o as usize].iter_mut().enumerate() {
                *d += x[pixel * cp + i / og * cg + k] * d_y[m * op + i];
            }
        }
    });
}
