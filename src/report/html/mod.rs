//! The report of a run: one HTML file that opens without a network.
//!
//! Everything is inside the file: style, plots as SVG, pictures as `data:` URIs. It follows the reader's light or dark
//! scheme and reads well on a phone. Nothing in [`RunReport`] is required: a section whose facts are missing is left
//! out, so a report can be made in the middle of a run. All text is escaped. The size is bounded: pictures share
//! [`PICTURE_BYTES`], curves are thinned to the plot's resolution, long tables and texts are cut and say so.

mod complexity;
mod diagnosis;
mod page;
mod picture;
mod sections;

pub use page::{Cell, Page};
pub use picture::sheet;

use std::path::Path;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::diagnosis::Diagnosis;
use super::draw::LabelledBox;
use super::events::Complexity;
use super::log_reader::RunLog;
use super::plot::axis::duration;
use super::plot::axis::number;
use super::series::{Curve, number_or_null, points_or_null};
use crate::{Error, Result};

/// What all pictures of a report may take together, before base64 makes them a third longer.
pub const PICTURE_BYTES: usize = 1_800_000;

/// Everything that a report can show. Build it with `..RunReport::default()`, or from a log with
/// [`RunReport::from_log`], and add what the evaluation knows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunReport {
    /// The heading, e.g. `tiny, BiDet (SC) on scenes`.
    pub title: String,
    /// One sentence under it.
    pub subtitle: String,
    /// The figures that matter most, the most important first; three to six of them.
    pub headline: Vec<Figure>,
    /// Loss terms over steps, `total` first.
    pub losses: Vec<Curve>,
    /// Learning rate over steps.
    pub learning_rate: Option<Curve>,
    /// Training speed over steps, in images a second.
    pub images_per_second: Option<Curve>,
    /// Share of time in 0..=1 waiting for images, over steps.
    pub wait_share: Option<Curve>,
    /// Gradient length over steps.
    pub grad_norm: Option<Curve>,
    /// Mean average precision over steps; several curves where several metrics or runs are compared.
    pub map: Vec<Curve>,
    /// Looks at the binary layers, in the order of their steps.
    pub diagnoses: Vec<Diagnosis>,
    /// How average precision is computed, e.g. `mAP@0.5, every point`.
    pub metric: Option<String>,
    /// What the complexity estimator did, an entry an epoch.
    pub complexity: Vec<Complexity>,
    /// Images (above) and their reconstructions (below).
    #[serde(skip)]
    pub reconstructions: Option<RgbImage>,
    /// Results by class, in the data set's order.
    pub classes: Vec<ClassResult>,
    /// Other plots with a heading of their own, ready made: SVG elements from [`super::plot`]'s `fragment()`. These
    /// are the one thing that is not escaped.
    pub plots: Vec<String>,
    /// Pictures of detections beside their annotations; at most 24 are shown.
    pub examples: Vec<Example>,
    /// The images with the lowest scores, worst first; at most 12 are shown.
    pub hardest: Vec<Example>,
    /// What `score` of the hardest images is, e.g. `F1 at score 0.3`.
    pub hardest_by: Option<String>,
    /// The splits that were used.
    pub data: Vec<Split>,
    /// The network: (what, value) rows such as parameters, float multiply-adds, binary multiply-adds, size on disk.
    pub model: Vec<(String, String)>,
    /// Adapter, driver, backend, limits, threads: (what, value) rows.
    pub device: Vec<(String, String)>,
    /// Where the time went: (what, seconds).
    pub times: Vec<(String, f64)>,
    /// Warnings of the run with how often each was given.
    pub warnings: Vec<(String, usize)>,
    /// The whole configuration.
    pub configuration: Option<serde_json::Value>,
    /// The command that makes this run again.
    pub command: Option<String>,
    /// When it was made, as people write it.
    pub date: Option<String>,
    /// This crate's version and, where known, revision.
    pub version: Option<String>,
}

/// One of the figures at the top.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figure {
    /// What it is: `mAP@0.5`.
    pub label: String,
    /// The figure with its unit: `0.713`, `4 min 12 s`.
    pub value: String,
    /// A few words under it: `on 500 unseen scenes`.
    pub note: String,
}

impl Figure {
    /// A figure without a note, or with one that is not empty.
    pub fn new(label: impl Into<String>, value: impl Into<String>, note: impl Into<String>) -> Figure {
        Figure { label: label.into(), value: value.into(), note: note.into() }
    }
}

