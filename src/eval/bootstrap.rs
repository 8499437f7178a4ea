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
use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::{Error, Result};

use super::average::Rule;
use super::boxes::Candidate;
use super::options::EvalOptions;

/// The usual number of resamples of one run's error.
pub const RESAMPLES: usize = 200;

/// The usual number of resamples of a difference between runs, whose tails are looked at.
pub const PAIRED_RESAMPLES: usize = 1000;

/// The spread of a number over resampled test sets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Standard deviation of the resampled numbers: the standard error of the number itself.
    pub standard_error: f64,
    /// The 2.5 % quantile of the resampled numbers.
    pub low: f64,
    /// The 97.5 % quantile.
    pub high: f64,
    /// Resamples that gave a number at all.
    pub resamples: usize,
}

impl Bootstrap {
    /// The spread of resampled numbers; those that are not finite are left out. None of fewer than two.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Bootstrap> {
        let mut values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        let n = values.len();
        if n < 2 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
        values.sort_by(f64::total_cmp);
        let quantile = |q: f64| values[((n - 1) as f64 * q).round() as usize];
        Some(Bootstrap { standard_error: variance.sqrt(), low: quantile(0.025), high: quantile(0.975), resamples: n })
    }
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
    Ok(Bootstrap::of(resampled(dataset, found, options, resamples, seed)?.into_iter().flatten()))
}

/// The mean average precision of each resample, none where it has no object. Resample r holds the same images for every
/// detector that is measured with the same `seed` on as many images, so two lists are paired, number by number. Errors
/// as [`super::evaluate`].
pub fn resampled(
    dataset: &Dataset,
    found: &[Candidate],
    options: &EvalOptions,
    resamples: usize,
    seed: u64,
) -> Result<Vec<Option<f64>>> {
    options.check()?;
    let images = u32::try_from(dataset.images.len())
        .map_err(|_| Error::shape("bootstrap", "fewer than 2^32 images", dataset.images.len().to_string()))?;
    let rule = super::rule(options.metric);
    let rankings = super::rankings(dataset, found, options)?;
    Ok((0..resamples as u64).into_par_iter().map(|r| resampled_mean(&rankings, rule, &draw(images, seed, r))).collect())
}

/// The sum of a number of each image (`values`, one an image) in each resample; the resamples are those of
/// [`resampled`].
pub fn resampled_sums(values: &[f64], resamples: usize, seed: u64) -> Vec<f64> {
    let images = values.len() as u32;
    let sum = |weights: Vec<u32>| weights.iter().zip(values).map(|(w, v)| f64::from(*w) * v).sum();
    (0..resamples as u64).into_par_iter().map(|r| sum(draw(images, seed, r))).collect()
}

/// How far two runs are apart, over the same resamples of the test images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// The spread of B - A.
    pub spread: Bootstrap,
    /// Share of the resamples in which B is above A; those in which they are equal count half.
    pub above: f64,
}

impl Paired {
    /// B - A from numbers of the same resamples; resamples in which either has none are left out. None where fewer than
    /// two are left.
    pub fn of(a: &[Option<f64>], b: &[Option<f64>]) -> Option<Paired> {
        let both = || a.iter().zip(b).filter_map(|(a, b)| Some((*b)? - (*a)?));
        let half = |d: f64| if d > 0.0 { 1.0 } else { 0.5 * f64::from(u8::from(d == 0.0)) };
        let spread = Bootstrap::of(both())?;
        Some(Paired { spread, above: both().map(half).sum::<f64>() / both().count() as f64 })
    }
}

/// How often each of `images` things is drawn in resample `r`.
pub(super) fn draw(images: u32, seed: u64, r: u64) -> Vec<u32> {
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
