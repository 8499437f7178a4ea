//! Twins of `shaders/max_pool2d*.wgsl`, `shaders/avg_pool2d*.wgsl` and `shaders/words_max_pool2d.wgsl`.

use std::ops::Range;

use super::parallel::rows;
use crate::dims;

dims! {
    /// Sizes of the pooling kernels.
    pub struct PoolDims {
        /// Images of this slice.
        images: u32,
        /// Rows of x.
        h: u32,
        /// Columns of x.
        w: u32,
        /// Rows of y.
        out_h: u32,
        /// Columns of y.
        out_w: u32,
        /// `vec4<f32>` of a pixel; of sign words: words.
        vectors: u32,
        /// Window rows.
        kernel_h: u32,
        /// Window columns.
        kernel_w: u32,
        /// Rows from window to window.
        stride_h: u32,
        /// Columns from window to window.
        stride_w: u32,
        /// Padding rows above and below.
        pad_h: u32,
        /// Padding columns left and right.
        pad_w: u32,
        /// 1: averages count the padding too.
        include_pad: u32,
        /// 1: maxima note where they are.
        keep: u32,
        /// 1: add to d_x, 0: overwrite (backward only).
        accumulate: u32,
    }
}

/// The part of window `o` that lies inside `size` pixels.
fn inside(o: usize, kernel: u32, stride: u32, pad: u32, size: u32) -> Range<usize> {
    let begin = o * stride as usize;
    begin.max(pad as usize) - pad as usize..(begin + kernel as usize - pad as usize).min(size as usize)
}

/// The windows that hold pixel `i`, out of `count`.
fn holding(i: usize, kernel: u32, stride: u32, pad: u32, count: u32) -> Range<usize> {
    let (kernel, stride, at) = (kernel as usize, stride as usize, i + pad as usize);
    ((at + stride).max(kernel) - kernel) / stride..(at / stride + 1).min(count as usize)
}

/// Pixels of window `o` that an average divides by, in one direction.
fn counted(o: usize, kernel: u32, stride: u32, pad: u32, size: u32, include_pad: bool) -> usize {
    if include_pad {
        let begin = o * stride as usize;
        return (begin + kernel as usize).min((size + 2 * pad) as usize) - begin;
    }
    inside(o, kernel, stride, pad, size).len()
}

impl PoolDims {
    fn pitch(&self) -> usize {
        4 * self.vectors as usize
    }
    fn rows_of(&self, oy: usize) -> Range<usize> {
        inside(oy, self.kernel_h, self.stride_h, self.pad_h, self.h)
    }
    fn columns_of(&self, ox: usize) -> Range<usize> {
        inside(ox, self.kernel_w, self.stride_w, self.pad_w, self.w)
    }
    fn window_rows(&self, iy: usize) -> Range<usize> {
        holding(iy, self.kernel_h, self.stride_h, self.pad_h, self.out_h)
    }
    fn window_columns(&self, ix: usize) -> Range<usize> {
        holding(ix, self.kernel_w, self.stride_w, self.pad_w, self.out_w)
    }
    fn divisor(&self, oy: usize, ox: usize) -> f32 {
        let pad = self.include_pad == 1;
        let h = counted(oy, self.kernel_h, self.stride_h, self.pad_h, self.h, pad);
        let w = counted(ox, self.kernel_w, self.stride_w, self.pad_w, self.w, pad);
        (h * w) as f32
    }
    /// First value of a pixel of x.
    fn at(&self, image: usize, y: usize, x: usize) -> usize {
        ((image * self.h as usize + y) * self.w as usize + x) * self.pitch()
    }
    /// First value of a pixel of y.
    fn out_at(&self, image: usize, y: usize, x: usize) -> usize {
        ((image * self.out_h as usize + y) * self.out_w as usize + x) * self.pitch()
    }
}

/// y = maximum over the window; index = the first place of it in row-major order.
pub fn max_pool2d(dims: &PoolDims, x: &[f32], y: &mut [f32], index: &mut [u32]) {
    let width = dims.out_w as usize * dims.pitch();
    let taps = (dims.kernel_h * dims.kernel_w) as usize;
    if dims.keep == 0 {
        rows(y, width, width * taps, |row, y| max_row(dims, row, x, y, None));
        return;
    }
    // Values and places of a row together, so that both are written by one thread.
    let mut both: Vec<(&mut [f32], &mut [u32])> = y.chunks_mut(width).zip(index.chunks_mut(width)).collect();
    rows(&mut both, 1, width * taps, |row, both| {
        let (y, index) = &mut both[0];
        max_row(dims, row, x, y, Some(index));
    });
}

