//! Twin of `shaders/relu.wgsl`.

use crate::dims;

dims! {
    /// Sizes of `relu` and `relu_d_input`.
    pub struct ReluDims {
        /// Number of `vec4<f32>`.
        vectors: u32,
        /// 1: add to d_x, 0: overwrite (backward only).
        accumulate: u32,
    }
}

/// y = max(x, 0).
pub fn relu(_dims: &ReluDims, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = x.max(0.0);
    }
}

/// d_x = d_y where x > 0, else 0.
pub fn relu_d_input(dims: &ReluDims, x: &[f32], d_y: &[f32], d_x: &mut [f32]) {
    for ((d, x), g) in d_x.iter_mut().zip(x).zip(d_y) {
        let v = if *x > 0.0 { *g } else { 0.0 };
        *d = if dims.accumulate == 1 { *d + v } else { v };
    }
}
