//! Twins of `shaders/activation_census.wgsl` and `shaders/activation_census_sum.wgsl`.

use rayon::prelude::*;

use crate::dims;

dims! {
    /// Sizes of `activation_census`.
    pub struct ActivationCensusDims {
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
        /// 0: +1 is what is not below 0; 1: what is above 0.
        mode: u32,
    }
}

dims! {
    /// Sizes of `activation_census_sum`.
    pub struct ActivationCensusSumDims {
        /// Rows of `partials`.
        rows: u32,
        /// Channels.
        channels: u32,
        /// Channels in `vec4<u32>`.
        vectors: u32,
    }
}

/// `partials[first + image * blocks + block]` = for each channel the pixels of that block that are read as +1, then those
/// with |x| <= 1.
pub fn activation_census(dims: &ActivationCensusDims, x: &[f32], partials: &mut [u32]) {
    let width = 4 * dims.vectors as usize;
    let (pixels, block, blocks) = (dims.pixels as usize, dims.block as usize, dims.blocks as usize);
    let mine = &mut partials[dims.first as usize * 2 * width..][..dims.images as usize * blocks * 2 * width];
    mine.par_chunks_mut(2 * width).enumerate().for_each(|(i, counts)| {
        counts.fill(0);
        let (positive, inside) = counts.split_at_mut(width);
        let (image, b) = (i / blocks, i % blocks);
        for p in b * block..((b + 1) * block).min(pixels) {
            let values = &x[(image * pixels + p) * width..][..width];
            for ((positive, inside), v) in positive.iter_mut().zip(inside.iter_mut()).zip(values) {
                let below = *v < 0.0;
                *positive += if dims.mode == 1 { *v > 0.0 } else { !below } as u32;
                *inside += (v.abs() <= 1.0) as u32;
            }
        }
    });
}

/// `counts[k][c]` = sum of `partials[row][k][c]` over the rows.
pub fn activation_census_sum(dims: &ActivationCensusSumDims, partials: &[u32], counts: &mut [u32]) {
    let (channels, width) = (dims.channels as usize, 4 * dims.vectors as usize);
    counts[..2 * channels].fill(0);
    for row in partials.chunks_exact(2 * width).take(dims.rows as usize) {
        for (sums, parts) in counts.chunks_exact_mut(channels).zip(row.chunks_exact(width)) {
            for (sum, part) in sums.iter_mut().zip(parts) {
                *sum += part;
            }
        }
    }
}
