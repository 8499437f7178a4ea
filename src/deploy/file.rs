//! Deploy files: safetensors with the numbers of a [`Program`](super::program::Program)'s stages and, in the metadata, all that it takes to run
//! them. docs/deploy.md has every array.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Precision;
use crate::config::{Binarization, ModelConfig};
use crate::data::Preprocess;
use crate::detect::decode::DecodeOptions;
use crate::models::Detector;
use crate::plan::round4;
use crate::weights::{FileTensor, WeightFile};
use crate::{Error, Result};

/// The version of the files that are written; others are refused.
pub const VERSION: u32 = 1;

/// The numbers of a network's stages, by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    /// What they are.
    pub precision: Precision,
    /// The arrays.
    pub tensors: BTreeMap<String, FileTensor>,
    /// With [`Precision::Exact`]: what a value's fixed-point number is divided by, as a power of two.
    pub fraction: u32,
    /// The same for each head's outputs.
    pub head_fractions: Vec<u32>,
    /// Where they came from, for messages.
    pub path: PathBuf,
}

/// How a map becomes bytes: clamp(round(x mul / 2^shift) + zero).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantizer {
    /// Multiplier.
    pub mul: i32,
    /// Exponent.
    pub shift: i32,
    /// The byte of 0.
    pub zero: i32,
}

/// What training leaves in the file, for people.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Record {
    /// The version of this program.
    pub version: String,
    /// Steps of training.
    pub step: u64,
    /// The run's settings as TOML.
    pub config: String,
    /// Images that ranges were taken from.
    pub calibration_images: u32,
}

/// The metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    deploy: u32,
    precision: Precision,
    model: ModelConfig,
    preprocess: Preprocess,
    variances: [f32; 2],
    nms: DecodeOptions,
    fraction: u32,
    head_fractions: Vec<u32>,
    record: Record,
}

/// A deploy file in memory.
#[derive(Debug, Clone)]
pub struct DeployFile {
    /// What it detects.
    pub detector: Detector,
    /// Its numbers.
    pub numbers: Numbers,
    /// How detections are chosen.
    pub nms: DecodeOptions,
    /// Where it comes from.
    pub record: Record,
}

const REMEDY: &str = "Make it again: `autobidet export RUN --out FILE`.";

impl DeployFile {
    /// The same as a file.
    fn weight_file(&self) -> Result<WeightFile> {
        let about = About {
            deploy: VERSION,
            precision: self.numbers.precision,
            // Where a backbone lay on the machine that trained is nobody's concern.
            model: ModelConfig { backbone: String::new(), ..self.detector.config.clone() },
            preprocess: self.detector.preprocess,
            variances: crate::detect::codec::VARIANCES,
            nms: self.nms,
            fraction: self.numbers.fraction,
            head_fractions: self.numbers.head_fractions.clone(),
            record: self.record.clone(),
        };
        let metadata = serde_json::to_string(&about)
            .map_err(|e| Error::format(&self.numbers.path, e.to_string(), "This is a mistake of ours."))?;
        Ok(WeightFile { tensors: self.numbers.tensors.clone(), metadata, ..Default::default() })
    }

    /// Its bytes: the same for the same contents.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.weight_file()?.to_bytes()
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.weight_file()?.write(path)
    }

    /// Whether a weight file is a deploy file.
    pub fn is(file: &WeightFile) -> bool {
        serde_json::from_str::<serde_json::Value>(&file.metadata).is_ok_and(|v| v.get("deploy").is_some())
    }

    /// From a file that [`WeightFile::read`] has read (and whose checksum it has compared).
    ///
    /// # Errors
    /// Another version, settings of a network that there is not, arrays that are missing, too many or of another size.
    pub fn open(file: WeightFile) -> Result<DeployFile> {
        let problem = |p: String| Error::format(&file.path, p, REMEDY);
        let json: serde_json::Value =
            serde_json::from_str(&file.metadata).map_err(|e| problem(format!("is not a deploy file: {e}")))?;
        let version = json.get("deploy").ok_or_else(|| problem("is not a deploy file".to_string()))?;
        if *version != serde_json::json!(VERSION) {
            return Err(problem(format!(
                "is a deploy file of version {version}; this program (autobidet {}) reads version {VERSION}",
                env!("CARGO_PKG_VERSION")
            )));
        }
        let about: About = serde_json::from_value(json).map_err(|e| problem(format!("says of itself: {e}")))?;
        if about.model.classes.is_empty() {
            return Err(problem("names no classes".to_string()));
        }
        let printed = about.model.classes.iter().chain([&about.record.version]);
        if let Some(name) = printed.into_iter().find(|n| n.chars().any(char::is_control)) {
            return Err(problem(format!("has control characters in the name {name:?}")));
        }
        if !file.sealed {
            return Err(problem("has no checksum".to_string()));
        }
        if about.precision == Precision::Exact && about.model.method.binarization == Binarization::Float {
            return Err(problem(format!("is exact, but {} has no binary layers", about.model.method)));
        }
        about.model.check().map_err(|e| problem(format!("describes no network: {e}")))?;
        let detector = Detector::new(&about.model)?;
        if detector.preprocess != about.preprocess || about.variances != crate::detect::codec::VARIANCES {
            return Err(problem(format!("has another input or box coding than {}", detector.name())));
        }
        if about.fraction > 30 || about.head_fractions.iter().any(|f| *f > 30) {
            return Err(problem("has a fixed point beyond 30 bits".to_string()));
        }
        let share = |v: f32| (0.0..=1.0).contains(&v);
        if !share(about.nms.score_threshold) || !share(about.nms.iou_threshold) {
            return Err(problem("has thresholds of detections that are not between 0 and 1".to_string()));
        }
        let numbers = Numbers {
            precision: about.precision,
            tensors: file.tensors,
            fraction: about.fraction,
            head_fractions: about.head_fractions,
            path: file.path.clone(),
        };
        Ok(DeployFile { detector, numbers, nms: about.nms, record: about.record })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`WeightFile::read`] and [`DeployFile::open`].
    pub fn read(path: &Path) -> Result<DeployFile> {
        DeployFile::open(WeightFile::read(path)?)
    }
}

