//! Twins of `shaders/channel_shuffle*.wgsl`.

use super::parallel::{rows, store};
use crate::dims;

dims! {
    /// Sizes of `channel_shuffle` and `channel_shuffle_d_input`.
    pub struct ChannelShuffleDims {
        /// Number of `vec4<f32>`.
        vectors: u32,
        /// `vec4<f32>` of a pixel.
        pixel_vectors: u32,
        /// Channels without padding.
        channels: u32,
        /// Groups; they divide the channels.
        groups: u32,
        /// 1: add to d_x, 0: overwrite (backward only).
        accumulate: u32,
    }
}

/// out[k rows + r] = from[r channels/rows + k], for r < rows.
fn transpose(dims: &ChannelShuffleDims, count: u32, from: &[f32], out: &mut [f32]) {
    let (pitch, channels, count) = (4 * dims.pixel_vectors as usize, dims.channels as usize, count as usize);
    let members = channels / count;
    rows(out, pitch, 2 * pitch, |p, out| {
        let from = &from[p * pitch..][..channels];
        for (c, o) in out.iter_mut().enumerate() {
            let value = if c < channels { from[c % count * members + c / count] } else { 0.0 };
            *o = store(dims.accumulate, *o, value);
        }
    });
}

/// y[k groups + g] = x[g channels/groups + k].
pub fn channel_shuffle(dims: &ChannelShuffleDims, x: &[f32], y: &mut [f32]) {
    transpose(dims, dims.groups, x, y);
}

/// d_x[g channels/groups + k] (+)= d_y[k groups + g].
pub fn channel_shuffle_d_input(dims: &ChannelShuffleDims, d_y: &[f32], d_x: &mut [f32]) {
    transpose(dims, dims.channels / dims.groups, d_y, d_x);
}
