//! Twins of `shaders/gaussian_latent*.wgsl`.

use super::parallel::{rows, store};
use crate::dims;
use crate::rng::{normal, pcg4d};

dims! {
    /// Sizes of the `gaussian_latent` kernels.
    pub struct GaussianLatentDims {
        /// Images of this slice.
        images: u32,
        /// Images before them.
        first: u32,
        /// Pixels of an image.
        pixels: u32,
        /// Channels of z.
        channels: u32,
        /// Values from pixel to pixel of z.
        pitch: u32,
        /// Values from pixel to pixel of means and log-variances.
        raw_pitch: u32,
        /// The place of the seed in `hyper`.
        seed: u32,
        /// The place of the step.
        step: u32,
        /// 1: z is drawn, 0: z is the mean.
        sampled: u32,
        /// Latent values of a block.
        block: u32,
        /// Blocks of an image.
        blocks: u32,
        /// Weight of the divergence / images (backward only).
        weight: f32,
        /// 1: z has a gradient (backward only).
        upstream: u32,
        /// 1: add to d_raw, 0: overwrite (backward only).
        accumulate: u32,
    }
}

/// Log-variances count as at least -LIMIT and at most LIMIT.
pub const LIMIT: f32 = 10.0;
/// Sets this use of the generator apart from others.
const STREAM: u32 = 0x1a7e_0001;

/// z = mean + eps exp(log-variance / 2), or the mean.
pub fn gaussian_latent(d: &GaussianLatentDims, raw: &[f32], hyper: &[u32], z: &mut [f32]) {
    let (pitch, raw_pitch, channels) = (d.pitch as usize, d.raw_pitch as usize, d.channels as usize);
    let (seed, step) = (hyper[d.seed as usize] ^ STREAM, hyper[d.step as usize]);
    rows(z, pitch, 64 * pitch, |pixel, z| {
        let (mean, rest) = raw[pixel * raw_pitch..][..raw_pitch].split_at(channels);
        let (image, place) = (d.first + pixel as u32 / d.pixels, pixel as u32 % d.pixels * d.channels);
        z[channels..].fill(0.0);
        for (c, (z, (mean, v))) in z[..channels].iter_mut().zip(mean.iter().zip(rest)).enumerate() {
            *z = *mean;
            if d.sampled == 1 {
                let w = pcg4d([seed, step, image, place + c as u32]);
                *z += normal(w[0], w[1]) * (0.5 * v.clamp(-LIMIT, LIMIT)).exp();
            }
        }
    });
}

/// Divergence of each block.
pub fn gaussian_latent_partial(d: &GaussianLatentDims, raw: &[f32], partials: &mut [f32]) {
    let (blocks, block, channels) = (d.blocks as usize, d.block as usize, d.channels as usize);
    let begin = d.first as usize * blocks;
    rows(&mut partials[begin..begin + d.images as usize * blocks], 1, 8 * block, |row, sum| {
        let image = row / blocks * d.pixels as usize;
        let begin = row % blocks * block;
        let end = (begin + block).min(d.pixels as usize * channels);
        sum[0] = (begin..end)
            .map(|i| {
                let at = (image + i / channels) * d.raw_pitch as usize + i % channels;
                let (mean, v) = (raw[at], raw[at + channels].clamp(-LIMIT, LIMIT));
                0.5 * (mean * mean + (v.exp() - 1.0 - v))
            })
            .sum();
    });
}

/// Gradients of means and log-variances.
pub fn gaussian_latent_d_input(d: &GaussianLatentDims, raw: &[f32], z: &[f32], d_z: &[f32], d_raw: &mut [f32]) {
    let (pitch, raw_pitch, channels) = (d.pitch as usize, d.raw_pitch as usize, d.channels as usize);
    rows(d_raw, raw_pitch, 8 * raw_pitch, |pixel, d_raw| {
        let raw = &raw[pixel * raw_pitch..][..raw_pitch];
        for (lane, d_raw) in d_raw.iter_mut().enumerate() {
            let at = pixel * pitch + lane % channels;
            let g = if d.upstream == 1 && lane < 2 * channels { d_z[at] } else { 0.0 };
            let value = if lane < channels {
                g + d.weight * raw[lane]
            } else if lane < 2 * channels && (-LIMIT..=LIMIT).contains(&raw[lane]) {
                0.5 * (g * (z[at] - raw[lane - channels]) + d.weight * (raw[lane].exp() - 1.0))
            } else {
                0.0
            };
            *d_raw = store(d.accumulate, *d_raw, value);
        }
    });
}
