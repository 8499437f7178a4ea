//! Twins of `shaders/softmax*.wgsl` and `shaders/log_softmax*.wgsl`.

use super::parallel::{rows, store};
use crate::dims;

dims! {
    /// Sizes of the softmax kernels.
    pub struct SoftmaxDims {
        /// Rows: pixels of all images, or rows of a dense tensor.
        rows: u32,
        /// Values of a row that take part.
        channels: u32,
        /// Values from row to row.
        pitch: u32,
        /// 1: add to d_x, 0: overwrite (backward only).
        accumulate: u32,
    }
}

impl SoftmaxDims {
    /// Calls `f(first value, channels of the output row)` for each row, and fills the rest with 0.
    fn each(&self, out: &mut [f32], clear: bool, f: impl Fn(usize, &mut [f32]) + Sync) {
        let pitch = self.pitch as usize;
        rows(out, pitch, 8 * pitch, |row, out| {
            let (values, pad) = out.split_at_mut(self.channels as usize);
            f(row * pitch, values);
            if clear {
                pad.fill(0.0);
            }
        });
    }
}

fn largest(x: &[f32]) -> f32 {
    x.iter().fold(f32::NEG_INFINITY, |m, v| m.max(*v))
}

/// y = exp(x - max x) / sum exp(x - max x).
pub fn softmax(dims: &SoftmaxDims, x: &[f32], y: &mut [f32]) {
    dims.each(y, true, |at, y| {
        let x = &x[at..at + y.len()];
        let largest = largest(x);
        y.iter_mut().zip(x).for_each(|(y, x)| *y = (x - largest).exp());
        let sum: f32 = y.iter().sum();
        y.iter_mut().for_each(|y| *y /= sum);
    });
}

/// y = x - max x - log sum exp(x - max x).
pub fn log_softmax(dims: &SoftmaxDims, x: &[f32], y: &mut [f32]) {
    dims.each(y, true, |at, y| {
        let x = &x[at..at + y.len()];
        let largest = largest(x);
        let sum: f32 = x.iter().map(|x| (x - largest).exp()).sum();
        let shift = sum.ln();
        y.iter_mut().zip(x).for_each(|(y, x)| *y = (x - largest) - shift);
    });
}

/// d_x (+)= y (d_y - sum d_y y).
pub fn softmax_d_input(dims: &SoftmaxDims, y: &[f32], d_y: &[f32], d_x: &mut [f32]) {
    dims.each(d_x, dims.accumulate == 0, |at, d_x| {
        let (y, d_y) = (&y[at..at + d_x.len()], &d_y[at..at + d_x.len()]);
        let sum: f32 = y.iter().zip(d_y).map(|(y, g)| y * g).sum();
        for ((d, y), g) in d_x.iter_mut().zip(y).zip(d_y) {
            *d = store(dims.accumulate, *d, y * (g - sum));
        }
    });
}

/// d_x (+)= d_y - exp(y) sum d_y.
pub fn log_softmax_d_input(dims: &SoftmaxDims, y: &[f32], d_y: &[f32], d_x: &mut [f32]) {
    dims.each(d_x, dims.accumulate == 0, |at, d_x| {
        let (y, d_y) = (&y[at..at + d_x.len()], &d_y[at..at + d_x.len()]);
        let sum: f32 = d_y.iter().sum();
        for ((d, y), g) in d_x.iter_mut().zip(y).zip(d_y) {
            *d = store(dims.accumulate, *d, g - y.exp() * sum);
        }
    });
}
