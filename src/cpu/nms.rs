//! Twins of `shaders/nms.wgsl` and `shaders/common/nms_core.wgsl`.

use rayon::prelude::*;

use super::boxes::{Quad, area, intersection, quad};
use super::select::{Selection, float_key, select_largest};
use crate::dims;

dims! {
    /// Sizes of `nms`.
    pub struct NmsDims {
        /// Images.
        images: u32,
        /// Boxes of an image.
        priors: u32,
        /// Scores of a box.
        classes: u32,
        /// Scores that are left out, from the first on.
        first_class: u32,
        /// Boxes taken by score, and places in `keep`.
        top_k: u32,
        /// Scores must be larger.
        score_threshold: f32,
        /// Boxes that overlap a kept one by more are removed.
        overlap: f32,
    }
}

/// The largest `top_k` that a workgroup holds.
pub const NMS_CAPACITY: u32 = 512;

/// Greedy suppression: the kept items by falling score, ties to the lower index.
pub fn suppress(
    count: usize,
    top_k: usize,
    threshold: f32,
    overlap: f32,
    score: impl Fn(usize) -> f32,
    corners: impl Fn(usize) -> Quad,
) -> Vec<u32> {
    let key = |s: f32| if s > threshold { float_key(s) } else { 0 };
    let keys: Vec<u32> = (0..count).map(|i| key(score(i))).collect();
    let candidates = keys.iter().filter(|k| **k != 0).count();
    let chosen = if candidates > top_k { select_largest(&keys, top_k) } else { Selection::ALL };
    let mut order: Vec<u32> = (0..count as u32).filter(|i| chosen.contains(keys[*i as usize], *i)).collect();
    order.sort_by_key(|i| (!keys[*i as usize], *i));
    let boxes: Vec<Quad> = order.iter().map(|i| corners(*i as usize)).collect();
    let mut keep = Vec::new();
    let mut gone = vec![false; order.len()];
    for i in 0..order.len() {
        if gone[i] {
            continue;
        }
        keep.push(order[i]);
        for j in i + 1..order.len() {
            let inter = intersection(boxes[i], boxes[j]);
            gone[j] |= inter > overlap * (area(boxes[i]) + area(boxes[j]) - inter);
        }
    }
    keep
}

/// Suppression for every (image, class).
pub fn nms(d: &NmsDims, boxes: &[f32], scores: &[f32], keep: &mut [i32], kept: &mut [u32]) {
    let (priors, classes, foreground) = (d.priors as usize, d.classes as usize, (d.classes - d.first_class) as usize);
    keep.par_chunks_exact_mut(d.top_k as usize).zip(kept).enumerate().for_each(|(slot, (keep, kept))| {
        let (row, class) = (slot / foreground * priors, slot % foreground + d.first_class as usize);
        let found = suppress(
            priors,
            d.top_k as usize,
            d.score_threshold,
            d.overlap,
            |i| scores[(row + i) * classes + class],
            |i| quad(boxes, row + i),
        );
        keep.fill(-1);
        for (k, i) in keep.iter_mut().zip(&found) {
            *k = *i as i32;
        }
        *kept = found.len() as u32;
    });
}
