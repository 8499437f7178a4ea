//! Twins of `shaders/multibox_*.wgsl`.

use rayon::prelude::*;

use super::boxes::quad;
use super::select::{Selection, select_largest};
use crate::dims;

dims! {
    /// Sizes of the multibox kernels.
    pub struct MultiboxDims {
        /// Images of this slice (of the batch in `multibox_finish`).
        images: u32,
        /// Priors of an image.
        priors: u32,
        /// Classes with background.
        classes: u32,
        /// Images before this slice.
        first: u32,
        /// Negatives a positive.
        ratio: u32,
        /// 1: add to the gradient, 0: overwrite.
        accumulate: u32,
    }
}

/// Words of an image in `selection`.
pub const SELECTION: usize = 5;
/// Rows that one thread works on at a time.
const ROWS: usize = 256;

/// (largest value, sum of exp(x - largest)).
pub(crate) fn soft_sum(x: &[f32]) -> (f32, f32) {
    let top = x.iter().fold(f32::NEG_INFINITY, |m, v| m.max(*v));
    (top, x.iter().fold(0f32, |s, v| s + (v - top).exp()))
}

fn class_of(target: i32, classes: usize) -> usize {
    (target.max(0) as usize).min(classes - 1)
}

/// Cross-entropy of every prior.
pub fn multibox_ce(d: &MultiboxDims, conf: &[f32], targets: &[i32], ce: &mut [f32]) {
    let k = d.classes as usize;
    let rows = ce.par_chunks_mut(ROWS).zip(conf.par_chunks(ROWS * k)).zip(targets.par_chunks(ROWS));
    rows.for_each(|((ce, conf), targets)| {
        for ((ce, x), t) in ce.iter_mut().zip(conf.chunks_exact(k)).zip(targets) {
            let (top, sum) = soft_sum(x);
            // `max` would turn a NaN into 0.
            *ce = match x.iter().all(|v| v.is_finite()) {
                true => (sum.ln() + (top - x[class_of(*t, k)])).max(0.0),
                false => f32::INFINITY,
            };
        }
    });
}

fn keys(ce: &[f32], targets: &[i32]) -> Vec<u32> {
    ce.iter().zip(targets).map(|(c, t)| if *t > 0 { 0 } else { c.to_bits().wrapping_add(1) }).collect()
}

/// Hard negatives and sums of each image.
pub fn multibox_select(
    d: &MultiboxDims,
    ce: &[f32],
    targets: &[i32],
    loc: &[f32],
    loc_targets: &[f32],
    selection: &mut [u32],
) {
    let priors = d.priors as usize;
    let mine = &mut selection[SELECTION * d.first as usize..][..SELECTION * d.images as usize];
    mine.par_chunks_exact_mut(SELECTION).enumerate().for_each(|(n, out)| {
        let rows = n * priors..(n + 1) * priors;
        let (ce, targets) = (&ce[rows.clone()], &targets[rows.clone()]);
        let keys = keys(ce, targets);
        let candidates = keys.iter().filter(|k| **k != 0).count();
        let positives = priors - candidates;
        let wanted = (d.ratio as usize * positives).min(priors - 1).min(candidates);
        let chosen = match wanted {
            w if w == candidates => Selection::ALL,
            0 => Selection::NONE,
            w => select_largest(&keys, w),
        };
        let (mut sum_loc, mut sum_conf) = ([0f32; 256], [0f32; 256]);
        let (mut loc_finite, conf_finite) = (true, ce.iter().all(|c| c.is_finite()));
        for i in 0..priors {
            if keys[i] == 0 {
                let (a, b) = (quad(loc, rows.start + i), quad(loc_targets, rows.start + i));
                loc_finite &= a.iter().all(|v| v.is_finite());
                let l: [f32; 4] = std::array::from_fn(|j| {
                    let e = (a[j] - b[j]).abs();
                    if e < 1.0 { 0.5 * e * e } else { e - 0.5 }
                });
                sum_loc[i % 256] += (l[0] + l[1]) + (l[2] + l[3]);
            }
            if keys[i] == 0 || chosen.contains(keys[i], i as u32) {
                sum_conf[i % 256] += ce[i];
            }
        }
        out[0] = positives as u32;
        out[1] = chosen.key;
        out[2] = chosen.last;
        let bits = |sum: f32, finite| if finite { sum } else { f32::INFINITY }.to_bits();
        out[3] = bits(super::tree_sum(&mut sum_loc), loc_finite);
        out[4] = bits(super::tree_sum(&mut sum_conf), conf_finite);
    });
}

/// The losses of the whole batch.
pub fn multibox_finish(
    d: &MultiboxDims,
    selection: &[u32],
    totals: &mut [f32],
    loss_loc: &mut [f32],
    loss_conf: &mut [f32],
) {
    let (mut positives, mut loc, mut conf) = (0u32, 0f32, 0f32);
    for s in selection.chunks_exact(SELECTION).take(d.images as usize) {
        positives += s[0];
        loc += f32::from_bits(s[3]);
        conf += f32::from_bits(s[4]);
    }
    let each = if positives > 0 { 1.0 / positives as f32 } else { 0.0 };
    // A sum of what is never below 0 is finite, infinite or NaN as a whole; without positives infinity stays infinite.
    let loss = |sum: f32| if sum.is_finite() { sum * each } else { f32::INFINITY };
    totals[0] = each;
    loss_loc[0] = loss(loc);
    loss_conf[0] = loss(conf);
}

/// Gradient of the confidence loss.
pub fn multibox_d_conf(
    d: &MultiboxDims,
    conf: &[f32],
    targets: &[i32],
    ce: &[f32],
    selection: &[u32],
    totals: &[f32],
    d_conf: &mut [f32],
) {
    let (k, priors) = (d.classes as usize, d.priors as usize);
    d_conf.par_chunks_mut(ROWS * k).enumerate().for_each(|(piece, d_conf)| {
        for (r, g) in d_conf.chunks_exact_mut(k).enumerate() {
            let row = piece * ROWS + r;
            let s = &selection[SELECTION * (d.first as usize + row / priors)..];
            let chosen = Selection { key: s[1], last: s[2] };
            let key = ce[row].to_bits().wrapping_add(1);
            if !(targets[row] > 0 || chosen.contains(key, (row % priors) as u32)) {
                if d.accumulate == 0 {
                    g.fill(0.0);
                }
                continue;
            }
            let x = &conf[row * k..][..k];
            let (top, sum) = soft_sum(x);
            let class = class_of(targets[row], k);
            for (j, (g, x)) in g.iter_mut().zip(x).enumerate() {
                let v = ((x - top).exp() / sum - (j == class) as u32 as f32) * totals[0];
                *g = if d.accumulate == 1 { *g + v } else { v };
            }
        }
    });
}

/// Gradient of the location loss.
pub fn multibox_d_loc(
    d: &MultiboxDims,
    loc: &[f32],
    loc_targets: &[f32],
    targets: &[i32],
    totals: &[f32],
    d_loc: &mut [f32],
) {
    let rows = d_loc.chunks_exact_mut(4).zip(loc.chunks_exact(4)).zip(loc_targets.chunks_exact(4)).zip(targets);
    for (((g, l), t), target) in rows {
        for ((g, l), t) in g.iter_mut().zip(l).zip(t) {
            let v = if *target > 0 { (l - t).clamp(-1.0, 1.0) * totals[0] } else { 0.0 };
            *g = if d.accumulate == 1 { *g + v } else { v };
        }
    }
}
