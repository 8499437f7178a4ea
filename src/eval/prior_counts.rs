//! True and false positives over priors, as in Table 3 of AutoBiDet's supplement.
//!
//! The unit is the prior box, one decision an image and prior:
//!
//! ```text
//! object(p)    the prior answers for an annotated box (SSD's matching, the same as that of the training targets)
//! score(p)     largest softmax of the prior's foreground classes
//! positive(p)  score(p) > tau
//! TP = object and positive    FP = positive alone    FN = object alone    TN = neither
//! ```
//!
//! TP + FN and FP + TN do not depend on the detector. That this is the unit of the published table is inferred: its
//! total is a tenth of 8732 priors times 4952 test images, rounded down. So tenths are given beside the counts.
//!
//! By class, a prior that answers for an object counts for the object's class (whatever class scores best: the decision
//! is object or not), and a false positive for the class with the best score. The classes add up to the totals.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Error, Result};

/// The thresholds that are always looked at.
pub const TAUS: [f64; 3] = [0.01, 0.03, 0.05];

/// The largest foreground score of every prior of every image, beside what the prior answers for. Eight bytes a prior.
#[derive(Debug, Clone, PartialEq)]
pub struct PriorScores {
    priors: usize,
    classes: usize,
    /// `[images][priors]`: 0 background, class + 1 otherwise.
    labels: Vec<u16>,
    /// `[images][priors]`: NaN where the network gave one.
    scores: Vec<f32>,
    /// `[images][priors]`: 0-based class of the score (the first of equals).
    best: Vec<u16>,
}

impl PriorScores {
    /// No images yet, of a detector with so many priors and foreground classes.
    pub fn new(priors: usize, classes: usize) -> PriorScores {
        PriorScores { priors, classes, labels: Vec::new(), scores: Vec::new(), best: Vec::new() }
    }

    /// Adds an image: its logits `[priors][classes + 1]` (background first) and what its priors answer for, `[priors]`, 0
    /// for background and class + 1 otherwise.
    ///
    /// # Errors
    /// [`Error::Shape`] where the numbers do not fit.
    pub fn push(&mut self, logits: &[f32], labels: &[u32]) -> Result<()> {
        let k = self.classes + 1;
        let fits = labels.len() == self.priors && logits.len() == self.priors * k && self.classes > 0;
        if !fits || k > u16::MAX as usize || labels.iter().any(|l| *l as usize > self.classes) {
            return Err(Error::shape(
                "counts over priors",
                format!("{} priors of {k} logits and one label from 0 to {}", self.priors, self.classes),
                format!("{} logits, {} labels, the largest {:?}", logits.len(), labels.len(), labels.iter().max()),
            ));
        }
        self.labels.extend(labels.iter().map(|l| *l as u16));
        for row in logits.chunks_exact(k) {
            // As detect::decode::softmax, so that a score is the same number here and in a detection.
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum = row.iter().fold(0f32, |s, v| s + (v - top).exp());
            let mut at = 0;
            for (class, v) in row[1..].iter().enumerate() {
                if *v > row[1 + at] {
                    at = class;
                }
            }
            self.scores.push((row[1 + at] - top).exp() / sum);
            self.best.push(at as u16);
        }
        Ok(())
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.labels.len().checked_div(self.priors).unwrap_or(0)
    }

    /// The counts at a threshold.
    pub fn counts(&self, tau: f64) -> PriorCounts {
        let mut by_class = vec![ClassCounts::default(); self.classes];
        let mut right_class = 0;
        let mut background = 0;
        for ((label, score), best) in self.labels.iter().zip(&self.scores).zip(&self.best) {
            let positive = f64::from(*score) > tau;
            match (*label, positive) {
                (0, true) => by_class[*best as usize].fp += 1,
                (0, false) => background += 1,
                (l, true) => {
                    by_class[l as usize - 1].tp += 1;
                    right_class += u64::from(l - 1 == *best);
                }
                (l, false) => by_class[l as usize - 1].false_negatives += 1,
            }
        }
        let sum = |f: fn(&ClassCounts) -> u64| by_class.iter().map(f).sum();
        PriorCounts {
            tau,
            images: self.images() as u64,
            priors: self.priors as u64,
            tp: sum(|c| c.tp),
            fp: sum(|c| c.fp),
            tn: background,
            false_negatives: sum(|c| c.false_negatives),
            right_class,
            by_class,
        }
    }

