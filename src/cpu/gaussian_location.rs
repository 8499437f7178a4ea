//! Twins of `shaders/gaussian_location.wgsl` and `shaders/gaussian_location_d_input.wgsl`.

use rayon::prelude::*;

use crate::dims;
use crate::rng::{normal, pcg4d};

dims! {
    /// Sizes of `gaussian_location` and `gaussian_location_d_input`.
    pub struct GaussianDims {
        /// Images times priors.
        rows: u32,
        /// Priors of an image.
        priors: u32,
        /// Images before this slice.
        first: u32,
        /// The place of the noise scale in `hyper`.
        noise: u32,
        /// The place of the seed.
        seed: u32,
        /// The place of the step.
        step: u32,
        /// 1: add to d_raw, 0: overwrite (backward only).
        accumulate: u32,
    }
}

/// Larger log-variances count as this one.
pub const LOG_VARIANCE_LIMIT: f32 = 20.0;
/// Rows that one thread works on at a time.
const ROWS: usize = 1024;

/// Four standard normal values of a prior.
pub fn location_noise(seed: u32, step: u32, image: u32, prior: u32) -> [f32; 4] {
    std::array::from_fn(|i| {
        let w = pcg4d([seed, step, image, 4 * prior + i as u32]);
        normal(w[0], w[1])
    })
}

/// k, and the noise of a row where it has any.
fn noise(d: &GaussianDims, hyper: &[u32], target: i32, row: usize) -> (f32, Option<[f32; 4]>) {
    let at = |i: u32| hyper[i as usize];
    let k = f32::from_bits(at(d.noise));
    if target <= 0 || k == 0.0 {
        return (k, None);
    }
    let (image, prior) = (d.first + row as u32 / d.priors, row as u32 % d.priors);
    (k, Some(location_noise(at(d.seed), at(d.step), image, prior)))
}

/// y = mu + k eps exp(s / 2) at positive priors, else mu.
pub fn gaussian_location(d: &GaussianDims, raw: &[f32], targets: &[i32], hyper: &[u32], y: &mut [f32]) {
    y.par_chunks_mut(4 * ROWS).enumerate().for_each(|(piece, y)| {
        for (r, y) in y.chunks_exact_mut(4).enumerate() {
            let row = piece * ROWS + r;
            let (s, mu) = raw[8 * row..][..8].split_at(4);
            y.copy_from_slice(mu);
            if let (k, Some(eps)) = noise(d, hyper, targets[row], row) {
                for i in 0..4 {
                    y[i] += k * eps[i] * (0.5 * s[i].min(LOG_VARIANCE_LIMIT)).exp();
                }
            }
        }
    });
}

/// Gradients of log-variances and means.
pub fn gaussian_location_d_input(
    d: &GaussianDims,
    raw: &[f32],
    targets: &[i32],
    hyper: &[u32],
    d_y: &[f32],
    d_raw: &mut [f32],
) {
    d_raw.par_chunks_mut(8 * ROWS).enumerate().for_each(|(piece, d_raw)| {
        for (r, d_raw) in d_raw.chunks_exact_mut(8).enumerate() {
            let row = piece * ROWS + r;
            let (s, g) = (&raw[8 * row..][..4], &d_y[4 * row..][..4]);
            let mut out = [0f32; 8];
            out[4..].copy_from_slice(g);
            if let (k, Some(eps)) = noise(d, hyper, targets[row], row) {
                for i in (0..4).filter(|i| s[*i] <= LOG_VARIANCE_LIMIT) {
                    out[i] = g[i] * (0.5 * k) * eps[i] * (0.5 * s[i]).exp();
                }
            }
            for (d_raw, v) in d_raw.iter_mut().zip(out) {
                *d_raw = if d.accumulate == 1 { *d_raw + v } else { v };
            }
        }
    });
}
