//! What is kept of a finished run: everything that tables need, in one small file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{RESAMPLE_SEED, RESAMPLES};
use crate::config::RunConfig;
use crate::data::Dataset;
use crate::eval::bootstrap::resampled;
use crate::eval::prior_counts::TAUS;
use crate::eval::sparsity::{SCORE, recall_at, sparsity};
use crate::eval::{EvalOptions, Evaluation, PriorCounts, RecallCurve, Sparsity, evaluate};
use crate::measure::Measured;
use crate::weights::write_atomically;
use crate::{Error, Result};

/// Of this form; a file of another one is refused.
const VERSION: u32 = 1;
/// Points of a kept curve of false over true positives.
const CURVE: usize = 2048;
/// Larger result files are refused.
const MAX_BYTES: u64 = 256 << 20;

/// The measurements of one run of a grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The form of the file.
    pub version: u32,
    /// The row's name.
    pub row: String,
    /// The seed.
    pub seed: u32,
    /// The whole configuration, with names in the place of paths.
    pub config: RunConfig,
    /// The data, by their contents.
    pub data: String,
    /// Where it was trained.
    pub device: String,
    /// Optimizer steps.
    pub steps: u64,
    /// Training images seen.
    pub images: u64,
    /// Seconds of training and evaluation.
    pub seconds: f64,
    /// Steps that were skipped because something was not finite.
    pub skipped: u64,
    /// Mean average precision after the last step (IoU 0.5, every point); none where no class has objects.
    pub map: Option<f64>,
    /// Average precision by class.
    pub per_class: BTreeMap<String, Option<f64>>,
    /// mAP in resampled test sets; resample r holds the same images in every run on the same data.
    pub resampled: Vec<Option<f64>>,
    /// Counts over priors at [`TAUS`].
    pub counts: Vec<PriorCounts>,
    /// True and false positives over priors of each test image, at [`TAUS`].
    pub per_image: Vec<Vec<[u64; 2]>>,
    /// Priors of each test image that answer for an object.
    pub objects_per_image: Vec<u64>,
    /// False over true positives.
    pub curve: RecallCurve,
    /// How detections are spread over objects.
    pub sparsity: Sparsity,
    /// Share of the objects found by detections over [`SCORE`].
    pub recall: Option<f64>,
    /// This crate's version.
    pub program: String,
}

/// What is known of a run beside its measurements.
pub struct About<'a> {
    /// The row's name.
    pub row: &'a str,
    /// The configuration as trained.
    pub config: &'a RunConfig,
    /// The data, by their contents.
    pub data: &'a str,
    /// Where it was trained.
    pub device: String,
    /// Seconds of training and evaluation.
    pub seconds: f64,
    /// Steps that were skipped.
    pub skipped: u64,
}

