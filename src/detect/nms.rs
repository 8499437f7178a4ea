//! Greedy non-maximum suppression: by falling score, a box is kept unless a kept one overlaps it by more than the
//! threshold.

use std::cmp::Ordering;

use crate::{Error, Result};

/// Indices of the boxes that are kept, by falling score, equal scores by lower index.
///
/// `boxes` are corners, `scores` one a box. Only the `top_k` best scores take part (`usize::MAX`: all). A box is
/// dropped where its IoU with a kept one is greater than `iou_threshold`; `plus_one` adds 1 to widths and heights
/// (the convention of the two-stage detectors, for boxes in pixels). Boxes whose score is NaN are left out. A box with
/// an empty union overlaps nothing. [`Error::Shape`] where the two numbers differ.
pub fn nms(boxes: &[[f32; 4]], scores: &[f32], iou_threshold: f32, top_k: usize, plus_one: bool) -> Result<Vec<usize>> {
    if boxes.len() != scores.len() {
        return Err(Error::shape("nms", format!("{} scores, one a box", boxes.len()), format!("{}", scores.len())));
    }
    let candidates = (0..scores.len()).filter(|&i| !scores[i].is_nan()).map(|i| (scores[i], i as u32)).collect();
    let mut suppressor = Suppressor::default();
    Ok(suppressor.keep(candidates, boxes, iou_threshold, top_k, plus_one).iter().map(|c| c.1 as usize).collect())
}

/// By falling score, then by rising index. Scores are not NaN.
fn by_rank(a: &(f32, u32), b: &(f32, u32)) -> Ordering {
    b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then(a.1.cmp(&b.1))
}

/// The working arrays of suppression, kept between the classes of an image.
#[derive(Debug, Default)]
pub(crate) struct Suppressor {
    x1: Vec<f32>,
    y1: Vec<f32>,
    x2: Vec<f32>,
    y2: Vec<f32>,
    area: Vec<f32>,
    dropped: Vec<u32>,
}

impl Suppressor {
    /// The kept ones of `candidates` (score, index into `boxes`), in rank order.
    pub(crate) fn keep(
        &mut self,
        mut candidates: Vec<(f32, u32)>,
        boxes: &[[f32; 4]],
        iou_threshold: f32,
        top_k: usize,
        plus_one: bool,
    ) -> Vec<(f32, u32)> {
        if top_k == 0 {
            return Vec::new();
        }
        if candidates.len() > top_k {
            candidates.select_nth_unstable_by(top_k - 1, by_rank);
            candidates.truncate(top_k);
        }
        candidates.sort_unstable_by(by_rank);
        let n = candidates.len();
        let one = if plus_one { 1.0 } else { 0.0 };
        for v in [&mut self.x1, &mut self.y1, &mut self.x2, &mut self.y2, &mut self.area] {
            v.clear();
            v.reserve(n);
        }
        for &(_, i) in &candidates {
            let b = boxes[i as usize];
            self.x1.push(b[0]);
            self.y1.push(b[1]);
            // The pixel that an inclusive box adds is added to its far edges once.
            self.x2.push(b[2] + one);
            self.y2.push(b[3] + one);
            self.area.push((b[2] - b[0] + one) * (b[3] - b[1] + one));
        }
        self.dropped.clear();
        self.dropped.resize(n, 0);
        let mut kept = Vec::new();
        for i in 0..n {
            if self.dropped[i] != 0 {
                continue;
            }
            kept.push(candidates[i]);
            let (bx1, by1, bx2, by2, area) = (self.x1[i], self.y1[i], self.x2[i], self.y2[i], self.area[i]);
            // A branch-free loop over equal-length slices: it becomes vector instructions.
            let (x1, y1, x2, y2) = (&self.x1[i + 1..n], &self.y1[i + 1..n], &self.x2[i + 1..n], &self.y2[i + 1..n]);
            let (areas, dropped) = (&self.area[i + 1..n], &mut self.dropped[i + 1..n]);
            for j in 0..dropped.len() {
                let w = (if x2[j] < bx2 { x2[j] } else { bx2 }) - (if x1[j] > bx1 { x1[j] } else { bx1 });
                let h = (if y2[j] < by2 { y2[j] } else { by2 }) - (if y1[j] > by1 { y1[j] } else { by1 });
                let inter = (if w > 0.0 { w } else { 0.0 }) * (if h > 0.0 { h } else { 0.0 });
                // An empty union gives 0/0, which is greater than nothing.
                let overlap = inter / (area + areas[j] - inter);
                dropped[j] |= u32::from(overlap > iou_threshold);
            }
        }
        kept
    }
}
