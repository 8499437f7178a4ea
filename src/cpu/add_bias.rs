//! Twin of `shaders/add_bias.wgsl`.

use crate::dims;

dims! {
    /// Sizes of `add_bias`.
    pub struct AddBiasDims {
        /// Pixels of all images of this slice.
        pixels: u32,
        /// Channels in `vec4<f32>`.
        vectors: u32,
    }
}

/// y += bias, a channel.
pub fn add_bias(dims: &AddBiasDims, bias: &[f32], y: &mut [f32]) {
    let width = 4 * dims.vectors as usize;
    for row in y.chunks_exact_mut(width).take(dims.pixels as usize) {
        for (y, b) in row.iter_mut().zip(bias) {
            *y += b;
        }
    }
}
