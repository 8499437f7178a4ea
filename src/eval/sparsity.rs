//! What an object prior is meant to change: how many detections an object gets, how their confidence is spread, and
//! whether objects are lost for it.
//!
//! For each image and each class that is annotated in it (as the sparse object prior in training; docs/method.md,
//! section 2.4), with D the class's detections over a score and s their scores:
//!
//! ```text
//! p_i = s_i / Σ s    entropy = -Σ p_i ln p_i    (0 of one detection, ln n of n equal ones)
//! ```

use serde::{Deserialize, Serialize};

use super::result::Evaluation;
use crate::data::Dataset;
use crate::detect::Detection;

/// The score above which the prior counts a detection.
pub const SCORE: f32 = 0.03;

/// The measures over a data set.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Sparsity {
    /// Detections count above this score.
    pub score: f32,
    /// Pairs of an image and a class that is annotated in it.
    pub pairs: u64,
    /// Pairs with a detection.
    pub found_pairs: u64,
    /// Mean entropy over the pairs with a detection; none without one.
    pub entropy: Option<f64>,
    /// Mean entropy over the pairs with more detections than objects, those that the prior acts on; none without one.
    pub entropy_of_crowded: Option<f64>,
    /// Detections in the pairs, for each of their objects; none without objects.
    pub detections_per_object: Option<f64>,
    /// Detections of classes that are not annotated in their image, for each image.
    pub stray_per_image: Option<f64>,
}

/// Measures detections, one list an image. Difficult and crowd objects count neither as objects nor make a pair.
pub fn sparsity(dataset: &Dataset, found: &[Vec<Detection>], score: f32) -> Sparsity {
    let classes = dataset.classes.len();
    let (mut pairs, mut found_pairs, mut objects, mut inside, mut stray, mut crowded) = (0, 0, 0, 0, 0u64, 0u64);
    let (mut sum, mut sum_crowded) = (0.0, 0.0);
    for (image, found) in dataset.images.iter().zip(found) {
        let mut annotated = vec![0u64; classes];
        for o in image.objects.iter().filter(|o| !o.difficult && !o.crowd) {
            annotated[o.class] += 1;
        }
        let mut scores = vec![Vec::new(); classes];
        for d in found.iter().filter(|d| d.score > score) {
            scores[d.class].push(f64::from(d.score));
        }
        for (annotated, scores) in annotated.into_iter().zip(scores) {
            if annotated == 0 {
                stray += scores.len() as u64;
                continue;
            }
            pairs += 1;
            objects += annotated;
            inside += scores.len() as u64;
            if !scores.is_empty() {
                let entropy = entropy(&scores);
                found_pairs += 1;
                sum += entropy;
                if scores.len() as u64 > annotated {
                    crowded += 1;
                    sum_crowded += entropy;
                }
            }
        }
    }
    let over = |sum: f64, n: u64| (n > 0).then(|| sum / n as f64);
    Sparsity {
        score,
        pairs,
        found_pairs,
        entropy: over(sum, found_pairs),
        entropy_of_crowded: over(sum_crowded, crowded),
        detections_per_object: over(inside as f64, objects),
        stray_per_image: over(stray as f64, dataset.images.len() as u64),
    }
}

/// Entropy in nats of scores divided by their sum; scores are over 0.
pub fn entropy(scores: &[f64]) -> f64 {
    let sum: f64 = scores.iter().sum();
    scores.iter().map(|s| s / sum).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum()
}

/// The share of all objects that are found by a detection with a score over `score`, with the evaluation's own
/// matching; none where no object counts.
pub fn recall_at(evaluation: &Evaluation, score: f64) -> Option<f64> {
    let (mut tp, mut objects) = (0.0, 0);
    for c in &evaluation.classes {
        objects += c.objects;
        let above = c.scores.partition_point(|s| *s > score);
        if let Some(recall) = above.checked_sub(1).and_then(|i| c.recall.get(i)) {
            tp += recall * c.objects as f64;
        }
    }
    (objects > 0).then(|| tp / objects as f64)
}
