//! Twin of `shaders/gated_copy.wgsl`.

use crate::dims;

dims! {
    /// Sizes of `gated_copy`.
    pub struct GatedCopyDims {
        /// Elements.
        count: u32,
    }
}

/// state = source where the gate is open.
pub fn gated_copy(dims: &GatedCopyDims, source: &[u32], gate: &[u32], state: &mut [u32]) {
    let count = dims.count as usize;
    if gate[0] != 0 {
        state[..count].copy_from_slice(&source[..count]);
    }
}
