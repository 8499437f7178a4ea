//! Twins of `shaders/match_best_prior.wgsl`, `match_priors.wgsl` and `decode_boxes.wgsl`.

use rayon::prelude::*;

use super::boxes::{Quad, corners, decode, encode, iou, quad};
use crate::dims;

dims! {
    /// Sizes of `match_best_prior` and `match_priors`.
    pub struct MatchDims {
        /// Images.
        images: u32,
        /// Places for objects in an image.
        capacity: u32,
        /// Priors of an image.
        priors: u32,
        /// Smallest IoU of a positive.
        threshold: f32,
        /// Variance of the centre.
        v0: f32,
        /// Variance of the size.
        v1: f32,
    }
}
dims! {
    /// Sizes of `decode_boxes`.
    pub struct DecodeDims {
        /// Images times priors.
        rows: u32,
        /// Priors of an image.
        priors: u32,
        /// Variance of the centre.
        v0: f32,
        /// Variance of the size.
        v1: f32,
    }
}

const NONE: u32 = u32::MAX;

/// The best prior of every object.
pub fn match_best_prior(d: &MatchDims, boxes: &[f32], counts: &[u32], priors: &[f32], best: &mut [u32]) {
    let capacity = d.capacity as usize;
    best.par_iter_mut().enumerate().for_each(|(slot, best)| {
        *best = NONE;
        let b = quad(boxes, slot);
        if slot % capacity >= counts[slot / capacity] as usize || b[2] <= b[0] || b[3] <= b[1] {
            return;
        }
        let mut most = -1.0;
        for p in 0..d.priors {
            let o = iou(b, corners(quad(priors, p as usize)));
            if o > most {
                (most, *best) = (o, p);
            }
        }
    });
}

/// The target of every prior.
pub fn match_priors(
    d: &MatchDims,
    boxes: &[f32],
    labels: &[i32],
    counts: &[u32],
    priors: &[f32],
    best: &[u32],
    loc_targets: &mut [f32],
    targets: &mut [i32],
) {
    let (capacity, per_image) = (d.capacity as usize, d.priors as usize);
    loc_targets.par_chunks_exact_mut(4).zip(targets).enumerate().for_each(|(row, (loc, target))| {
        let (image, p) = (row / per_image, row % per_image);
        let prior = quad(priors, p);
        let corners = corners(prior);
        let (mut most, mut found) = (-1.0, None);
        let start = image * capacity;
        for j in start..start + capacity.min(counts[image] as usize) {
            if best[j] == NONE {
                continue;
            }
            // 2 is more than any IoU, and of several the last one stays.
            let forced = best[j] == p as u32;
            let o = if forced { 2.0 } else { iou(quad(boxes, j), corners) };
            if forced || o > most {
                (most, found) = (o, Some(j));
            }
        }
        let (mut l, mut t): (Quad, i32) = ([0.0; 4], 0);
        if let Some(j) = found {
            l = encode(quad(boxes, j), prior, d.v0, d.v1);
            if most >= d.threshold {
                t = labels[j] + 1;
            }
        }
        loc.copy_from_slice(&l);
        *target = t;
    });
}

/// Locations to corners.
pub fn decode_boxes(d: &DecodeDims, loc: &[f32], priors: &[f32], boxes: &mut [f32]) {
    boxes.par_chunks_exact_mut(4).enumerate().for_each(|(row, out)| {
        out.copy_from_slice(&decode(quad(loc, row), quad(priors, row % d.priors as usize), d.v0, d.v1));
    });
}
