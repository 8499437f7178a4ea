//! Which prior answers for which annotated box (SSD's matching), and the regression targets.
//!
//! ```text
//! iou[g, p]                      g: boxes, p: priors
//! best(p)  = argmax_g iou[g, p]  (first of equals)
//! prior(g) = argmax_p iou[g, p]  (first of equals)
//! best(prior(g)) := g            for g = 0, 1, ...: the later box wins a contested prior
//! conf(p)  = class(best(p)) + 1  where p = prior(g) for some g, or iou[best(p), p] >= threshold; else 0
//! loc(p)   = encode(box best(p), prior p)
//! ```
//!
//! Work is boxes x priors, in loops over priors without branches; the logarithms are taken once a box and once a prior.

use crate::{Error, Result};

use super::codec::to_corners;

/// The targets of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Matched {
    /// `[priors][4]` regression targets. Of background priors too (towards the box they overlap most), as the
    /// reference has it; the loss does not read those. All zero for an image without boxes.
    pub loc: Vec<[f32; 4]>,
    /// `[priors]`: 0 background, class + 1 otherwise.
    pub conf: Vec<u32>,
    /// Number of priors with `conf > 0`.
    pub positives: usize,
    /// Boxes that were left out: empty, inverted or not finite (their target would not be finite), or without any
    /// overlap with any prior (wholly outside the image).
    pub skipped: usize,
}

/// The priors, laid out for matching; made once, shared by all loader threads.
#[derive(Debug, Clone)]
pub struct Matcher {
    // Corners and areas, one array a coordinate.
    x1: Vec<f32>,
    y1: Vec<f32>,
    x2: Vec<f32>,
    y2: Vec<f32>,
    area: Vec<f32>,
    // Centre, 1 / (v0·size), ln(size).
    centre: Vec<[f32; 6]>,
    threshold: f32,
    inv_size_variance: f32,
}

/// One usable box.
struct Target {
    centre: [f32; 2],
    ln_size: [f32; 2],
    label: u32,
}

impl Matcher {
    /// `priors` in centre form, fractions of the image; `threshold` is the IoU from which a prior is positive
    /// (SSD: 0.5); `variances` as in [`super::codec`].
    pub fn new(priors: &[[f32; 4]], threshold: f32, variances: [f32; 2]) -> Self {
        let corners: Vec<[f32; 4]> = priors.iter().map(|&p| to_corners(p)).collect();
        let column = |k: usize| corners.iter().map(|c| c[k]).collect::<Vec<f32>>();
        Matcher {
            x1: column(0),
            y1: column(1),
            x2: column(2),
            y2: column(3),
            area: corners.iter().map(|c| (c[2] - c[0]) * (c[3] - c[1])).collect(),
            centre: priors
                .iter()
                .map(|&[cx, cy, w, h]| [cx, cy, 1.0 / (variances[0] * w), 1.0 / (variances[0] * h), w.ln(), h.ln()])
                .collect(),
            threshold,
            inv_size_variance: 1.0 / variances[1],
        }
    }

    /// Number of priors.
    pub fn len(&self) -> usize {
        self.area.len()
    }

    /// Whether there are no priors.
    pub fn is_empty(&self) -> bool {
        self.area.is_empty()
    }