    /// Priors that answer for an object, of each image.
    pub fn objects_per_image(&self) -> Vec<u64> {
        let images = self.labels.chunks_exact(self.priors.max(1));
        images.map(|labels| labels.iter().filter(|l| **l > 0).count() as u64).collect()
    }

    /// True and false positives of each image at a threshold.
    pub fn per_image(&self, tau: f64) -> Vec<[u64; 2]> {
        let images = self.labels.chunks_exact(self.priors.max(1)).zip(self.scores.chunks_exact(self.priors.max(1)));
        images
            .map(|(labels, scores)| {
                let mut counts = [0; 2];
                for (label, _) in labels.iter().zip(scores).filter(|(_, s)| f64::from(**s) > tau) {
                    counts[usize::from(*label == 0)] += 1;
                }
                counts
            })
            .collect()
    }

    /// False positives over true positives as the threshold falls, thinned evenly to at most `points` (at least two).
    pub fn curve(&self, points: usize) -> RecallCurve {
        let falling = |object: bool| {
            let mut scores: Vec<f32> = self
                .labels
                .iter()
                .zip(&self.scores)
                .filter(|(l, s)| (**l > 0) == object && !s.is_nan())
                .map(|(_, s)| *s)
                .collect();
            scores.sort_unstable_by(|a, b| b.total_cmp(a));
            scores
        };
        let (objects, others) = (falling(true), falling(false));
        let mut curve = RecallCurve {
            positives: self.labels.iter().filter(|l| **l > 0).count() as u64,
            tp: Vec::new(),
            fp: Vec::new(),
            threshold: Vec::new(),
        };
        let mut fp = 0;
        for (k, score) in objects.iter().enumerate() {
            // Equal scores cannot be told apart by a threshold: the last of them counts.
            if objects.get(k + 1) == Some(score) {
                continue;
            }
            while others.get(fp).is_some_and(|s| s >= score) {
                fp += 1;
            }
            curve.tp.push(k as u64 + 1);
            curve.fp.push(fp as u64);
            curve.threshold.push(*score);
        }
        curve.thin(points.max(2));
        curve
    }
}

/// One class's part of the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClassCounts {
    /// Positive priors that answer for an object of the class.
    pub tp: u64,
    /// Positive priors that answer for nothing, and score this class best.
    pub fp: u64,
    /// Priors that answer for an object of the class and are not positive.
    #[serde(rename = "fn")]
    pub false_negatives: u64,
}

/// The counts at one threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PriorCounts {
    /// A prior is positive where its largest foreground score is greater than this.
    pub tau: f64,
    /// Images.
    pub images: u64,
    /// Priors of an image.
    pub priors: u64,
    /// True positives.
    pub tp: u64,
    /// False positives.
    pub fp: u64,
    /// True negatives.
    pub tn: u64,
    /// False negatives.
    #[serde(rename = "fn")]
    pub false_negatives: u64,
    /// True positives whose best class is the object's own.
    pub right_class: u64,
    /// By class, in the data set's order.
    pub by_class: Vec<ClassCounts>,
}

