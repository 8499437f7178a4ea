//! Twins of `shaders/sop_*.wgsl`.

use rayon::prelude::*;

use super::boxes::{decode, quad};
use super::multibox_loss::soft_sum;
use super::nms::suppress;
use crate::dims;

dims! {
    /// Sizes and constants of `sop_class_average` and `sop_image_weights`.
    pub struct SopWeightsDims {
        /// Images of the batch.
        images: u32,
        /// Classes without background.
        foreground: u32,
        /// 1: detections of an object instead of detections are averaged.
        excess: u32,
        /// Weight of the old average in the new one.
        decay: f32,
        /// Smallest weight.
        low: f32,
        /// Largest weight.
        high: f32,
    }
}
dims! {
    /// Sizes and constants of the kernels of the sparse object prior.
    pub struct SopDims {
        /// Images of this slice (of the batch in `sop_finish`).
        images: u32,
        /// Priors of an image.
        priors: u32,
        /// Classes with background.
        classes: u32,
        /// Images before this slice.
        first: u32,
        /// Detections taken by score before suppression.
        top_k: u32,
        /// Places for detections of a pair in `kept`.
        capacity: u32,
        /// The place of the loss's weight in `weights`.
        weight: u32,
        /// Class weights from image to image; 0 where all images share them.
        image_stride: u32,
        /// Logarithm of the score threshold.
        log_threshold: f32,
        /// Largest IoU of two detections.
        overlap: f32,
        /// Variance of the centre.
        v0: f32,
        /// Variance of the size.
        v1: f32,
    }
}

/// Words before the first slot.
const HEAD: usize = 4;

/// log sum exp of every prior.
pub fn sop_log_sum(d: &SopDims, logits: &[f32], log_sum: &mut [f32]) {
    log_sum.par_iter_mut().zip(logits.par_chunks_exact(d.classes as usize)).with_min_len(256).for_each(|(l, x)| {
        let (top, sum) = soft_sum(x);
        *l = top + sum.ln();
    });
}

/// The pairs that have objects, and the objects that count.
pub fn sop_slots(d: &SopDims, objects: &[u32], weights: &[f32], slots: &mut [u32], counted: &mut [u32]) {
    let on = weights[d.weight as usize] != 0.0;
    let pairs = (d.images * (d.classes - 1)) as usize;
    let counted = &mut counted[(d.first * (d.classes - 1)) as usize..][..pairs];
    match on {
        true => counted.copy_from_slice(&objects[..pairs]),
        false => counted.fill(0),
    }
    let mut count = 0;
    for (i, g) in counted.iter().enumerate().filter(|(_, g)| **g > 0) {
        slots[HEAD + 2 * count] = i as u32;
        slots[HEAD + 2 * count + 1] = *g;
        count += 1;
    }
    slots[..HEAD].copy_from_slice(&[count as u32, 1, 1, 0]);
}

/// Detections and entropy of each slot.
pub fn sop_detect(
    d: &SopDims,
    logits: &[f32],
    log_sum: &[f32],
    loc: &[f32],
    priors: &[f32],
    slots: &[u32],
    kept: &mut [u32],
    detections: &mut [u32],
    terms: &mut [f32],
) {
    let (per_image, classes) = (d.priors as usize, d.classes as usize);
    let found: Vec<_> = slots[HEAD..][..2 * slots[0] as usize]
        .par_chunks_exact(2)
        .map(|slot| {
            let (pair, objects) = (slot[0] as usize, slot[1]);
            let (row, class) = (pair / (classes - 1) * per_image, pair % (classes - 1) + 1);
            let log_score = |i: usize| logits[(row + i) * classes + class] - log_sum[row + i];
            let corners = |i: usize| decode(quad(loc, row + i), quad(priors, i), d.v0, d.v1);
            let list = suppress(per_image, d.top_k as usize, d.log_threshold, d.overlap, log_score, corners);
            let sum: f32 = list.iter().map(|i| log_score(*i as usize).exp()).sum();
            let entropy: f32 = list
                .iter()
                .map(|i| {
                    let log_p = log_score(*i as usize) - sum.ln();
                    log_p.exp() * log_p
                })
                .sum();
            let g = objects as f32;
            let term = [-entropy / g, 1.0 / (g * sum), sum.ln(), 1.0];
            (pair, term, list.len() as u32 > objects, list)
        })
        .collect();
    for (pair, term, counts, list) in found {
        let at = d.first as usize * (classes - 1) + pair;
        kept[pair * d.capacity as usize..][..list.len()].copy_from_slice(&list);
        detections[at] = list.len() as u32;
        if counts {
            terms[4 * at..][..4].copy_from_slice(&term);
        }
    }
}

