//! Everything that is measured of a trained detector on a data set, in one pass over its images: detections, scores of all
//! priors, complexity. What `eval --counts`, `compare` and `reproduce` share.

use std::sync::Arc;

use crate::Result;
use crate::data::{Dataset, Sample};
use crate::detect::decode::DecodeOptions;
use crate::detect::{BBox, Matched, Matcher};
use crate::eval::complexity::{Complexity, complexity};
use crate::eval::{Candidate, PriorScores, candidates};
use crate::predict::{Found, Predictor, VARIANCES};

/// The raw measurements.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Detections, images with values that are not finite, notes.
    pub found: Found,
    /// Scores of the priors of every readable image, in order.
    pub priors: PriorScores,
    /// Images that could not be decoded; they are not among `priors`.
    pub unreadable: usize,
    /// The complexity of each image; none where no prior answers for an object, or the image could not be decoded.
    pub complexity: Vec<Option<Complexity>>,
}

impl Measured {
    /// The detections, as [`crate::eval::evaluate`] takes them.
    pub fn candidates(&self) -> Vec<Candidate> {
        candidates(&self.found.detections)
    }
}

/// Measures a detector on all images of `data`, unaugmented. Priors are labelled as training labels them: boxes that may
/// be targets, IoU 0.5, every box its best prior. `progress` is told images done and images after every batch; its error
/// ends the work.
pub fn measure(
    predictor: &mut Predictor,
    data: &Arc<Dataset>,
    threads: usize,
    mut progress: impl FnMut(usize, usize) -> Result<()>,
) -> Result<Measured> {
    let detector = &predictor.detector;
    let matcher = Matcher::new(&detector.priors, 0.5, VARIANCES);
    let mut out = Measured {
        found: Found::default(),
        priors: PriorScores::new(detector.priors.len(), detector.config.classes.len()),
        unreadable: 0,
        complexity: Vec::with_capacity(data.images.len()),
    };
    let options = DecodeOptions::default();
    let matched = move |s: &Sample<'_>| matched(&matcher, s);
    let notes = predictor.each_batch(data, threads, matched, |p, batch, raw| {
        out.found.add(batch, p.decode(raw, &batch.sizes, &options)?, data.origin);
        for i in 0..raw.n {
            if !batch.readable[i] {
                out.unreadable += 1;
                out.complexity.push(None);
                continue;
            }
            let Matched { loc, conf, .. } = match &batch.targets[i] {
                Ok(matched) => matched,
                Err(e) => return Err(crate::Error::data(&data.root, e.to_string(), "This is a mistake of ours.")),
            };
            let (locations, logits) = raw.image(&p.detector, i);
            out.priors.push(logits, conf)?;
            out.complexity.push(complexity(locations, logits, loc, conf)?);
        }
        progress(out.complexity.len(), data.images.len())
    })?;
    out.found.notes = notes;
    Ok(out)
}

/// What the priors answer for in an image.
///
/// # Errors
/// [`crate::Error::Shape`] where there are more or fewer labels than boxes.
pub fn matched(matcher: &Matcher, sample: &Sample<'_>) -> Result<Matched> {
    let boxes: Vec<[f32; 4]> = sample.boxes.iter().map(|b: &BBox| (*b).into()).collect();
    let labels: Vec<u32> = sample.labels.iter().map(|l| *l as u32).collect();
    matcher.matches(&boxes, &labels)
}
