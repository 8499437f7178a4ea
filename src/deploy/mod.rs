//! Detectors for use: one small file, and a plan that only infers.
//!
//! ```no_run
//! use autobidet::Detector;
//!
//! # fn main() -> autobidet::Result<()> {
//! let mut detector = Detector::load("detector.safetensors".as_ref())?;
//! let image = autobidet::data::image_file::read("photo.jpg".as_ref(), None)?.image;
//! for found in detector.detect(&image)? {
//!     println!("{} {:.2} {:?}", found.label, found.score, found.bbox);
//! }
//! # Ok(())
//! # }
//! ```

mod calibrate;
mod exact;
mod file;
mod float;
mod fold;
mod outputs;
mod plan;
mod program;

use std::path::Path;

use image::RgbImage;
use serde::{Deserialize, Serialize};

pub use calibrate::calibrate;
pub use exact::{Seen, exact};
pub use file::{DeployFile, Numbers, Quantizer, Record, VERSION};
pub use float::float;
pub use fold::{Dense, Folded, Signs, fold};
pub(crate) use outputs::gather;
pub use plan::{Ends, plan};
pub use program::{Head, Keep, Kind, Norm, Part, Program, Stage, Value, WordsNeed};

use crate::detect::BBox;
use crate::detect::decode::DecodeOptions;
use crate::device::Device;
use crate::gpu::{DeviceChoice, LimitsChoice};
use crate::models;
use crate::plan::{LayerInfo, Plan};
use crate::predict::{Model, Predictor};
use crate::weights::WeightFile;
use crate::{Error, Result};

/// What a deploy file computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Floats, but for binary layers; large convolutions are stored as f16.
    Float,
    /// Integers from the image's bytes to the heads: the same boxes, bit for bit, on every device.
    Exact,
}

impl Precision {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Precision::Float => "float",
            Precision::Exact => "exact",
        }
    }
}

impl std::str::FromStr for Precision {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "float" => Ok(Precision::Float),
            "exact" => Ok(Precision::Exact),
            _ => Err(Error::config("--precision", format!("is {s:?}"), "It is float or exact.")),
        }
    }
}

/// What a layer's multiplications are made of; nothing where it has none.
pub fn computed_in(l: &LayerInfo) -> &'static str {
    match (l.op, l.cost.binary_macs, l.cost.macs) {
        ("int8_conv2d", ..) => "bytes",
        (_, 1.., _) => "bits",
        (_, 0, 1..) => "floats",
        _ => "",
    }
}

/// How many layers of a plan compute on packed bits, and how many of the network are binary.
pub fn packed(program: &Program, plan: &Plan) -> (usize, usize) {
    let binary = program.stages.iter().filter(|s| matches!(s.kind, Kind::Binary { .. })).count();
    (plan.layers.iter().filter(|l| computed_in(l) == "bits").count(), binary)
}

/// The deploy file of trained weights. `images`, preprocessed, are what [`Precision::Exact`] takes its ranges from, one after
/// the other on `device`; `progress` hears how many are done.
///
/// # Errors
/// Weights of another network; with [`Precision::Exact`] one without binary layers, no images, or numbers that no fixed
/// point holds; errors of the device.
pub fn export(
    detector: &models::Detector,
    weights: &WeightFile,
    precision: Precision,
    images: &[Vec<f32>],
    device: &Device,
    progress: impl FnMut(usize),
) -> Result<DeployFile> {
    pollster::block_on(export_async(detector, weights, precision, images, device, progress))
}

/// [`export`] where nothing may block.
///
/// # Errors
/// As [`export`].
pub async fn export_async(
    detector: &models::Detector,
    weights: &WeightFile,
    precision: Precision,
    images: &[Vec<f32>],
    device: &Device,
    progress: impl FnMut(usize),
) -> Result<DeployFile> {
    let program = Program::of(detector)?;
    let folded = fold(&program, weights)?;
    let mut numbers = float(&program, &folded);
    let mut record = Record { version: env!("CARGO_PKG_VERSION").to_string(), ..Default::default() };
    if precision == Precision::Exact {
        if !program.stages.iter().any(|s| matches!(s.kind, Kind::Binary { .. })) {
            let problem = format!("is exact, but {} has no binary layers", detector.name());
            return Err(Error::config("--precision", problem, "Export it with --precision float."));
        }
        if images.is_empty() {
            return Err(Error::config("--data", "has no image that can be read", "An exact file needs some."));
        }
        let seen = calibrate(detector, &program, &numbers, device, images, progress).await?;
        numbers = exact(&program, &folded, detector.preprocess.normalization, &seen)?;
        record.calibration_images = images.len() as u32;
    }
    Ok(DeployFile { detector: detector.clone(), numbers, nms: DecodeOptions::default(), record })
}

/// The lowest score that a detector tells of where nothing else is said.
pub const SCORE: f32 = 0.3;

/// A detector from a file, on the best device of this machine.
pub struct Detector {
    predictor: Predictor,
}

/// An object in an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its class.
    pub label: String,
    /// Between 0 and 1.
    pub score: f32,
    /// In the image's pixels.
    pub bbox: BBox,
}

impl Detector {
    /// From a deploy file (or a run folder or its weights), for one image at a time.
    ///
    /// # Errors
    /// Those of the file, with what was expected of it; those of the device.
    pub fn load(path: &Path) -> Result<Detector> {
        let (device, _) = Device::open(&DeviceChoice::Auto, LimitsChoice::Adapter)?;
        Detector::load_on(path, &device)
    }

    /// The same on a device of your choice.
    ///
    /// # Errors
    /// As [`Detector::load`].
    pub fn load_on(path: &Path, device: &Device) -> Result<Detector> {
        Ok(Detector { predictor: Predictor::of(Model::open(path)?, device, 1)? })
    }

    /// What is in an image of any size, by falling score. Scores are above [`SCORE`]; [`Predictor::image`] has all settings.
    ///
    /// # Errors
    /// Values that are not finite, which mean that the weights are of no use; those of the device.
    pub fn detect(&mut self, image: &RgbImage) -> Result<Vec<Found>> {
        let options = DecodeOptions { score_threshold: SCORE, clip: true, ..self.predictor.options() };
        let found = self.predictor.image(image, &options)?;
        let classes = &self.predictor.detector.config.classes;
        Ok(found.into_iter().map(|d| Found { label: classes[d.class].clone(), score: d.score, bbox: d.bbox }).collect())
    }

    /// The names of the classes.
    pub fn labels(&self) -> &[String] {
        &self.predictor.detector.config.classes
    }

    /// What is behind it: settings, batches, raw outputs.
    pub fn predictor(&mut self) -> &mut Predictor {
        &mut self.predictor
    }
}
