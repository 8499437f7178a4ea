//! From a detector's outputs to detections: threshold, non-maximum suppression by class, pixels.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

use super::boxes::{BBox, Detection};
use super::exp::exp;
use super::nms::Suppressor;

/// How scores and boxes become detections. The defaults are those of the published SSD evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecodeOptions {
    /// A class score must be greater than this.
    pub score_threshold: f32,
    /// A box that overlaps a better one of its class by more than this is dropped.
    pub iou_threshold: f32,
    /// How many of a class's best scores enter the suppression.
    pub top_k: usize,
    /// The most detections of an image over all classes, the best scores; none: no cap.
    pub max_detections: Option<usize>,
    /// Cut boxes at the image's edges, after suppression.
    pub clip: bool,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        DecodeOptions { score_threshold: 0.01, iou_threshold: 0.45, top_k: 200, max_detections: None, clip: false }
    }
}

/// The detections of one image.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decoded {
    /// By falling score; equal scores by class, then by prior.
    pub detections: Vec<Detection>,
    /// Scores that were NaN, or over the threshold with a box that is not finite. They are no detections; anything
    /// but 0 says that the network has diverged.
    pub not_finite: usize,
}

/// Detections of one image.
///
/// `scores`: `[priors, classes + 1]` softmax probabilities, row-major, background first. `boxes`: `[priors]` corners
/// in fractions of the image. `size`: width and height in pixels, which the boxes are multiplied by.
/// [`Error::Shape`] where the numbers do not fit each other.
pub fn decode_detections(
    scores: &[f32],
    boxes: &[[f32; 4]],
    size: (f32, f32),
    options: &DecodeOptions,
) -> Result<Decoded> {
    if boxes.is_empty() && scores.is_empty() {
        return Ok(Decoded::default());
    }
    let columns = scores.len().checked_div(boxes.len()).unwrap_or(0);
    if columns < 2 || columns * boxes.len() != scores.len() {
        return Err(Error::shape(
            "decode_detections",
            format!("scores of {} priors x (1 background + classes)", boxes.len()),
            format!("{} numbers", scores.len()),
        ));
    }
    let mut candidates: Vec<Vec<(f32, u32)>> = vec![Vec::new(); columns - 1];
    let mut not_finite = 0;
    for (p, (row, corners)) in scores.chunks_exact(columns).zip(boxes).enumerate() {
        for (class, &score) in row[1..].iter().enumerate() {
            // Written so that NaN goes on to the second test.
            if score <= options.score_threshold {
                continue;
            }
            if score.is_nan() || !corners.iter().all(|v| v.is_finite()) {
                not_finite += 1;
            } else {
                candidates[class].push((score, p as u32));
            }
        }
    }
    let mut suppressor = Suppressor::default();
    let mut found: Vec<Detection> = Vec::new();
    for (class, list) in candidates.into_iter().enumerate() {
        for (score, p) in suppressor.keep(list, boxes, options.iou_threshold, options.top_k, false) {
            let [x1, y1, x2, y2] = boxes[p as usize];
            let edge = |v: f32, end: f32| {
                let pixels = v * end;
                if options.clip { pixels.clamp(0.0, end.max(0.0)) } else { pixels }
            };
            let bbox = BBox::new(edge(x1, size.0), edge(y1, size.1), edge(x2, size.0), edge(y2, size.1));
            found.push(Detection { class, score, bbox });
        }
    }
    // Stable, and classes and priors are in order already.
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(options.max_detections.unwrap_or(usize::MAX));
    Ok(Decoded { detections: found, not_finite })
}

/// Row-wise softmax of `[rows][k]`.
pub fn softmax(logits: &[f32], k: usize) -> Vec<f32> {
    let mut out = logits.to_vec();
    for row in out.chunks_exact_mut(k) {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for v in row.iter_mut() {
            *v = exp(*v - top);
            sum += *v;
        }
        for v in row.iter_mut() {
            *v /= sum;
        }
    }
    out
}
