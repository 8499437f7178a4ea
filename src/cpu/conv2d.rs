//! Twins of `conv2d.wgsl`, `conv2d_d_input.wgsl`, `conv2d_d_weight.wgsl` and `conv2d_d_weight_sum.wgsl`. Convolutions with
//! groups have their own ([`super::conv2d_grouped`]).

use rayon::prelude::*;

use super::conv_core::{NONE, Panels, products, rows};
use crate::dims;
use crate::plan::round4;

dims! {
    /// Sizes of a convolution, true counts (pitches follow from them); the same struct in all convolution kernels, float
    /// and binary. A kernel uses the fields behind the geometry that concern it.
    pub struct ConvDims {
        /// Images of this slice.
        n: u32,
        /// Input rows.
        h: u32,
        /// Input columns.
        w: u32,
        /// Input channels.
        c: u32,
        /// Output rows.
        p: u32,
        /// Output columns.
        q: u32,
        /// Output channels.
        o: u32,
        /// Kernel rows.
        kh: u32,
        /// Kernel columns.
        kw: u32,
        /// Row stride.
        stride_h: u32,
        /// Column stride.
        stride_w: u32,
        /// Row padding.
        pad_h: u32,
        /// Column padding.
        pad_w: u32,
        /// Row dilation.
        dil_h: u32,
        /// Column dilation.
        dil_w: u32,
        /// Groups.
        groups: u32,
        /// 1: add to what is there, 0: overwrite.
        accumulate: u32,
        /// Partial sums of a weight gradient.
        splits: u32,
        /// Binary: 0 signs, outside is -1; 1 signs, outside is 0; 2 values {0, 1}, outside is 0; 3 the same, outside is -1.
        mode: u32,
        /// Binary: 0 no window; 1 ApproxSign, max(2 - 2|x|, 0); 2 one where |x| <= 1; 3 one where |x| < 1.
        window: u32,
        /// Bytes: the word of four that taps outside the map read.
        pad: u32,
        /// Bytes and fused: 1 makes 0 of negative results.
        relu: u32,
        /// Fused: 1 fixed point, 0 floats.
        fixed: u32,
        /// Fused: 1 adds the residual.
        residual: u32,
        /// Fused: 1 writes the map.
        map: u32,
        /// Fused: 0 writes no words; 1 those of what is below 0; 2 of what is above 0.
        pack: u32,
    }
}

/// The geometry of a window: which input pixel a tap of an output pixel reads, and the reverse.
#[derive(Debug, Clone, Copy)]
pub struct Geometry {
    /// Input rows and columns.
    pub input: [usize; 2],
    /// Output rows and columns.
    pub output: [usize; 2],
    /// Kernel rows and columns.
    pub kernel: [usize; 2],
    stride: [usize; 2],
    pad: [usize; 2],
    dil: [usize; 2],
}

impl Geometry {
    /// Of a convolution's dims.
    pub fn of(d: &ConvDims) -> Self {
        let u = |a: u32, b: u32| [a as usize, b as usize];
        Geometry {
            input: u(d.h, d.w),
            output: u(d.p, d.q),
            kernel: u(d.kh, d.kw),
            stride: u(d.stride_h, d.stride_w),
            pad: u(d.pad_h, d.pad_w),
            dil: u(d.dil_h, d.dil_w),
        }
    }

    /// Number of taps.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// The input pixel (within all images) that tap `t` of output pixel `m` reads, or `NONE`.
    #[inline]
    pub fn read(&self, m: usize, t: usize) -> usize {
        self.read_at(self.output_pixel(m), t)
    }

    /// Output pixel `m` as (image, row, column).
    #[inline]
    pub fn output_pixel(&self, m: usize) -> [usize; 3] {
        let [p, q] = self.output;
        let row = m / q;
        [row / p, row % p, m - row * q]
    }

