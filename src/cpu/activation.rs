//! Twins of `shaders/leaky_relu*.wgsl`, `sigmoid*.wgsl`, `tanh*.wgsl` and `hardtanh*.wgsl`.

use super::parallel::{rows, store, zip1, zip2};
use crate::dims;

dims! {
    /// Sizes and constants of the activations.
    pub struct ActivationDims {
        /// Number of `vec4<f32>`.
        vectors: u32,
        /// 1: add to d_x, 0: overwrite (backward only).
        accumulate: u32,
        /// `vec4<f32>` of a pixel.
        pixel_vectors: u32,
        /// Channels without padding.
        channels: u32,
        /// The slope of `leaky_relu`, the lower bound of `hardtanh`.
        a: f32,
        /// The upper bound of `hardtanh`.
        b: f32,
    }
}

/// y = f(x) in the channels, 0 in the pad lanes.
fn masked(dims: &ActivationDims, x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32 + Sync) {
    let (pitch, channels) = (4 * dims.pixel_vectors as usize, dims.channels as usize);
    rows(y, pitch, 4 * pitch, |i, y| {
        let (values, pad) = y.split_at_mut(channels);
        values.iter_mut().zip(&x[i * pitch..]).for_each(|(y, x)| *y = f(*x));
        pad.fill(0.0);
    });
}

/// 1 / (1 + exp(-x)), with exp of negative values only.
pub(crate) fn logistic(x: f32) -> f32 {
    let e = (-x.abs()).exp();
    (if x >= 0.0 { 1.0 } else { e }) / (1.0 + e)
}

/// y = x where x > 0, else a x.
pub fn leaky_relu(dims: &ActivationDims, x: &[f32], y: &mut [f32]) {
    zip1(x, y, |_, x| if x > 0.0 { x } else { dims.a * x });
}

/// d_x (+)= d_y where x > 0, else a d_y.
pub fn leaky_relu_d_input(dims: &ActivationDims, x: &[f32], d_y: &[f32], d_x: &mut [f32]) {
    zip2(x, d_y, d_x, |old, x, g| store(dims.accumulate, old, if x > 0.0 { g } else { dims.a * g }));
}

/// y = 1 / (1 + exp(-x)).
pub fn sigmoid(dims: &ActivationDims, x: &[f32], y: &mut [f32]) {
    masked(dims, x, y, logistic);
}

/// d_x (+)= d_y y (1 - y).
pub fn sigmoid_d_input(dims: &ActivationDims, y: &[f32], d_y: &[f32], d_x: &mut [f32]) {
    zip2(y, d_y, d_x, |old, y, g| store(dims.accumulate, old, g * y * (1.0 - y)));
}

/// y = tanh x.
pub fn tanh(_dims: &ActivationDims, x: &[f32], y: &mut [f32]) {
    zip1(x, y, |_, x| x.tanh());
}

/// d_x (+)= d_y (1 - y^2).
pub fn tanh_d_input(dims: &ActivationDims, y: &[f32], d_y: &[f32], d_x: &mut [f32]) {
    zip2(y, d_y, d_x, |old, y, g| store(dims.accumulate, old, g * (1.0 - y * y)));
}

/// y = min(max(x, a), b).
pub fn hardtanh(dims: &ActivationDims, x: &[f32], y: &mut [f32]) {
    masked(dims, x, y, |x| x.max(dims.a).min(dims.b));
}

/// d_x (+)= d_y where a < x < b, else 0.
pub fn hardtanh_d_input(dims: &ActivationDims, x: &[f32], d_y: &[f32], d_x: &mut [f32]) {
    zip2(x, d_y, d_x, |old, x, g| store(dims.accumulate, old, if x > dims.a && x < dims.b { g } else { 0.0 }));
}