impl PriorCounts {
    /// TP / (TP + FP); none without a positive.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.tp, self.tp + self.fp)
    }

    /// TP / (TP + FN); none without an object.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.tp, self.tp + self.false_negatives)
    }

    /// Positive priors of an image, in the mean.
    pub fn positives_per_image(&self) -> Option<f64> {
        ratio(self.tp + self.fp, self.images)
    }

    /// TP, FP, TN, FN divided by ten, as the published table seems to have them.
    pub fn tenths(&self) -> [f64; 4] {
        [self.tp, self.fp, self.tn, self.false_negatives].map(|v| v as f64 / 10.0)
    }

    /// `{"tau", "tp", "fp", "tn", "fn", "tenths": {...}, "precision", "recall", "positives_per_image", "per_class": ...}`;
    /// `classes` are the names.
    pub fn to_json(&self, classes: &[String]) -> Value {
        let [tp, fp, tn, false_negatives] = self.tenths();
        let by_class: serde_json::Map<String, Value> =
            classes.iter().zip(&self.by_class).map(|(n, c)| (n.clone(), json!(c))).collect();
        json!({
            "tau": self.tau,
            "images": self.images,
            "priors": self.priors,
            "tp": self.tp,
            "fp": self.fp,
            "tn": self.tn,
            "fn": self.false_negatives,
            "tenths": { "tp": tp, "fp": fp, "tn": tn, "fn": false_negatives },
            "precision": self.precision(),
            "recall": self.recall(),
            "positives_per_image": self.positives_per_image(),
            "right_class": self.right_class,
            "per_class": by_class,
        })
    }
}

impl fmt::Display for PriorCounts {
    /// One row of the table under [`HEADING`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |v: Option<f64>| v.map_or("–".to_string(), |v| format!("{:.2}", 100.0 * v));
        write!(
            f,
            "{:<7} {:>10} {:>10} {:>12} {:>10} {:>11} {:>9} {:>16}",
            self.tau,
            self.tp,
            self.fp,
            self.tn,
            self.false_negatives,
            percent(self.precision()),
            percent(self.recall()),
            self.positives_per_image().map_or("–".to_string(), |v| format!("{v:.1}")),
        )
    }
}

/// What stands above rows of [`PriorCounts`].
pub const HEADING: &str =
    "tau             TP         FP           TN         FN precision % recall %  positive / image";

/// True and false positives as the threshold falls: point i is the smallest set of positives (all priors that score at
/// least `threshold[i]`) with at least `tp[i]` true ones.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RecallCurve {
    /// Priors that answer for an object.
    pub positives: u64,
    /// True positives, rising.
    pub tp: Vec<u64>,
    /// False positives, never falling.
    pub fp: Vec<u64>,
    /// The lowest score that counts, falling.
    pub threshold: Vec<f32>,
}

/// One point of a [`RecallCurve`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AtRecall {
    /// TP over the priors that answer for an object.
    pub recall: f64,
    /// The lowest score that counts as positive.
    pub threshold: f32,
    /// True positives.
    pub tp: u64,
    /// False positives.
    pub fp: u64,
}

impl RecallCurve {
    /// The highest threshold at which this detector's recall is at least that of `counts`, another detector's: at equal
    /// recall the numbers of false positives can be compared. None where it is never reached (NaN scores) or there is no
    /// object. Recalls are compared as whole fractions, and the detectors may have different priors.
    pub fn at_recall_of(&self, counts: &PriorCounts) -> Option<AtRecall> {
        let (tp, of) = (u128::from(counts.tp), u128::from(counts.tp + counts.false_negatives));
        if of == 0 || self.positives == 0 {
            return None;
        }
        if tp == 0 {
            return Some(AtRecall { recall: 0.0, threshold: f32::INFINITY, tp: 0, fp: 0 });
        }
        let at = self.tp.partition_point(|own| u128::from(*own) * of < tp * u128::from(self.positives));
        let (own, threshold) = (*self.tp.get(at)?, self.threshold[at]);
        Some(AtRecall { recall: own as f64 / self.positives as f64, threshold, tp: own, fp: self.fp[at] })
    }

    /// Keeps at most `points`, evenly by rank, the first and the last among them.
    fn thin(&mut self, points: usize) {
        let n = self.tp.len();
        if n <= points {
            return;
        }
        let keep: Vec<usize> = (0..points).map(|i| i * (n - 1) / (points - 1)).collect();
        self.tp = keep.iter().map(|i| self.tp[*i]).collect();
        self.fp = keep.iter().map(|i| self.fp[*i]).collect();
        self.threshold = keep.iter().map(|i| self.threshold[*i]).collect();
    }
}

fn ratio(a: u64, b: u64) -> Option<f64> {
    (b > 0).then(|| a as f64 / b as f64)
}
