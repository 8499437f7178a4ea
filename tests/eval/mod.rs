//! The metrics against their definitions, by fixtures from pycocotools and from a restatement of the VOC kit, by cases
//! counted by hand, and with hostile input.

mod bootstrap;
mod coco;
mod complexity;
mod correlation;
mod files;
mod options;
mod prior_counts;
mod sparsity;
mod voc;

use std::path::PathBuf;

use autobidet::data::{Dataset, ImageRecord, ImageSource, Object};
use autobidet::detect::BBox;
use autobidet::eval::{Candidate, Rect};

/// A data set of `ids` without objects; the origin is 0.
pub fn dataset(classes: &[&str], ids: &[&str]) -> Dataset {
    Dataset {
        name: "test set".into(),
        root: PathBuf::from("nowhere"),
        split: "val".into(),
        classes: classes.iter().map(|c| c.to_string()).collect(),
        category_ids: (1..=classes.len() as u32).collect(),
        origin: 0.0,
        images: ids
            .iter()
            .map(|id| ImageRecord {
                id: id.to_string(),
                source: ImageSource::File(PathBuf::from(format!("{id}.jpg"))),
                width: 640,
                height: 480,
                objects: Vec::new(),
            })
            .collect(),
        notes: Vec::new(),
    }
}

/// An ordinary object.
pub fn object(class: usize, corners: [f32; 4]) -> Object {
    let bbox = BBox::from(corners);
    Object { class, bbox, difficult: false, crowd: false, area: bbox.area(), target: true }
}

/// A detection by corners.
pub fn found(image: u32, class: u32, score: f64, [x1, y1, x2, y2]: [f64; 4]) -> Candidate {
    Candidate { image, class, score, bbox: Rect::from_corners(x1, y1, x2, y2) }
}

/// Equal to nine digits.
#[track_caller]
pub fn close(got: f64, want: f64, what: &str) {
    assert!((got - want).abs() < 1e-9, "{what}: got {got}, want {want}");
}
