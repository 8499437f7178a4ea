//! How far a mean average precision may be off because the test images are a sample: the bootstrap over images.
//!
//! Resample r draws as many images as there are, with replacement, and measures them; the standard deviation over the
//! resamples is the standard error. Matching happens within an image, so it is done once; a resample only counts
//! images several times or not at all. Resample r draws from stream r of the counter-based generator ChaCha8, so the
//! result depends on the seed alone, not on threads.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use rayon::prelude::*;

use crate::data::Dataset;
use crate::{Error, Result};

use super::average::Rule;
use super::boxes::Candidate;
use super::options::EvalOptions;

/// The usual number of resamples.
pub const RESAMPLES: usize = 200;

/// The spread of the metric over resampled test sets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// Standard deviation of the resampled means: the standard error of the mean average precision.
    pub standard_error: f64,
    /// The 2.5 % quantile of the resampled means.
    pub low: f64,
    /// The 97.5 % quantile.
    pub high: f64,
    /// Resamples that had an object at all.
    pub resamples: usize,
}

/// The bootstrap of the mean average precision that [`super::evaluate`] gives for the same arguments, from `resamples`
/// resamples. None where fewer than two resamples have objects. Errors as [`super::evaluate`].
pub fn bootstrap(
    dataset: &Dataset,
    found: &[Candidate],
    options: &EvalOptions,
    resamples: usize,
    seed: u64,
) -> Result<Option<Bootstrap>> {
    options.check()?;
    let images = u32::try_from(dataset.images.len())
        .map_err(|_| Error::shape("bootstrap", "fewer than 2^32 images", dataset.images.len().to_string()))?;
    let rule = super::rule(options.metric);
    let rankings = super::rankings(dataset, found, options)?;
    let means: Vec<Option<f64>> = (0..resamples as u64)
        .into_par_iter()
        .map(|r| resampled_mean(&rankings, rule, &draw(images, seed, r)))
        .collect();
    let mut means: Vec<f64> = means.into_iter().flatten().collect();
    let n = means.len();
    if n < 2 {
        return Ok(None);
    }
    let mean = means.iter().sum::<f64>() / n as f64;
    let variance = means.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    means.sort_by(f64::total_cmp);
    let quantile = |q: f64| means[((n - 1) as f64 * q).round() as usize];
    Ok(Some(Bootstrap { standard_error: variance.sqrt(), low: quantile(0.025), high: quantile(0.975), resamples: n }))
}

/// How often each image is drawn in resample `r`.
fn draw(images: u32, seed: u64, r: u64) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(r);
    let mut weights = vec![0; images as usize];
    for _ in 0..images {
        // A 64-bit fraction of the number of images; its bias is under 2^-32.
        let pick = (u128::from(rng.next_u64()) * u128::from(images)) >> 64;
        weights[pick as usize] += 1;
    }
    weights
}

/// The mean over classes and thresholds with weighted images.
fn resampled_mean(rankings: &[super::Ranking], rule: Rule, weights: &[u32]) -> Option<f64> {
    super::mean(
        rankings.iter().flat_map(|c| (0..c.outcomes.len()).filter_map(|t| c.average_precision(t, rule, Some(weights)))),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::{ImageRecord, ImageSource, Object};
    use crate::detect::BBox;
    use crate::eval::{Metric, Rect, evaluate};

    /// Counting an image w times is the metric of the data set in which it stands w times.
    #[test]
    fn weights_are_repetition() {
        let draws = draw(1000, 3, 0);
        let number = |k: usize, modulus: u32| (draws[k % 1000] * 37 + k as u32 * 7919) % modulus;
        let image = |k: usize| ImageRecord {
            id: k.to_string(),
            source: ImageSource::Scene { seed: 0, index: k as u64 },
            width: 100,
            height: 100,
            objects: (0..3)
                .map(|j| {
                    let x = (j * 30) as f32;
                    let bbox = BBox::new(x, 10.0, x + 20.0, 40.0 + number(k, 60) as f32);
                    let (class, area) = ((k + j) % 2, bbox.area());
                    Object { class, bbox, difficult: (k + j).is_multiple_of(5), crowd: false, area, target: true }
                })
                .collect(),
        };
        let mut candidates = Vec::new();
        for k in 0..12 {
            for j in 0..5u32 {
                let x = f64::from(j) * 22.0 + f64::from(number(k + j as usize, 9));
                let bbox = Rect::from_corners(x, 10.0, x + 20.0, 60.0);
                let score = f64::from((k as u32 * 5 + j) * 17 % 60); // a permutation: no two are equal
                candidates.push(Candidate { image: k as u32, class: (j + k as u32) % 2, score, bbox });
            }
        }
        let set = |images: Vec<ImageRecord>| Dataset {
            name: String::new(),
            root: Default::default(),
            split: String::new(),
            classes: vec!["a".into(), "b".into()],
            category_ids: vec![1, 2],
            origin: 0.0,
            images,
            notes: Vec::new(),
        };
        let base = set((0..12).map(image).collect());
        for r in 0..20 {
            let weights = draw(12, 9, r);
            assert_eq!(weights.iter().sum::<u32>(), 12);
            let (mut images, mut repeated) = (Vec::new(), Vec::new());
            for (k, &w) in weights.iter().enumerate() {
                for _ in 0..w {
                    let at = images.len() as u32;
                    images.push(ImageRecord { id: at.to_string(), ..base.images[k].clone() });
                    let own = candidates.iter().filter(|c| c.image as usize == k);
                    repeated.extend(own.map(|c| Candidate { image: at, ..*c }));
                }
            }
            let copies = set(images);
            for metric in [Metric::Voc07, Metric::Voc, Metric::Coco] {
                let options = EvalOptions::of(metric);
                let rankings = super::super::rankings(&base, &candidates, &options).unwrap();
                let got = resampled_mean(&rankings, super::super::rule(metric), &weights).unwrap();
                let want = evaluate(&copies, &repeated, &options).unwrap().map.unwrap();
                assert!(want > 0.01 && (got - want).abs() < 1e-12, "{metric} {weights:?}: {got} {want}");
            }
        }
    }
}
