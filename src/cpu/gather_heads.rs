//! Twins of `shaders/gather_heads.wgsl` and `shaders/gather_heads_d_input.wgsl`.

use crate::dims;

dims! {
    /// Sizes of `gather_heads` and `gather_heads_d_input`.
    pub struct GatherHeadsDims {
        /// `vec4<f32>` of the map.
        vectors: u32,
        /// Pixels of an image of the map.
        pixels: u32,
        /// Channels of the map: boxes * values.
        channels: u32,
        /// Where this map starts in an image's values.
        first: u32,
        /// Values of an image: priors * values.
        row: u32,
        /// 1: add to d_x, 0: overwrite (backward only).
        accumulate: u32,
    }
}

/// `y[image][first + pixel * channels + c] = x[image][pixel][c]`.
pub fn gather_heads(d: &GatherHeadsDims, x: &[f32], y: &mut [f32]) {
    let (pixels, channels, pitch) = (d.pixels as usize, d.channels as usize, d.channels.next_multiple_of(4) as usize);
    for (x, y) in x.chunks_exact(pixels * pitch).zip(y.chunks_exact_mut(d.row as usize)) {
        let y = &mut y[d.first as usize..][..pixels * channels];
        for (x, y) in x.chunks_exact(pitch).zip(y.chunks_exact_mut(channels)) {
            y.copy_from_slice(&x[..channels]);
        }
    }
}

/// d_x (+)= the part of d_y that came from x; pad lanes 0.
pub fn gather_heads_d_input(d: &GatherHeadsDims, d_y: &[f32], d_x: &mut [f32]) {
    let (pixels, channels, pitch) = (d.pixels as usize, d.channels as usize, d.channels.next_multiple_of(4) as usize);
    for (d_x, d_y) in d_x.chunks_exact_mut(pixels * pitch).zip(d_y.chunks_exact(d.row as usize)) {
        let d_y = &d_y[d.first as usize..][..pixels * channels];
        for (x, y) in d_x.chunks_exact_mut(pitch).zip(d_y.chunks_exact(channels)) {
            x[channels..].fill(0.0);
            for (x, y) in x.iter_mut().zip(y) {
                *x = if d.accumulate == 1 { *x + *y } else { *y };
            }
        }
    }
}