    /// Matches one image's boxes (corners, fractions of the image) of 0-based `classes`, one a box.
    /// [`Error::Shape`] where their numbers differ.
    pub fn matches(&self, boxes: &[[f32; 4]], classes: &[u32]) -> Result<Matched> {
        if boxes.len() != classes.len() {
            return Err(Error::shape(
                "match_priors",
                format!("{} classes, one a box", boxes.len()),
                format!("{}", classes.len()),
            ));
        }
        let priors = self.len();
        let mut best = vec![0.0f32; priors];
        let mut owner = vec![0u32; priors];
        let mut row = vec![0.0f32; priors];
        let mut targets: Vec<Target> = Vec::with_capacity(boxes.len());
        let mut forced = Vec::with_capacity(boxes.len());
        for (&corners, &class) in boxes.iter().zip(classes) {
            let (w, h) = (corners[2] - corners[0], corners[3] - corners[1]);
            // Not-a-number and infinite coordinates fail the first test or make a side infinite; an area below
            // the smallest number would make the logarithm or the ratio useless.
            if !(w > 0.0 && h > 0.0 && w.is_finite() && h.is_finite() && (w * h).is_normal()) {
                continue;
            }
            self.overlaps(corners, &mut row);
            let (top, at) = first_max(&row);
            if top <= 0.0 {
                continue;
            }
            let g = targets.len() as u32;
            for ((b, o), &v) in best.iter_mut().zip(owner.iter_mut()).zip(&row) {
                let better = v > *b;
                *b = if better { v } else { *b };
                *o = if better { g } else { *o };
            }
            forced.push(at);
            targets.push(Target {
                centre: [(corners[0] + corners[2]) / 2.0, (corners[1] + corners[3]) / 2.0],
                ln_size: [w.ln(), h.ln()],
                label: class.saturating_add(1),
            });
        }
        let skipped = boxes.len() - targets.len();
        if targets.is_empty() {
            return Ok(Matched { loc: vec![[0.0; 4]; priors], conf: vec![0; priors], positives: 0, skipped });
        }
        for (g, &p) in forced.iter().enumerate() {
            owner[p] = g as u32;
            best[p] = f32::INFINITY;
        }
        let mut positives = 0;
        let conf = best
            .iter()
            .zip(&owner)
            .map(|(&v, &g)| {
                let positive = v >= self.threshold;
                positives += usize::from(positive);
                if positive { targets[g as usize].label } else { 0 }
            })
            .collect();
        let loc = self
            .centre
            .iter()
            .zip(&owner)
            .map(|(p, &g)| {
                let t = &targets[g as usize];
                [
                    (t.centre[0] - p[0]) * p[2],
                    (t.centre[1] - p[1]) * p[3],
                    (t.ln_size[0] - p[4]) * self.inv_size_variance,
                    (t.ln_size[1] - p[5]) * self.inv_size_variance,
                ]
            })
            .collect();
        Ok(Matched { loc, conf, positives, skipped })
    }

    /// IoU of one box with every prior.
    fn overlaps(&self, [bx1, by1, bx2, by2]: [f32; 4], row: &mut [f32]) {
        let area = (bx2 - bx1) * (by2 - by1);
        // Slices of one length let the compiler drop the bounds checks and use vectors.
        let n = row.len();
        let (x1, y1, x2, y2, areas) = (&self.x1[..n], &self.y1[..n], &self.x2[..n], &self.y2[..n], &self.area[..n]);
        for p in 0..n {
            let w = pick(x2[p] < bx2, x2[p], bx2) - pick(x1[p] > bx1, x1[p], bx1);
            let h = pick(y2[p] < by2, y2[p], by2) - pick(y1[p] > by1, y1[p], by1);
            let inter = pick(w > 0.0, w, 0.0) * pick(h > 0.0, h, 0.0);
            row[p] = inter / (area + areas[p] - inter);
        }
    }
}

/// `f32::min` and `max` must treat NaN in a way that costs instructions; nothing here is NaN.
#[inline(always)]
fn pick(first: bool, a: f32, b: f32) -> f32 {
    if first { a } else { b }
}

/// The largest value and the first index that holds it; (0, 0) for no values.
fn first_max(row: &[f32]) -> (f32, usize) {
    const LANES: usize = 16;
    let mut lanes = [0.0f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for c in chunks {
        for (m, &v) in lanes.iter_mut().zip(c) {
            *m = pick(v > *m, v, *m);
        }
    }
    let top = lanes.iter().chain(rest).fold(0.0f32, |m, &v| pick(v > m, v, m));
    (top, row.iter().position(|&v| v == top).unwrap_or(0))
}