/// Each class's average of detections with this batch in it, and the weights of the classes by it.
pub fn sop_class_average(
    d: &SopWeightsDims,
    detections: &[u32],
    counted: &[u32],
    state: &[f32],
    next: &mut [f32],
    omega: &mut [f32],
) {
    let foreground = d.foreground as usize;
    let mut lanes = [[0f32; 256]; 2];
    for k in 0..foreground {
        let (mut sum, mut images) = (0f32, 0f32);
        for pair in (0..d.images as usize).map(|n| n * foreground + k).filter(|p| counted[*p] > 0) {
            let found = detections[pair] as f32;
            sum += if d.excess == 1 { found / counted[pair] as f32 } else { found };
            images += 1.0;
        }
        let (mut value, mut seen) = (state[2 * k], state[2 * k + 1]);
        if images > 0.0 {
            let mean = sum / images;
            value = if seen > 0.0 { value + (1.0 - d.decay) * (mean - value) } else { mean };
            seen = 1.0;
        }
        (next[2 * k], next[2 * k + 1]) = (value, seen);
        lanes[0][k % 256] += seen * value;
        lanes[1][k % 256] += seen;
    }
    let [mut total, mut classes] = lanes;
    let mean = super::tree_sum(&mut total) / super::tree_sum(&mut classes).max(1.0);
    for k in 0..foreground {
        let known = next[2 * k + 1] > 0.0 && mean > 0.0;
        omega[k] = if known { (next[2 * k] / mean).clamp(d.low, d.high) } else { 1.0 };
    }
}

/// The weights of each image's classes by its own detections.
pub fn sop_image_weights(d: &SopWeightsDims, detections: &[u32], counted: &[u32], omega: &mut [f32]) {
    let foreground = d.foreground as usize;
    let images = detections.chunks_exact(foreground).zip(counted.chunks_exact(foreground));
    for (omega, (found, counted)) in omega.chunks_exact_mut(foreground).zip(images).take(d.images as usize) {
        let present: Vec<u32> = found.iter().zip(counted).filter(|(_, g)| **g > 0).map(|(f, _)| *f).collect();
        let mean = present.iter().sum::<u32>() as f32 / (present.len() as f32).max(1.0);
        for (omega, (found, g)) in omega.iter_mut().zip(found.iter().zip(counted)) {
            *omega = if *g > 0 && mean > 0.0 { (*found as f32 / mean).clamp(d.low, d.high) } else { 1.0 };
        }
    }
}

/// The loss of the whole batch and the coefficients of its gradient.
pub fn sop_finish(
    d: &SopDims,
    terms: &[f32],
    class_weights: &[f32],
    weights: &[f32],
    coefficients: &mut [f32],
    loss: &mut [f32],
) {
    let foreground = (d.classes - 1) as usize;
    let pairs = d.images as usize * foreground;
    let omega = |pair: usize| class_weights[pair / foreground * d.image_stride as usize + pair % foreground];
    let (mut sum, mut kept) = ([0f32; 256], [0f32; 256]);
    for i in 0..pairs {
        sum[i % 256] += omega(i) * terms[4 * i];
        kept[i % 256] += terms[4 * i + 3];
    }
    let each = 1.0 / (super::tree_sum(&mut kept) + 1e-6);
    loss[0] = super::tree_sum(&mut sum) * each;
    let scale = weights[d.weight as usize] * each;
    for i in 0..pairs {
        coefficients[2 * i] = scale * omega(i) * terms[4 * i + 1];
        coefficients[2 * i + 1] = terms[4 * i + 2];
    }
}

/// Gradient of the logits.
pub fn sop_d_logits(
    d: &SopDims,
    logits: &[f32],
    log_sum: &[f32],
    kept: &[u32],
    detections: &[u32],
    coefficients: &[f32],
    d_logits: &mut [f32],
) {
    let (priors, classes, capacity) = (d.priors as usize, d.classes as usize, d.capacity as usize);
    d_logits.par_chunks_exact_mut(priors * classes).enumerate().for_each(|(n, d_logits)| {
        for k in 0..classes - 1 {
            let pair = n * (classes - 1) + k;
            let at = d.first as usize * (classes - 1) + pair;
            let (c, log_total) = (coefficients[2 * at], coefficients[2 * at + 1]);
            if c == 0.0 {
                continue;
            }
            for prior in &kept[pair * capacity..][..(detections[at] as usize).min(capacity)] {
                let row = n * priors + *prior as usize;
                let x = &logits[row * classes..][..classes];
                let log_s = x[k + 1] - log_sum[row];
                let a = -c * (log_s - log_total + 1.0) * log_s.exp();
                let d_x = &mut d_logits[*prior as usize * classes..][..classes];
                for (j, (d_x, x)) in d_x.iter_mut().zip(x).enumerate() {
                    *d_x += a * ((j == k + 1) as u32 as f32 - (x - log_sum[row]).exp());
                }
            }
        }
    });
}