    /// [`Geometry::read`] of an output pixel (image, row, column).
    #[inline]
    pub fn read_at(&self, [image, row, column]: [usize; 3], t: usize) -> usize {
        // Wraps below 0, and is past the end then.
        let kh = t / self.kernel[1];
        let kw = t - kh * self.kernel[1];
        let y = (row * self.stride[0] + kh * self.dil[0]).wrapping_sub(self.pad[0]);
        let x = (column * self.stride[1] + kw * self.dil[1]).wrapping_sub(self.pad[1]);
        if y < self.input[0] && x < self.input[1] { (image * self.input[0] + y) * self.input[1] + x } else { NONE }
    }

    /// [`Geometry::read_at`] of all taps in order, added to `pixels`: without divisions.
    #[inline]
    pub fn read_all(&self, [image, row, column]: [usize; 3], pixels: &mut Vec<usize>) {
        for kh in 0..self.kernel[0] {
            let y = (row * self.stride[0] + kh * self.dil[0]).wrapping_sub(self.pad[0]);
            let line = if y < self.input[0] { (image * self.input[0] + y) * self.input[1] } else { NONE };
            for kw in 0..self.kernel[1] {
                let x = (column * self.stride[1] + kw * self.dil[1]).wrapping_sub(self.pad[1]);
                pixels.push(if line != NONE && x < self.input[1] { line + x } else { NONE });
            }
        }
    }

    /// The output pixel (within all images) whose tap `t` reads input pixel (image, y, x), or `NONE`.
    #[inline]
    pub fn reached(&self, image: usize, y: usize, x: usize, t: usize) -> usize {
        let kh = t / self.kernel[1];
        let kw = t - kh * self.kernel[1];
        let at = |k: usize, i: usize, tap: usize| {
            let v = (i + self.pad[k]).wrapping_sub(tap * self.dil[k]);
            match self.stride[k] {
                1 => v,
                s if v.is_multiple_of(s) => v / s,
                _ => usize::MAX,
            }
        };
        let (p, q) = (at(0, y, kh), at(1, x, kw));
        if p < self.output[0] && q < self.output[1] { (image * self.output[0] + p) * self.output[1] + q } else { NONE }
    }
}

/// Output pixels of a task of [`rows`].
const PART: usize = 192;

/// `y[n,p,q,o] = bias[o] + sum over kh, kw, c of x[n, p s - pad + kh dil, q s - pad + kw dil, c] * w[kh,kw,c,o]`.
///
/// With `accumulate` the result is added to y (the gradient of a transposed convolution).
pub fn conv2d(dims: &ConvDims, x: &[f32], w: &[f32], bias: &[f32], y: &mut [f32]) {
    let g = Geometry::of(dims);
    let (cp, op) = (round4(dims.c) as usize, round4(dims.o) as usize);
    let panels = Panels::new(g.taps(), dims.c as usize, op, |t, c, o| w[(t * cp + c) * op + o]);
    forward(&g, x, cp, &panels, bias, dims.accumulate == 1, y, op);
}

/// The forward rows of any convolution with these panels.
pub(super) fn forward(
    g: &Geometry,
    x: &[f32],
    cp: usize,
    panels: &Panels,
    bias: &[f32],
    accumulate: bool,
    y: &mut [f32],
    op: usize,
) {
    let taps = g.taps();
    let pixels = y.len() / op;
    rows(x, panels, bias, accumulate, y, PART * op, |part, sources, places| {
        for m in part * PART..((part + 1) * PART).min(pixels) {
            places.push((m - part * PART) * op);
            let at = g.output_pixel(m);
            sources.extend((0..taps).map(|t| match g.read_at(at, t) {
                NONE => NONE,
                pixel => pixel * cp,
            }));
        }
    });
}

