//! The complexity of an image for a trained detector, as in Figure 4 of AutoBiDet's supplement.
//!
//! ```text
//! C(x) = (1 / N) [ Σ CE(p) over object priors and mined background priors
//!                + Σ over object priors, over the 4 coordinates, of  ½ (t - mu)²                      unit variance
//!                                                               or  ½ ((t - mu)² / v + ln v)          v = exp(log-variance) ]
//! ```
//!
//! N: priors that answer for an object (SSD's matching of the un-augmented annotations). CE: softmax cross-entropy of a
//! prior's class. Mined: min(3 N, priors - 1) background priors with the largest CE, of equals the lower index, as in the
//! training loss. That is minus the logarithm of the likelihood of classes and locations, without the constant
//! ln(2 pi) / 2 a coordinate, and averaged over the objects' priors. Sums are in f64.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Background priors a prior that answers for an object.
const NEGATIVES: usize = 3;

/// The complexity of one image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Complexity {
    /// Priors that answer for an object.
    pub positives: usize,
    /// Cross-entropy over object priors and mined background ones, divided by N.
    pub class: f64,
    /// Location term with unit variance, divided by N.
    pub location: f64,
    /// Location term with the variances that the network gives, divided by N; may be negative.
    pub location_with_variance: f64,
}

impl Complexity {
    /// C(x) with unit variance.
    pub fn total(&self) -> f64 {
        self.class + self.location
    }

    /// C(x) with the network's variances. They take part in no likelihood when the detector is trained, so this is a
    /// measure only where they were.
    pub fn total_with_variance(&self) -> f64 {
        self.class + self.location_with_variance
    }
}

/// The complexity of an image from the network's outputs: `locations` `[priors][8]` (four log-variances, four means),
/// `logits` `[priors][classes + 1]`, and its targets `loc` `[priors][4]` and `labels` `[priors]` (0 background). None where
/// no prior answers for an object.
///
/// # Errors
/// [`Error::Shape`] where the numbers do not fit each other.
pub fn complexity(locations: &[f32], logits: &[f32], loc: &[[f32; 4]], labels: &[u32]) -> Result<Option<Complexity>> {
    let priors = labels.len();
    let k = logits.len().checked_div(priors).unwrap_or(0);
    let top_label = labels.iter().copied().max().unwrap_or(0) as usize;
    if k < 2 || logits.len() != priors * k || locations.len() != priors * 8 || loc.len() != priors || top_label >= k {
        return Err(Error::shape(
            "complexity",
            format!("{priors} priors: 8 locations, at least two logits, 4 targets and a label among the classes each"),
            format!(
                "{} locations, {} logits, {} targets, labels up to {top_label}",
                locations.len(),
                logits.len(),
                loc.len()
            ),
        ));
    }
    let entropies: Vec<f64> = logits.chunks_exact(k).zip(labels).map(|(x, l)| cross_entropy(x, *l as usize)).collect();
    let positives = labels.iter().filter(|l| **l > 0).count();
    if positives == 0 {
        return Ok(None);
    }
    let mut mined: Vec<usize> = (0..priors).filter(|p| labels[*p] == 0).collect();
    // Stable, so of equals the lower index goes first.
    mined.sort_by(|a, b| entropies[*b].total_cmp(&entropies[*a]));
    mined.truncate((NEGATIVES * positives).min(priors - 1));
    let objects = || (0..priors).filter(|p| labels[*p] > 0);
    let class = objects().chain(mined.iter().copied()).map(|p| entropies[p]).sum::<f64>();
    let (mut location, mut with_variance) = (0.0, 0.0);
    for p in objects() {
        let own = &locations[p * 8..][..8];
        for (i, target) in loc[p].iter().enumerate() {
            let error = (f64::from(*target) - f64::from(own[4 + i])).powi(2);
            let log_variance = f64::from(own[i]);
            location += 0.5 * error;
            with_variance += 0.5 * (error * (-log_variance).exp() + log_variance);
        }
    }
    let n = positives as f64;
    Ok(Some(Complexity {
        positives,
        class: class / n,
        location: location / n,
        location_with_variance: with_variance / n,
    }))
}

/// `ln Σ exp x - x[class]`, by the largest value.
fn cross_entropy(x: &[f32], class: usize) -> f64 {
    let top = x.iter().fold(f32::NEG_INFINITY, |m, v| m.max(*v));
    let sum: f64 = x.iter().map(|v| (f64::from(*v) - f64::from(top)).exp()).sum();
    sum.ln() + f64::from(top) - f64::from(x[class])
}
