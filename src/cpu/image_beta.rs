//! Twin of `shaders/image_beta.wgsl`.

use super::activation::logistic;
use crate::dims;
use crate::rng::{pcg4d, unit};

dims! {
    /// Sizes and constants of `image_beta`.
    pub struct ImageBetaDims {
        /// Images of this slice.
        images: u32,
        /// Images before them.
        first: u32,
        /// Images of the batch.
        batch: u32,
        /// Values of an image in the logits.
        pitch: u32,
        /// Where s comes from: 0 logit, 1 distance, 2 distance reversed, 3 uniform, 4 to 6 Beta(1,3), (2,2), (3,1).
        source: u32,
        /// 0 linear, 1 exponential, 2 sine.
        transform: u32,
        /// The place in `hyper` of the end of the warm-up.
        ready: u32,
        /// The place of the seed.
        seed: u32,
        /// The place of the step.
        step: u32,
        /// The transform's offset.
        delta: f32,
        /// The transform's gain.
        theta: f32,
        /// beta during the warm-up.
        initial: f32,
        /// Weight of the old extremes in the new ones.
        decay: f32,
    }
}

/// Sets this use of the generator apart from others.
const STREAM: u32 = 0xbe7a_0001;
/// Extremes that are closer than this have no inside.
const LEAST_SPAN: f32 = 1e-20;

/// lo, hi and whether they hold something, with this batch in them.
fn moved(d: &ImageBetaDims, source: &[f32], state: &[f32]) -> [f32; 3] {
    let squares = source.chunks_exact(2).take(d.batch as usize).map(|v| v[1]).filter(|v| v.is_finite());
    let distances: Vec<f32> = squares.map(|v| v.max(0.0).sqrt()).collect();
    let old = [state[0], state[1], state[2]];
    let Some(first) = distances.first() else { return old };
    let lo = distances.iter().fold(*first, |a, b| a.min(*b));
    let hi = distances.iter().fold(*first, |a, b| a.max(*b));
    if old[2] == 0.0 {
        return [lo, hi, 1.0];
    }
    let mix = |old: f32, new: f32| old + (1.0 - d.decay) * (new - old);
    [mix(old[0], lo), mix(old[1], hi), 1.0]
}

fn drawn(d: &ImageBetaDims, hyper: &[u32], image: u32) -> f32 {
    let [a, b, c, _] = pcg4d([hyper[d.seed as usize] ^ STREAM, hyper[d.step as usize], image, STREAM]).map(unit);
    match d.source {
        4 => a.min(b).min(c),
        5 => a.min(b).max(a.max(b).min(c)),
        6 => a.max(b).max(c),
        _ => a,
    }
}

/// sin on [0, 1] to 3e-8, in the operations of the shader.
fn sine(s: f32) -> f32 {
    let q = s * s;
    s * (1.0 - q / 6.0 * (1.0 - q / 20.0 * (1.0 - q / 42.0 * (1.0 - q / 72.0))))
}

/// s, beta and 1 / beta of the images of a slice, and the next state.
pub fn image_beta(
    d: &ImageBetaDims,
    source: &[f32],
    hyper: &[u32],
    state: &[f32],
    next: &mut [f32],
    s_out: &mut [f32],
    beta_out: &mut [f32],
    weight_out: &mut [f32],
) {
    let mut range = [state[0], state[1], state[2]];
    if matches!(d.source, 1 | 2) {
        range = moved(d, source, state);
    }
    if d.first == 0 {
        next[..3].copy_from_slice(&range);
        next[3] = 0.0;
    }
    let ready = f32::from_bits(hyper[d.ready as usize]) != 0.0;
    for n in 0..d.images {
        let image = d.first + n;
        let s = match d.source {
            0 => match source[(n * d.pitch) as usize] {
                x if x.is_finite() => logistic(x),
                _ => 0.5,
            },
            1 | 2 => {
                let (square, span) = (source[2 * image as usize + 1], range[1] - range[0]);
                if square.is_finite() && span > LEAST_SPAN {
                    let s = ((square.max(0.0).sqrt() - range[0]) / span).clamp(0.0, 1.0);
                    if d.source == 2 { 1.0 - s } else { s }
                } else {
                    0.5
                }
            }
            _ => drawn(d, hyper, image),
        };
        let beta = match (ready, d.transform) {
            (false, _) => d.initial,
            (true, 0) => d.delta + d.theta * s,
            (true, 1) => d.delta + d.theta * s.exp(),
            (true, _) => d.delta + d.theta * sine(s),
        };
        let at = image as usize;
        (s_out[at], beta_out[at], weight_out[at]) = (s, beta, 1.0 / beta);
    }
}