impl Numbers {
    fn problem(&self, problem: String) -> Error {
        Error::format(&self.path, problem, REMEDY)
    }

    /// The words of an array of `len` elements: bits of signs, or integers, or of a float file's numbers the bits of f32.
    pub fn words(&self, name: &str, len: usize) -> Result<Vec<u32>> {
        let t = self.tensors.get(name).ok_or_else(|| self.problem(format!("has no array {name}")))?;
        if t.words.len() != len {
            return Err(self.problem(format!("{name} has {} elements, expected {len}", t.words.len())));
        }
        let float = self.precision == Precision::Float && !name.ends_with(".words");
        match t.float == float {
            true => Ok(t.words.clone()),
            false if float => Err(self.problem(format!("{name} holds integers, expected floats"))),
            false => Err(self.problem(format!("{name} holds floats, expected integers"))),
        }
    }

    /// The planes mul, s and others of a layer in integers, in the ranges in which every device computes the same.
    pub fn affine(&self, name: &str, planes: usize, outputs: usize) -> Result<Vec<u32>> {
        let words = self.words(&format!("{name}.affine"), planes * outputs)?;
        if self.precision == Precision::Exact {
            for (i, w) in words.iter().enumerate() {
                let v = *w as i32;
                let sound = match i / outputs {
                    0 => v.unsigned_abs() < 1 << 15,
                    1 => (-14..=46).contains(&v),
                    _ => v.unsigned_abs() < 1 << 30,
                };
                if !sound {
                    let problem = format!("{name}.affine has {v} in plane {}: out of range", i / outputs);
                    return Err(self.problem(problem));
                }
            }
        }
        Ok(words)
    }

    /// A convolution's weights `[O][taps][C]` in the engine's layout.
    pub fn dense(&self, name: &str, o: u32, taps: u32, c: u32) -> Result<Vec<u32>> {
        let (o, taps, c) = (o as usize, taps as usize, c as usize);
        let from = self.words(&format!("{name}.weight"), o * taps * c)?;
        let (cp, op) = (round4(c as u32) as usize, round4(o as u32) as usize);
        let mut out = vec![0; taps * cp * op];
        for (i, row) in from.chunks_exact(c).enumerate() {
            let (k, t) = (i / taps, i % taps);
            for (j, v) in row.iter().enumerate() {
                out[(t * cp + j) * op + k] = *v;
            }
        }
        Ok(out)
    }

    /// The same in bytes, four channels a word.
    pub fn bytes(&self, name: &str, o: u32, taps: u32, c: u32) -> Result<Vec<u32>> {
        let (o, taps, c) = (o as usize, taps as usize, c as usize);
        let from = self.words(&format!("{name}.weight"), o * taps * c)?;
        if from.iter().any(|w| !(-127..=127).contains(&(*w as i32))) {
            return Err(self.problem(format!("{name}.weight has values outside -127 to 127")));
        }
        let (c4, op) = (c.div_ceil(4), round4(o as u32) as usize);
        let mut out = vec![0; taps * c4 * op];
        for (i, row) in from.chunks_exact(c).enumerate() {
            let (k, t) = (i / taps, i % taps);
            for (j, v) in row.iter().enumerate() {
                out[(t * c4 + j / 4) * op + k] |= (v & 255) << (8 * (j % 4));
            }
        }
        Ok(out)
    }

    /// How a value becomes bytes.
    pub fn quantizer(&self, value: &str) -> Result<Quantizer> {
        let words = self.words(&format!("{value}.bytes"), 3)?;
        let [mul, shift, zero] = [0, 1, 2].map(|i| words[i] as i32);
        if mul.unsigned_abs() >= 1 << 15 || !(-14..=46).contains(&shift) || !(-128..=127).contains(&zero) {
            return Err(self.problem(format!("{value}.bytes is {mul}, {shift}, {zero}: out of range")));
        }
        Ok(Quantizer { mul, shift, zero })
    }

    /// What a convolution of a value reads outside the map: four bytes.
    pub fn pad(&self, value: &str, images: bool) -> Result<u32> {
        if images {
            return Ok(self.words("images.pad", 1)?[0]);
        }
        match self.tensors.contains_key(&format!("{value}.bytes")) {
            true => Ok((self.quantizer(value)?.zero as u8) as u32 * 0x0101_0101),
            // An L2 norm's.
            false => Ok(0),
        }
    }
}