/// The evaluation of one class.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClassResult {
    /// The class's name.
    pub name: String,
    /// Average precision in 0..=1; NaN (`null`) where the class has no object.
    #[serde(with = "number_or_null")]
    pub ap: f64,
    /// Annotated objects that count.
    pub objects: u64,
    /// Detections of the class.
    pub detections: u64,
    /// (recall, precision), by falling score.
    #[serde(with = "points_or_null")]
    pub precision_recall: Vec<(f64, f64)>,
}

/// One picture with what should be found and what was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Example {
    /// The image's name.
    pub id: String,
    /// The picture at its own size. It is not part of the JSON form.
    #[serde(skip)]
    pub image: RgbImage,
    /// Annotations, in the picture's pixels.
    pub ground_truth: Vec<LabelledBox>,
    /// Detections above the score that is worth showing, in the picture's pixels.
    pub detections: Vec<LabelledBox>,
    /// The image's own score, where it has one.
    pub score: Option<f64>,
}

/// One split of the data set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Split {
    /// Data set and split: `bccd trainval`.
    pub name: String,
    /// Images.
    pub images: u64,
    /// Annotated objects.
    pub objects: u64,
    /// What was met while reading it.
    pub notes: Vec<SplitNote>,
}

/// One kind of thing that was met while reading a data set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SplitNote {
    /// One sentence.
    pub what: String,
    /// How often.
    pub count: u64,
    /// The first few places: image names, or file and line.
    pub places: Vec<String>,
}

/// A whole number with its digits in groups of three, apart by narrow spaces that do not break.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && digits.len() > 4 {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

impl RunReport {
    /// What a log knows: curves, configuration, model, device, times, warnings and the headline figures that follow
    /// from them.
    pub fn from_log(log: RunLog) -> RunReport {
        let mut report = RunReport {
            losses: log.losses,
            learning_rate: Some(log.learning_rate),
            images_per_second: Some(log.images_per_second),
            wait_share: Some(log.wait_share),
            grad_norm: Some(log.grad_norm),
            map: vec![log.map],
            metric: log.metric.clone(),
            diagnoses: log.diagnoses,
            warnings: log.warnings,
            complexity: log.complexity,
            ..RunReport::default()
        };
        let last = |curve: &Curve| curve.points.iter().rev().map(|p| p.1).find(|v| v.is_finite());
        if let Some(map) = report.map.first().and_then(last) {
            report.headline.push(Figure::new(log.metric.unwrap_or("mAP".into()), format!("{map:.3}"), ""));
        }
        if log.seconds > 0.0 {
            report.headline.push(Figure::new("time", duration(log.seconds), ""));
            report.times.push(("training".into(), (log.seconds - log.evaluation_seconds).max(0.0)));
            report.times.push(("evaluation".into(), log.evaluation_seconds));
        }
        let again = match log.resumed {
            0 => String::new(),
            1 => "resumed once".into(),
            n => format!("resumed {n} times"),
        };
        let skipped = if log.skipped > 0 { format!("{} skipped", log.skipped) } else { String::new() };
        let note = [again, skipped].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(", ");
        let steps =
            if log.last_step < log.of { format!("{} of {}", log.last_step, log.of) } else { log.of.to_string() };
        report.headline.push(Figure::new("steps", steps, note));
        if let Some(started) = log.started {
            report.headline.push(Figure::new(
                "parameters",
                number(started.parameters as f64),
                format!(
                    "{} binary, {} float MAC",
                    number(started.binary_macs as f64),
                    number(started.float_macs as f64)
                ),
            ));
            report.title = started.model.clone();
            report.model = vec![
                ("model".into(), started.model),
                ("parameters".into(), grouped(started.parameters)),
                ("float multiply-adds an image".into(), grouped(started.float_macs)),
                ("binary multiply-adds an image".into(), grouped(started.binary_macs)),
                ("images a step".into(), started.batch.to_string()),
            ];
            report.device = vec![("device".into(), started.device)];
            report.configuration = Some(started.config);
            report.version = Some(started.version);
        }
        report
    }

    /// The page.
    pub fn to_html(&self) -> Result<String> {
        sections::page(self)
    }

    /// Writes the page to a file, whole or not at all.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let page = self.to_html()?;
        let mut partial = path.as_os_str().to_owned();
        partial.push(".part");
        std::fs::write(&partial, page).map_err(|e| Error::io("write", Path::new(&partial), e))?;
        std::fs::rename(&partial, path).map_err(|e| Error::io("write", path, e))
    }
}
