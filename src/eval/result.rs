//! What an evaluation says: to programs as JSON, to people as a table.

use std::fmt;

use serde_json::{Map, Value, json};

use super::average::{Outcome, Ranking, Rule};
use super::boxes::ByClass;
use super::options::{EvalOptions, Metric};

/// COCO's twelve numbers in the order of [`Evaluation::coco`]: average precision over all thresholds, at 0.5, at 0.75,
/// of small, medium and large objects; average recall with at most 1, 10 and 100 detections, of small, medium and
/// large objects.
pub const COCO_NAMES: [&str; 12] =
    ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"];

/// The figures of one class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassEvaluation {
    /// Its name.
    pub name: String,
    /// Average precision, with `coco` over all thresholds; none where no object counts: such a class is left out of
    /// the mean.
    pub ap: Option<f64>,
    /// Objects that count.
    pub objects: usize,
    /// Objects that are ignored: difficult or crowd.
    pub ignored: usize,
    /// Detections, the ignored ones among them; with `coco` at most 100 of an image.
    pub detections: usize,
    /// Detections that found an object; with `coco` at IoU 0.5.
    pub tp: usize,
    /// Detections that did not.
    pub fp: usize,
    /// Precision after each detection that counts, by falling score; with `coco` at IoU 0.5.
    pub precision: Vec<f64>,
    /// Recall after each detection that counts; empty where no object counts.
    pub recall: Vec<f64>,
    /// Scores of the detections that count.
    pub scores: Vec<f64>,
}

impl ClassEvaluation {
    /// The average precision over all of the ranking's thresholds, the curve and the counts at the first.
    pub(super) fn new(name: &str, class: &ByClass, ranking: &Ranking, rule: Rule) -> Self {
        let objects = ranking.objects(None) as usize;
        let ap = super::mean((0..ranking.outcomes.len()).filter_map(|t| ranking.average_precision(t, rule, None)));
        let mut row = ClassEvaluation {
            name: name.to_owned(),
            ap,
            objects,
            ignored: class.truths.len() - objects,
            detections: ranking.scores.len(),
            tp: 0,
            fp: 0,
            precision: Vec::new(),
            recall: Vec::new(),
            scores: Vec::new(),
        };
        for (outcome, &score) in ranking.outcomes.iter().take(1).flatten().zip(&ranking.scores) {
            match outcome {
                Outcome::TruePositive => row.tp += 1,
                Outcome::FalsePositive => row.fp += 1,
                Outcome::Ignored => continue,
            }
            row.precision.push(row.tp as f64 / (row.tp + row.fp) as f64);
            if objects > 0 {
                row.recall.push(row.tp as f64 / objects as f64);
            }
            row.scores.push(score);
        }
        row
    }
}

/// The result of [`super::evaluate`].
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// How it was measured.
    pub options: EvalOptions,
    /// The data set's name.
    pub dataset: String,
    /// Number of images, those without objects among them.
    pub images: usize,
    /// Number of detections that took part.
    pub detections: usize,
    /// Detections left out because their score or box was not finite.
    pub not_finite: usize,
    /// The mean over the classes that have objects; with `coco` AP. None where no class has any.
    pub map: Option<f64>,
    /// By class, in the data set's order.
    pub classes: Vec<ClassEvaluation>,
    /// With `coco`: the numbers of [`COCO_NAMES`], -1 where undefined.
    pub coco: Option<[f64; 12]>,
}

impl Evaluation {
    /// `{"metric", "iou", "map", "per_class": {name: AP}, ...}`. Undefined numbers are null with VOC's metrics, and -1
    /// with `coco`, as in pycocotools; there the twelve numbers stand beside `map` by name and `iou` is the range.
    pub fn to_json(&self) -> Value {
        let number = |v: Option<f64>| match (v, self.options.metric) {
            (Some(v), _) => json!(v),
            (None, Metric::Coco) => json!(-1.0),
            (None, _) => Value::Null,
        };
        let by_class = |value: &dyn Fn(&ClassEvaluation) -> Value| -> Value {
            self.classes.iter().map(|c| (c.name.clone(), value(c))).collect::<Map<_, _>>().into()
        };
        let coco = self.options.metric == Metric::Coco;
        let mut out = json!({
            "metric": self.options.metric,
            "iou": if coco { json!("0.50:0.95") } else { json!(self.options.iou) },
            "pixels": self.options.pixels,
            "difficult": self.options.difficult,
            "map": number(self.map),
            "per_class": by_class(&|c| number(c.ap)),
            "counts": by_class(&|c| json!({
                "objects": c.objects, "ignored": c.ignored, "detections": c.detections, "tp": c.tp, "fp": c.fp,
            })),
            "classes_without_objects":
                self.classes.iter().filter(|c| c.ap.is_none()).map(|c| c.name.as_str()).collect::<Vec<_>>(),
            "images": self.images,
            "detections": self.detections,
            "not_finite": self.not_finite,
        });
        if let Some(numbers) = self.coco {
            for (name, v) in COCO_NAMES.iter().zip(numbers) {
                out[name] = json!(v);
            }
        }
        out
    }
}

/// A name of at most `width` characters.
fn short(name: &str, width: usize) -> String {
    if name.chars().count() <= width {
        return name.to_owned();
    }
    name.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let o = &self.options;
        let what = match o.metric {
            Metric::Voc07 => {
                format!("voc07 (11 points) at IoU {}, {} pixels, difficult: {}", o.iou, o.pixels, o.difficult)
            }
            Metric::Voc => {
                format!("voc (every point) at IoU {}, {} pixels, difficult: {}", o.iou, o.pixels, o.difficult)
            }
            Metric::Coco => "coco".to_owned(),
        };
        writeln!(f, "{}: {} images, {} detections; {what}", self.dataset, self.images, self.detections)?;
        let width = self.classes.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).clamp(5, 32);
        writeln!(f)?;
        writeln!(f, "{:width$}  objects  detections       TP       FP      AP", "class")?;
        for c in &self.classes {
            let ap = c.ap.map_or("-".to_owned(), |v| format!("{v:.4}"));
            writeln!(
                f,
                "{:width$} {:>8} {:>11} {:>8} {:>8} {ap:>7}",
                short(&c.name, width),
                c.objects,
                c.detections,
                c.tp,
                c.fp
            )?;
        }
        writeln!(f)?;
        if let Some(numbers) = self.coco {
            for (name, v) in COCO_NAMES.iter().zip(numbers) {
                writeln!(f, "{name:6} {v:>7.4}")?;
            }
            writeln!(f, "TP and FP are those at IoU 0.50; -1 is undefined")?;
        } else {
            writeln!(
                f,
                "mAP {}",
                self.map.map_or("undefined: no class has objects".to_owned(), |v| format!("{v:.4}"))
            )?;
        }
        let without = self.classes.iter().filter(|c| c.ap.is_none()).count();
        if without > 0 {
            writeln!(
                f,
                "{without} of {} classes have no objects here and are left out of the mean",
                self.classes.len()
            )?;
        }
        let ignored: usize = self.classes.iter().map(|c| c.ignored).sum();
        if ignored > 0 {
            writeln!(f, "{ignored} difficult or crowd objects are ignored")?;
        }
        if self.not_finite > 0 {
            writeln!(f, "{} detections were left out: score or box not finite", self.not_finite)?;
        }
        Ok(())
    }
}