impl RunResult {
    /// The result of a run from what was measured of its last weights.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn new(about: About<'_>, test: &Dataset, measured: &Measured) -> Result<RunResult> {
        let options = EvalOptions::default();
        let found = measured.candidates();
        let evaluation: Evaluation = evaluate(test, &found, &options)?;
        // Six digits are more than any interval has; all of them would fill the file.
        let short = |v: f64| (v * 1e6).round() / 1e6;
        let resampled = resampled(test, &found, &options, RESAMPLES, RESAMPLE_SEED)?;
        let t = &about.config.train;
        Ok(RunResult {
            version: VERSION,
            row: about.row.to_string(),
            seed: t.seed,
            config: without_paths(about.config),
            data: about.data.to_string(),
            device: about.device,
            steps: t.steps,
            images: t.steps * u64::from(t.batch),
            seconds: about.seconds,
            skipped: about.skipped,
            map: evaluation.map,
            per_class: evaluation.classes.iter().map(|c| (c.name.clone(), c.ap)).collect(),
            resampled: resampled.into_iter().map(|v| v.map(short)).collect(),
            counts: TAUS.iter().map(|t| measured.priors.counts(*t)).collect(),
            per_image: TAUS.iter().map(|t| measured.priors.per_image(*t)).collect(),
            objects_per_image: measured.priors.objects_per_image(),
            curve: measured.priors.curve(CURVE),
            sparsity: sparsity(test, &measured.found.detections, SCORE),
            recall: recall_at(&evaluation, SCORE.into()),
            program: env!("CARGO_PKG_VERSION").to_string(),
        })
    }

    /// Reads a file; none where there is none.
    ///
    /// # Errors
    /// [`Error::Format`] where it is damaged or of another form.
    pub fn read(path: &Path) -> Result<Option<RunResult>> {
        let length = match std::fs::metadata(path) {
            Ok(m) => m.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("read", path, e)),
        };
        let remedy = "Delete it: its run is measured again (and trained again where its folder is gone).";
        if length > MAX_BYTES {
            return Err(Error::format(path, format!("is {length} bytes, a result has at most {MAX_BYTES}"), remedy));
        }
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        let result: RunResult = serde_json::from_slice(&bytes)
            .map_err(|e| Error::format(path, format!("is no result of a run: {e}"), remedy))?;
        let images = result.objects_per_image.len();
        let fits = result.version == VERSION
            && result.resampled.len() == RESAMPLES
            && [result.counts.len(), result.per_image.len()] == [TAUS.len(); 2]
            && result.per_image.iter().all(|p| p.len() == images)
            && result.curve.tp.len() == result.curve.fp.len()
            && result.curve.tp.len() == result.curve.threshold.len();
        match fits {
            true => Ok(Some(result)),
            false => Err(Error::format(path, "is the result of another version of this program", remedy)),
        }
    }

    /// Writes the file, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec(self)
            .map_err(|e| Error::format(path, format!("cannot be written: {e}"), "This is a mistake of ours."))?;
        write_atomically(path, &text)
    }
}

/// A configuration with file names in the place of paths, for files that leave this machine.
pub fn without_paths(config: &RunConfig) -> RunConfig {
    let name =
        |path: &str| path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default().to_string();
    let mut c = config.clone();
    c.data.path = name(&c.data.path);
    c.model.backbone = name(&c.model.backbone);
    c
}

/// A configuration without what does not define a run: where the data lie, threads, and what the data fill in.
pub fn essence(config: &RunConfig) -> RunConfig {
    let mut c = without_paths(config);
    c.data.path = String::new();
    (c.data.threads, c.data.cache_mb) = (0, 0);
    (c.model.classes, c.model.category_ids) = (Vec::new(), Vec::new());
    (c.train.minutes, c.train.epochs) = (0.0, 0.0);
    c
}

/// The keys in which two configurations differ, as `key = value` lines of the second.
pub fn changed(before: &RunConfig, now: &RunConfig) -> Result<Vec<String>> {
    let (before, now) = (essence(before).to_toml()?, essence(now).to_toml()?);
    Ok(now.lines().filter(|l| !before.lines().any(|b| b == *l)).map(str::to_string).collect())
}

/// A data set by its contents: name, classes, image names and boxes. Equal on every machine that has the same files.
pub fn fingerprint(sets: &[&Dataset]) -> String {
    let mut crc = 0;
    let mut eat = |bytes: &[u8]| crc = crc32c::crc32c_append(crc, bytes);
    for set in sets {
        eat(set.split.as_bytes());
        set.classes.iter().for_each(|c| eat(c.as_bytes()));
        for image in &set.images {
            eat(image.id.as_bytes());
            for o in &image.objects {
                let b = o.bbox;
                eat(&(o.class as u32).to_le_bytes());
                [b.xmin, b.ymin, b.xmax, b.ymax].iter().for_each(|v| eat(&v.to_le_bytes()));
                eat(&[u8::from(o.difficult), u8::from(o.crowd)]);
            }
        }
    }
    format!("{crc:08x}")
}
