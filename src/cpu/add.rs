//! Twins of `shaders/add*.wgsl`.

use super::parallel::{store, zip1, zip2};
use crate::dims;

dims! {
    /// Sizes of `add` and `add_d_input`.
    pub struct AddDims {
        /// Number of `vec4<f32>`.
        vectors: u32,
        /// 1: add to d_x, 0: overwrite (backward only).
        accumulate: u32,
    }
}

/// y = a + b.
pub fn add(_dims: &AddDims, a: &[f32], b: &[f32], y: &mut [f32]) {
    zip2(a, b, y, |_, a, b| a + b);
}

/// d_x (+)= d_y.
pub fn add_d_input(dims: &AddDims, d_y: &[f32], d_x: &mut [f32]) {
    zip1(d_y, d_x, |old, g| store(dims.accumulate, old, g));
}