/// `d_x[n,h,w,c]` (+)= sum over kh, kw, o of d_y at the output pixel whose tap reads it * `w[kh,kw,c,o]`.
pub fn conv2d_d_input(dims: &ConvDims, d_y: &[f32], w: &[f32], d_x: &mut [f32]) {
    let g = Geometry::of(dims);
    let (cp, op) = (round4(dims.c) as usize, round4(dims.o) as usize);
    let taps = g.taps();
    let panels = Panels::new(taps, dims.o as usize, cp, |t, o, c| w[(t * cp + c) * op + o]);
    backward(&g, d_y, op, &panels, dims.accumulate == 1, d_x, cp);
}

/// The gradient rows of any convolution with these (transposed) panels. Input pixels are taken in classes of equal
/// remainder by the stride, so that the rows of a block reach the same taps.
pub(super) fn backward(
    g: &Geometry,
    d_y: &[f32],
    op: usize,
    panels: &Panels,
    accumulate: bool,
    d_x: &mut [f32],
    cp: usize,
) {
    let taps = g.taps();
    let [h, w] = g.input;
    let band = (PART / w).max(g.stride[0]).div_ceil(g.stride[0]) * g.stride[0];
    let band = band.min(h);
    let bands = h.div_ceil(band);
    // Parts must be of equal length: bands of whole images when they do not divide the height.
    let (band, bands) = if h.is_multiple_of(band) { (band, bands) } else { (h, 1) };
    rows(d_y, panels, &[], accumulate, d_x, band * w * cp, |part, sources, places| {
        let (image, first) = (part / bands, part % bands * band);
        for ry in 0..g.stride[0].min(band) {
            for rx in 0..g.stride[1].min(w) {
                for y in (ry..band).step_by(g.stride[0]) {
                    for x in (rx..w).step_by(g.stride[1]) {
                        places.push((y * w + x) * cp);
                        sources.extend((0..taps).map(|t| match g.reached(image, first + y, x, t) {
                            NONE => NONE,
                            pixel => pixel * op,
                        }));
                    }
                }
            }
        }
    });
}

/// `d_w[kh,kw,c,o]` += sum over n, p, q, in this order, of x at the tap * `d_y[n,p,q,o]`.
///
/// With `splits` over 1, d_w is a buffer of so many partial sums; split s takes the rows p = s, s + splits, ... of every
/// image.
pub fn conv2d_d_weight(dims: &ConvDims, x: &[f32], d_y: &[f32], d_w: &mut [f32]) {
    let g = Geometry::of(dims);
    weight_products(dims, &g, x, None, d_y, d_w);
}

/// The weight gradient of float maps `x` (of the padded pitch), float or binary; taps outside read `outside` or nothing.
pub(super) fn weight_products(
    dims: &ConvDims,
    g: &Geometry,
    x: &[f32],
    outside: Option<f32>,
    d_y: &[f32],
    d_w: &mut [f32],
) {
    let (cp, op) = (round4(dims.c) as usize, round4(dims.o) as usize);
    let [p, q] = g.output;
    let splits = dims.splits.max(1) as usize;
    d_w.par_chunks_exact_mut(g.taps() * cp * op).enumerate().take(splits).for_each(|(split, part)| {
        let mine: Vec<usize> = (0..dims.n as usize * p)
            .filter(|row| row % p % splits == split)
            .flat_map(|row| row * q..(row + 1) * q)
            .collect();
        products((x, cp, dims.c as usize), (d_y, op, dims.o as usize), &mine, g.taps(), outside, part, |m, t| {
            g.read(m, t)
        });
    });
}

dims! {
    /// Sizes of `conv2d_d_weight_sum`.
    pub struct Conv2dDWeightSumDims {
        /// Vectors of a partial sum.
        len4: u32,
        /// Partial sums.
        splits: u32,
    }
}

/// `d_w += part[0] + part[1] + ...`, in this order.
pub fn conv2d_d_weight_sum(dims: &Conv2dDWeightSumDims, part: &[f32], d_w: &mut [f32]) {
    for part in part.chunks_exact(4 * dims.len4 as usize).take(dims.splits as usize) {
        for (d, v) in d_w.iter_mut().zip(part) {
            *d += v;
        }
    }
}
