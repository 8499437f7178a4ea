//! Metrics over detections: PASCAL VOC's average precision (both rules) and COCO's twelve numbers, their error by
//! bootstrap, and the files that detections travel in. Beside them, what papers on binary detectors count: true and false
//! positives over priors, how many detections an object gets, an image's complexity, correlations. Knows nothing of wgpu.
//!
//! The VOC development kit and pycocotools are the definitions. Everything is computed in f64, on boxes in the
//! annotations' own pixel coordinates.

mod average;
pub mod bootstrap;
mod boxes;
mod coco;
pub mod complexity;
pub mod correlation;
pub mod files;
mod options;
pub mod prior_counts;
mod result;
pub mod sparsity;
pub mod spread;
mod voc;

pub use average::Outcome;
pub use bootstrap::{Bootstrap, Paired, bootstrap};
pub use boxes::{Candidate, Rect, candidates};
pub use complexity::Complexity;
pub use correlation::{Correlation, OrderAgreement};
pub use options::{Difficult, EvalOptions, Metric, Pixels};
pub use prior_counts::{PriorCounts, PriorScores, RecallCurve};
pub use result::{COCO_NAMES, ClassEvaluation, Evaluation};
pub use sparsity::Sparsity;
pub use spread::Spread;

use rayon::prelude::*;

use crate::Result;
use crate::data::Dataset;

use average::{Ranking, Rule};
use boxes::ByClass;

/// Scores `found` against the annotations of `dataset`.
///
/// Boxes are in the annotations' own pixel coordinates ([`Dataset::origin`] already added). The order of `found`
/// decides between equal scores: the earlier one ranks first (with `coco`, images go by their numeric ids first, as
/// in pycocotools). Detections whose score or box is not finite are left out and counted in
/// [`Evaluation::not_finite`]. Errors: [`crate::Error::Config`] for impossible options, [`crate::Error::Shape`] for a
/// detection or an object whose image or class does not exist.
pub fn evaluate(dataset: &Dataset, found: &[Candidate], options: &EvalOptions) -> Result<Evaluation> {
    options.check()?;
    let (classes, not_finite) = boxes::by_class(dataset, found, options)?;
    let mut summary = None;
    let rows: Vec<ClassEvaluation> = match options.metric {
        Metric::Voc07 | Metric::Voc => classes
            .par_iter()
            .zip(&dataset.classes)
            .map(|(class, name)| {
                let ranking = voc::rank(class, dataset.images.len(), options);
                ClassEvaluation::new(name, class, &ranking, rule(options.metric))
            })
            .collect(),
        Metric::Coco => {
            let order = coco::image_order(dataset);
            let scored: Vec<(ClassEvaluation, coco::ClassScores)> = classes
                .par_iter()
                .zip(&dataset.classes)
                .map(|(class, name)| {
                    let (ranking, scores) = coco::score(class, &order);
                    (ClassEvaluation::new(name, class, &ranking, Rule::Coco), scores)
                })
                .collect();
            let (rows, scores): (Vec<_>, Vec<_>) = scored.into_iter().unzip();
            summary = Some(coco::summarize(&scores));
            rows
        }
    };
    let map = match summary {
        Some(numbers) => Some(numbers[0]).filter(|&ap| ap >= 0.0),
        None => mean(rows.iter().filter_map(|c| c.ap)),
    };
    Ok(Evaluation {
        options: *options,
        dataset: dataset.name.clone(),
        images: dataset.images.len(),
        detections: found.len() - not_finite,
        not_finite,
        map,
        classes: rows,
        coco: summary,
    })
}

/// How the metric turns a precision-recall curve into one number.
fn rule(metric: Metric) -> Rule {
    match metric {
        Metric::Voc07 => Rule::ElevenPoint,
        Metric::Voc => Rule::EveryPoint,
        Metric::Coco => Rule::Coco,
    }
}

/// The ranked detections of every class under the metric's own matching.
fn rankings(dataset: &Dataset, found: &[Candidate], options: &EvalOptions) -> Result<Vec<Ranking>> {
    let (classes, _) = boxes::by_class(dataset, found, options)?;
    Ok(match options.metric {
        Metric::Coco => {
            let order = coco::image_order(dataset);
            classes.par_iter().map(|c: &ByClass| coco::score(c, &order).0).collect()
        }
        _ => classes.par_iter().map(|c| voc::rank(c, dataset.images.len(), options)).collect(),
    })
}

/// The mean, none of nothing.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0usize);
    for v in values {
        sum += v;
        n += 1;
    }
    (n > 0).then(|| sum / n as f64)
}
