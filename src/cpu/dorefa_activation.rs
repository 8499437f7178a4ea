//! Twins of `shaders/dorefa_activation*.wgsl`.

use super::parallel::{store, zip1, zip2};
use crate::dims;

dims! {
    /// Sizes of `dorefa_activation` and `dorefa_activation_d_input`.
    pub struct DorefaActivationDims {
        /// Number of `vec4<f32>`.
        vectors: u32,
        /// 1: add to d_x, 0: overwrite (backward only).
        accumulate: u32,
        /// Steps of the grid from 0 to 1: 2^bits - 1.
        levels: f32,
    }
}

/// y = round(levels min(max(x, 0), 1)) / levels, halves to even.
pub fn dorefa_activation(dims: &DorefaActivationDims, x: &[f32], y: &mut [f32]) {
    zip1(x, y, |_, x| (dims.levels * x.clamp(0.0, 1.0)).round_ties_even() / dims.levels);
}

/// d_x (+)= d_y where 0 <= x <= 1, else 0.
pub fn dorefa_activation_d_input(dims: &DorefaActivationDims, x: &[f32], d_y: &[f32], d_x: &mut [f32]) {
    zip2(x, d_y, d_x, |old, x, g| store(dims.accumulate, old, if (0.0..=1.0).contains(&x) { g } else { 0.0 }));
}
