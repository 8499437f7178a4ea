//! Matching by the rule of the PASCAL VOC development kit.
//!
//! Detections of a class go by falling score, equal scores in the order they were given (the kit's sort is stable).
//! Each looks at **all** objects of its class in its image, taken ones and difficult ones too, and picks the one that
//! it overlaps most (the first of equals). From an overlap of exactly the threshold on:
//!
//! * the object is ignored (difficult): the detection does not count;
//! * the object is free: a true positive, and the object is taken;
//! * the object is taken: a false positive.
//!
//! Below the threshold: a false positive. The kit asks `overlap >= threshold`; several Python ports ask `>`.

use super::average::{Outcome, Ranking, falling};
use super::boxes::{ByClass, Rect};
use super::options::{EvalOptions, Pixels};

/// Ranks and matches one class; `images` is the number of images of the set.
pub(super) fn rank(class: &ByClass, images: usize, options: &EvalOptions) -> Ranking {
    // truths[starts[i]..starts[i + 1]] belong to image i.
    let mut starts = vec![0usize; images + 1];
    let mut positives: Vec<(u32, u32)> = Vec::new();
    for truth in &class.truths {
        starts[truth.image as usize + 1] += 1;
        if !truth.ignore {
            match positives.last_mut() {
                Some((image, n)) if *image == truth.image => *n += 1,
                _ => positives.push((truth.image, 1)),
            }
        }
    }
    for i in 0..images {
        starts[i + 1] += starts[i];
    }
    let mut order: Vec<usize> = (0..class.found.len()).collect();
    order.sort_by(|&a, &b| falling(class.found[a].score, class.found[b].score));
    let one = if options.pixels == Pixels::Inclusive { 1.0 } else { 0.0 };
    let mut taken = vec![false; class.truths.len()];
    let outcomes = order
        .iter()
        .map(|&i| {
            let d = &class.found[i];
            let mut best = (f64::NEG_INFINITY, 0);
            for g in starts[d.image as usize]..starts[d.image as usize + 1] {
                let overlap = overlap(&d.bbox, &class.truths[g].rect, one);
                if overlap > best.0 {
                    best = (overlap, g);
                }
            }
            let (overlap, g) = best;
            if overlap < options.iou {
                Outcome::FalsePositive
            } else if class.truths[g].ignore {
                Outcome::Ignored
            } else if std::mem::replace(&mut taken[g], true) {
                Outcome::FalsePositive
            } else {
                Outcome::TruePositive
            }
        })
        .collect();
    Ranking {
        scores: order.iter().map(|&i| class.found[i].score).collect(),
        images: order.iter().map(|&i| class.found[i].image).collect(),
        outcomes: vec![outcomes],
        positives,
    }
}

/// Intersection over union, minus infinity where the boxes do not meet.
fn overlap(a: &Rect, b: &Rect, one: f64) -> f64 {
    let w = a.xmax.min(b.xmax) - a.x.max(b.x) + one;
    let h = a.ymax.min(b.ymax) - a.y.max(b.y) + one;
    if !(w > 0.0 && h > 0.0) {
        return f64::NEG_INFINITY;
    }
    let area = |r: &Rect| (r.xmax - r.x + one) * (r.ymax - r.y + one);
    w * h / (area(a) + area(b) - w * h)
}
