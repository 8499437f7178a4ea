//! What the loader's threads make of an image's boxes.

use crate::data::Sample;
use crate::detect::BBox;
use crate::detect::matching::Matcher;

/// Targets of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Targets {
    /// `[priors][4]`.
    pub loc: Vec<f32>,
    /// `[priors]`.
    pub conf: Vec<i32>,
    /// Boxes of each class.
    pub counts: Vec<u32>,
    /// Boxes that could not be matched (not finite, or outside every prior).
    pub skipped: usize,
}

/// Matches a sample's boxes with the priors.
pub fn targets(matcher: &Matcher, classes: usize, sample: &Sample<'_>) -> Targets {
    targets_of(matcher, classes, sample.boxes, sample.labels)
}

/// Matches boxes (fractions of the image) of 0-based classes with the priors.
pub fn targets_of(matcher: &Matcher, classes: usize, boxes: &[BBox], classes_of: &[usize]) -> Targets {
    let boxes: Vec<[f32; 4]> = boxes.iter().map(|b| [b.xmin, b.ymin, b.xmax, b.ymax]).collect();
    let labels: Vec<u32> = classes_of.iter().map(|l| *l as u32).collect();
    let mut counts = vec![0u32; classes];
    for l in classes_of {
        counts[*l] += 1;
    }
    match matcher.matches(&boxes, &labels) {
        Ok(m) => Targets {
            loc: m.loc.into_iter().flatten().collect(),
            conf: m.conf.into_iter().map(|c| c as i32).collect(),
            counts,
            skipped: m.skipped,
        },
        // Only unequal numbers of boxes and labels are refused; the loader gives equal ones.
        Err(_) => {
            Targets { loc: vec![0.0; matcher.len() * 4], conf: vec![0; matcher.len()], counts, skipped: boxes.len() }
        }
    }
}