/// One row of the output.
fn max_row(dims: &PoolDims, row: usize, x: &[f32], y: &mut [f32], mut index: Option<&mut [u32]>) {
    let (image, oy) = (row / dims.out_h as usize, row % dims.out_h as usize);
    let pitch = dims.pitch();
    for (ox, y) in y.chunks_exact_mut(pitch).enumerate() {
        let mut index = index.as_mut().map(|i| &mut i[ox * pitch..][..pitch]);
        let mut first = true;
        for iy in dims.rows_of(oy) {
            for ix in dims.columns_of(ox) {
                let here = (iy * dims.w as usize + ix) as u32;
                let x = &x[dims.at(image, iy, ix)..][..pitch];
                if first {
                    y.copy_from_slice(x);
                    if let Some(index) = &mut index {
                        index.fill(here);
                    }
                    first = false;
                    continue;
                }
                if let Some(index) = &mut index {
                    for ((i, y), x) in index.iter_mut().zip(y.iter()).zip(x) {
                        *i = if x > y { here } else { *i };
                    }
                }
                for (y, x) in y.iter_mut().zip(x) {
                    *y = if x > y { *x } else { *y };
                }
            }
        }
    }
}

/// d_x (+)= d_y of the windows whose maximum is this pixel.
pub fn max_pool2d_d_input(dims: &PoolDims, d_y: &[f32], index: &[u32], d_x: &mut [f32]) {
    gather(dims, d_x, |d, image, (oy, ox), (iy, ix)| {
        let here = (iy * dims.w as usize + ix) as u32;
        let at = dims.out_at(image, oy, ox);
        for ((d, g), i) in d.iter_mut().zip(&d_y[at..]).zip(&index[at..]) {
            *d += if *i == here { *g } else { 0.0 };
        }
    });
}

/// Calls `add` for each pixel and each window that holds it, the pixel's sums first cleared unless they accumulate.
fn gather(dims: &PoolDims, d_x: &mut [f32], add: impl Fn(&mut [f32], usize, (usize, usize), (usize, usize)) + Sync) {
    let pitch = dims.pitch();
    let width = dims.w as usize * pitch;
    rows(d_x, width, 2 * width, |row, d_x| {
        let (image, iy) = (row / dims.h as usize, row % dims.h as usize);
        let mut sums = vec![0f32; pitch];
        for (ix, d) in d_x.chunks_exact_mut(pitch).enumerate() {
            sums.fill(0.0);
            for oy in dims.window_rows(iy) {
                for ox in dims.window_columns(ix) {
                    add(&mut sums, image, (oy, ox), (iy, ix));
                }
            }
            if dims.accumulate == 1 {
                d.iter_mut().zip(&sums).for_each(|(d, s)| *d += s);
            } else {
                d.copy_from_slice(&sums);
            }
        }
    });
}

/// y = sum over the window / divisor.
pub fn avg_pool2d(dims: &PoolDims, x: &[f32], y: &mut [f32]) {
    let pitch = dims.pitch();
    let width = dims.out_w as usize * pitch;
    rows(y, width, width * (dims.kernel_h * dims.kernel_w) as usize, |row, y| {
        let (image, oy) = (row / dims.out_h as usize, row % dims.out_h as usize);
        for (ox, y) in y.chunks_exact_mut(pitch).enumerate() {
            y.fill(0.0);
            for iy in dims.rows_of(oy) {
                for ix in dims.columns_of(ox) {
                    y.iter_mut().zip(&x[dims.at(image, iy, ix)..]).for_each(|(y, x)| *y += x);
                }
            }
            let divisor = dims.divisor(oy, ox);
            y.iter_mut().for_each(|y| *y /= divisor);
        }
    });
}

/// d_x (+)= d_y / divisor of the windows that hold this pixel.
pub fn avg_pool2d_d_input(dims: &PoolDims, d_y: &[f32], d_x: &mut [f32]) {
    gather(dims, d_x, |d, image, (oy, ox), _| {
        let divisor = dims.divisor(oy, ox);
        d.iter_mut().zip(&d_y[dims.out_at(image, oy, ox)..]).for_each(|(d, g)| *d += g / divisor);
    });
}

/// y = the `and` of the words in the window: sign words of the maximum. `vectors` are words.
pub fn words_max_pool2d(dims: &PoolDims, x: &[u32], y: &mut [u32]) {
    let words = dims.vectors as usize;
    let width = dims.out_w as usize * words;
    rows(y, width, width * (dims.kernel_h * dims.kernel_w) as usize, |row, y| {
        let (image, oy) = (row / dims.out_h as usize, row % dims.out_h as usize);
        for (ox, y) in y.chunks_exact_mut(words).enumerate() {
            y.fill(u32::MAX);
            for iy in dims.rows_of(oy) {
                for ix in dims.columns_of(ox) {
                    let at = ((image * dims.h as usize + iy) * dims.w as usize + ix) * words;
                    y.iter_mut().zip(&x[at..]).for_each(|(y, x)| *y &= x);
                }
            }
        }
    });
}
