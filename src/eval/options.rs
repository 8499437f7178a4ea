//! What to measure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A metric by its definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// VOC 2007: mean over 11 recall levels of the best precision at that recall or more.
    Voc07,
    /// VOC since 2010: area under the falling envelope of precision over recall, every point.
    Voc,
    /// COCO: mean over IoU thresholds .5:.05:.95 and 101 recall levels, and eleven more numbers.
    Coco,
}

/// Whether a box covers its last pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pixels {
    /// Coordinates are points: the width is xmax - xmin.
    Continuous,
    /// Coordinates are pixels, both ends belong to the box: the width is xmax - xmin + 1, as in the VOC kit.
    Inclusive,
}

/// What an object marked difficult (VOC) or crowd (COCO) counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Difficult {
    /// Neither asked for nor held against a detection that finds it, as in the VOC kit.
    Ignore,
    /// An object like any other.
    Count,
}

macro_rules! names {
    ($type:ty, $key:literal, $remedy:literal, $($name:literal => $value:expr),+) => {
        impl FromStr for $type {
            type Err = Error;
            /// The value by its name; [`Error::Config`] lists the names.
            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $($name => Ok($value),)+
                    _ => Err(Error::config(
                        $key,
                        format!("there is no '{text}'; expected one of {}", [$($name),+].join(", ")),
                        $remedy,
                    )),
                }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(v if *v == $value => $name,)+ _ => "" })
            }
        }
    };
}

names!(Metric, "--metric", "voc07 is the 11-point rule, voc the area under the curve, coco the mean over IoU .5:.05:.95",
    "voc07" => Metric::Voc07, "voc" => Metric::Voc, "coco" => Metric::Coco);
names!(Pixels, "--pixels", "inclusive adds 1 to widths and heights, as the VOC kit does",
    "continuous" => Pixels::Continuous, "inclusive" => Pixels::Inclusive);
names!(Difficult, "--difficult", "ignore is the VOC kit's rule",
    "ignore" => Difficult::Ignore, "count" => Difficult::Count);

/// How to evaluate. The default is `voc` at IoU 0.5, continuous pixels, difficult objects ignored.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalOptions {
    /// Which definition.
    pub metric: Metric,
    /// The overlap from which (and at which) a detection matches; for VOC's metrics only.
    pub iou: f64,
    /// Pixel convention of widths and heights; COCO's is always continuous.
    pub pixels: Pixels,
    /// VOC: `difficult` objects, and `crowd` ones of a COCO set. COCO: difficult objects of a VOC set are ignored as
    /// objects of another size are (crowd objects keep COCO's own rule either way).
    pub difficult: Difficult,
}

impl Default for EvalOptions {
    fn default() -> Self {
        EvalOptions { metric: Metric::Voc, iou: 0.5, pixels: Pixels::Continuous, difficult: Difficult::Ignore }
    }
}

impl EvalOptions {
    /// The defaults of a metric.
    pub fn of(metric: Metric) -> Self {
        EvalOptions { metric, ..Default::default() }
    }

    /// [`Error::Config`] for an IoU outside 0..=1 (0 excluded), and for settings that COCO's definition fixes.
    pub fn check(&self) -> Result<()> {
        if !(self.iou > 0.0 && self.iou <= 1.0) {
            return Err(Error::config(
                "--iou",
                format!("{} is not an overlap", self.iou),
                "Give a number over 0 and at most 1; the usual one is 0.5",
            ));
        }
        if self.metric == Metric::Coco {
            if self.iou != 0.5 {
                return Err(Error::config(
                    "--iou",
                    format!("the coco metric averages over its own thresholds, {} cannot be set", self.iou),
                    "Leave --iou out, or use --metric voc",
                ));
            }
            if self.pixels == Pixels::Inclusive {
                return Err(Error::config(
                    "--pixels",
                    "the coco metric's boxes are continuous by definition",
                    "Leave --pixels out, or use --metric voc",
                ));
            }
        }
        Ok(())
    }
}
