//! Detections and annotations as the metrics read them: f64, one class at a time.

use crate::data::Dataset;
use crate::detect::{BBox, Detection};
use crate::{Error, Result};

use super::options::{Difficult, EvalOptions, Metric};

/// A box in pixels. COCO computes with width and height as written, VOC with the far corner; both are kept, so that
/// neither goes through a rounding that its definition does not have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
    /// Right edge.
    pub xmax: f64,
    /// Bottom edge.
    pub ymax: f64,
}

impl Rect {
    /// From left, top, width, height (COCO).
    pub fn from_xywh(x: f64, y: f64, w: f64, h: f64) -> Self {
        Rect { x, y, w, h, xmax: x + w, ymax: y + h }
    }

    /// From corners (VOC).
    pub fn from_corners(xmin: f64, ymin: f64, xmax: f64, ymax: f64) -> Self {
        Rect { x: xmin, y: ymin, w: xmax - xmin, h: ymax - ymin, xmax, ymax }
    }

    /// Moved by `by` pixels to the right and down.
    pub fn shifted(self, by: f64) -> Self {
        if by == 0.0 {
            return self;
        }
        Rect { x: self.x + by, y: self.y + by, xmax: self.xmax + by, ymax: self.ymax + by, ..self }
    }

    /// Whether every number is finite.
    pub fn is_finite(&self) -> bool {
        [self.x, self.y, self.w, self.h, self.xmax, self.ymax].iter().all(|v| v.is_finite())
    }
}

impl From<BBox> for Rect {
    fn from(b: BBox) -> Self {
        Rect::from_corners(b.xmin.into(), b.ymin.into(), b.xmax.into(), b.ymax.into())
    }
}

/// One detection of one image of a data set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Index into [`Dataset::images`].
    pub image: u32,
    /// Index into [`Dataset::classes`].
    pub class: u32,
    /// Confidence; any order-preserving scale.
    pub score: f64,
    /// Where, in the annotations' own pixel coordinates.
    pub bbox: Rect,
}

/// A detector's output, one list an image, in the annotations' own pixel coordinates.
pub fn candidates(images: &[Vec<Detection>]) -> Vec<Candidate> {
    images
        .iter()
        .enumerate()
        .flat_map(|(image, list)| {
            list.iter().map(move |d| Candidate {
                image: image as u32,
                class: d.class as u32,
                score: d.score.into(),
                bbox: d.bbox.into(),
            })
        })
        .collect()
}

/// One annotated object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Truth {
    pub image: u32,
    pub rect: Rect,
    /// COCO's area, for its size ranges.
    pub area: f64,
    /// Neither asked for nor held against a detection.
    pub ignore: bool,
    /// COCO's crowd: overlap is measured against the detection's area, and any number of detections may match.
    pub crowd: bool,
}

/// The annotations and detections of one class.
#[derive(Debug, Default, Clone)]
pub(super) struct ByClass {
    /// By rising image index; in an image, in the annotation's order.
    pub truths: Vec<Truth>,
    /// In the order they were given.
    pub found: Vec<Candidate>,
}

/// Sorts annotations and detections by class. Also returns how many detections were not finite and left out.
pub(super) fn by_class(dataset: &Dataset, found: &[Candidate], options: &EvalOptions) -> Result<(Vec<ByClass>, usize)> {
    let mut classes = vec![ByClass::default(); dataset.classes.len()];
    let ignoring = options.difficult == Difficult::Ignore;
    for (image, record) in dataset.images.iter().enumerate() {
        for object in &record.objects {
            let Some(class) = classes.get_mut(object.class) else {
                return Err(Error::shape(
                    format!("evaluation of image {}", record.id),
                    format!("objects of the data set's {} classes", dataset.classes.len()),
                    format!("class {}", object.class),
                ));
            };
            let ignore = match options.metric {
                Metric::Coco => object.crowd || (ignoring && object.difficult),
                _ => ignoring && (object.crowd || object.difficult),
            };
            class.truths.push(Truth {
                image: image as u32,
                rect: as_annotated(object.bbox),
                area: as_written(object.area),
                ignore,
                crowd: object.crowd && options.metric == Metric::Coco,
            });
        }
    }
    let mut not_finite = 0;
    for d in found {
        if d.image as usize >= dataset.images.len() || d.class as usize >= dataset.classes.len() {
            return Err(Error::shape(
                "evaluation",
                format!("detections of {} images and {} classes", dataset.images.len(), dataset.classes.len()),
                format!("one of image {}, class {} (0-based)", d.image, d.class),
            ));
        }
        if d.score.is_finite() && d.bbox.is_finite() {
            classes[d.class as usize].found.push(*d);
        } else {
            not_finite += 1;
        }
    }
    Ok((classes, not_finite))
}

/// The decimal number that an f32 was read from: annotations have few digits, so the shortest decimal that gives
/// this f32 is the one in the file, and its f64 is what pycocotools computes with.
fn as_written(v: f32) -> f64 {
    if v == v.trunc() { v.into() } else { format!("{v}").parse().unwrap_or_else(|_| v.into()) }
}

/// An annotation's box with the digits of its file, for either way of writing it.
fn as_annotated(b: BBox) -> Rect {
    let [x, y, xmax, ymax] = [b.xmin, b.ymin, b.xmax, b.ymax].map(as_written);
    // The difference of two decimals is off by a rounding; through f32 it is the decimal again.
    Rect { x, y, w: as_written((xmax - x) as f32), h: as_written((ymax - y) as f32), xmax, ymax }
}
