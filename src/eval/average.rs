//! From ranked detections to average precision: the three rules over one curve.
//!
//! With detections by falling score, tpₖ and fpₖ the counts up to rank k and P the number of objects:
//!
//! ```text
//! precisionₖ = tpₖ / (tpₖ + fpₖ)     recallₖ = tpₖ / P     envelope(r) = max { precisionₖ : recallₖ >= r }, else 0
//! 11-point:    Σ envelope(t) / 11            t = 0, .1, ..., 1                  (VOC 2007)
//! every point: ∫ envelope(r) dr              over 0..1                         (VOC since 2010)
//! 101-point:   Σ envelope(t) / 101           t = 0, .01, ..., 1                 (COCO)
//! ```
//!
//! Recall and the envelope change at true positives only, so a curve is kept as its true positives.

use std::cmp::Ordering;

/// The order of detections: the higher score first. Scores are finite; 0 and -0 are equal.
pub(super) fn falling(a: f64, b: f64) -> Ordering {
    (b + 0.0).total_cmp(&(a + 0.0))
}

/// What became of a detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Matches an object that nothing better had taken.
    TruePositive,
    /// Matches nothing, or an object that is taken.
    FalsePositive,
    /// Matches an ignored object, or lies outside the size range: does not count.
    Ignored,
}

/// The detections of one class by falling score.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranking {
    pub scores: Vec<f64>,
    /// Image of each detection.
    pub images: Vec<u32>,
    /// For each overlap threshold, the outcome of each detection.
    pub outcomes: Vec<Vec<Outcome>>,
    /// Images with objects that count, and how many.
    pub positives: Vec<(u32, u32)>,
}

impl Ranking {
    /// Number of objects that count; with `weights`, an image counts that many times.
    pub fn objects(&self, weights: Option<&[u32]>) -> u64 {
        let weight = |image: u32| weights.map_or(1, |w| u64::from(w[image as usize]));
        self.positives.iter().map(|&(image, n)| u64::from(n) * weight(image)).sum()
    }

    /// The average precision at overlap threshold `t`, none where no object counts.
    ///
    /// With `weights`, each image counts that many times. A detection that is repeated w times adds w to its count at
    /// once; the envelope over w equal scores is the same, so this is exactly the metric of the repeated images.
    pub fn average_precision(&self, t: usize, rule: Rule, weights: Option<&[u32]>) -> Option<f64> {
        let objects = self.objects(weights);
        if objects == 0 {
            return None;
        }
        let mut curve = Vec::with_capacity(objects.min(self.scores.len() as u64) as usize);
        let (mut tp, mut fp) = (0u64, 0u64);
        for (&outcome, &image) in self.outcomes[t].iter().zip(&self.images) {
            let weight = weights.map_or(1, |w| u64::from(w[image as usize]));
            match outcome {
                Outcome::TruePositive if weight > 0 => {
                    tp += weight;
                    curve.push((tp, fp));
                }
                Outcome::FalsePositive => fp += weight,
                _ => {}
            }
        }
        Some(rule.area(&curve, objects))
    }
}

/// How a curve becomes one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    ElevenPoint,
    EveryPoint,
    Coco,
}

impl Rule {
    /// `curve`: (true, false) positives up to and with each true positive; `objects` > 0.
    fn area(self, curve: &[(u64, u64)], objects: u64) -> f64 {
        // pycocotools adds the spacing of 1 to the denominator; the kit does not.
        let spacing = if self == Rule::Coco { f64::EPSILON } else { 0.0 };
        let recall: Vec<f64> = curve.iter().map(|c| c.0 as f64 / objects as f64).collect();
        let mut envelope: Vec<f64> = curve.iter().map(|c| c.0 as f64 / (c.1 as f64 + c.0 as f64 + spacing)).collect();
        for k in (1..envelope.len()).rev() {
            envelope[k - 1] = envelope[k - 1].max(envelope[k]);
        }
        let at = |level: f64| envelope.get(recall.partition_point(|&r| r < level)).copied().unwrap_or(0.0);
        match self {
            Rule::ElevenPoint => (0..11).map(|k| at(eleven(k))).sum::<f64>() / 11.0,
            Rule::EveryPoint => {
                let mut last = 0.0;
                let mut area = 0.0;
                for (&r, &p) in recall.iter().zip(&envelope) {
                    area += (r - last) * p;
                    last = r;
                }
                area
            }
            Rule::Coco => (0..101).map(|k| at(one_hundred_and_one(k))).sum::<f64>() / 101.0,
        }
    }
}

/// MATLAB's `0:0.1:1`, number k: it counts up from the start in the first half and down from the end in the second,
/// which decides whether a recall of exactly 0.6 reaches its level (it does; 3/10 does not reach 3·0.1).
fn eleven(k: usize) -> f64 {
    if k <= 5 { k as f64 * 0.1 } else { 1.0 - (10 - k) as f64 * 0.1 }
}

/// numpy's `linspace(0, 1, 101)`, number k.
fn one_hundred_and_one(k: usize) -> f64 {
    if k == 100 { 1.0 } else { k as f64 * (1.0 / 100.0) }
}
