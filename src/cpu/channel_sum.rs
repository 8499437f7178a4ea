//! Twin of `shaders/channel_sum.wgsl`.

use rayon::prelude::*;

use crate::dims;

dims! {
    /// Sizes of `channel_sum`.
    pub struct ChannelSumDims {
        /// Row of `partials` where this slice begins.
        first: u32,
        /// Images of this slice.
        images: u32,
        /// Pixels of an image.
        pixels: u32,
        /// Pixels of a block.
        block: u32,
        /// Blocks of an image.
        blocks: u32,
        /// Channels in `vec4<f32>`.
        vectors: u32,
    }
}

/// `partials[first + image * blocks + block][c]` = sum of x over the pixels of that block.
pub fn channel_sum(dims: &ChannelSumDims, x: &[f32], partials: &mut [f32]) {
    let width = 4 * dims.vectors as usize;
    let (pixels, block, blocks) = (dims.pixels as usize, dims.block as usize, dims.blocks as usize);
    let mine = &mut partials[dims.first as usize * width..][..dims.images as usize * blocks * width];
    mine.par_chunks_mut(width).enumerate().for_each(|(i, sum)| {
        sum.fill(0.0);
        let (image, b) = (i / blocks, i % blocks);
        for p in b * block..((b + 1) * block).min(pixels) {
            for (s, v) in sum.iter_mut().zip(&x[(image * pixels + p) * width..]) {
                *s += v;
            }
        }
    });
}
