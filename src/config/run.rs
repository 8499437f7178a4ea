//! The configuration of a run.

use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{AicConfig, Beta, Method};
use crate::data::{Augment, scenes};
use crate::{Error, Result};

/// Networks a user can type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelName {
    /// About a million parameters at 160x160, for CPU-only machines, tests and small devices.
    Tiny,
    /// SSD300 with a VGG16 body: the original network (float), or BiDet's restructured one (binarized).
    #[serde(rename = "ssd300-vgg16")]
    Ssd300Vgg16,
}

impl ModelName {
    /// All names as typed.
    pub const NAMES: [(&'static str, ModelName); 2] =
        [("tiny", ModelName::Tiny), ("ssd300-vgg16", ModelName::Ssd300Vgg16)];
    /// The name as typed.
    pub fn as_str(self) -> &'static str {
        ModelName::NAMES.iter().find(|(_, m)| *m == self).map_or("", |(n, _)| n)
    }
}

impl FromStr for ModelName {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        ModelName::NAMES.iter().find(|(n, _)| *n == s).map(|(_, m)| *m).ok_or_else(|| {
            let names: Vec<_> = ModelName::NAMES.iter().map(|(n, _)| *n).collect();
            Error::config("--model", format!("is {s:?}"), format!("Give one of {}.", names.join(", ")))
        })
    }
}

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// Which network.
    pub name: ModelName,
    /// Method: binarization and extra terms.
    pub method: Method,
    /// Foreground classes; empty in a fresh run: read from the data.
    pub classes: Vec<String>,
    /// The category ids that `detect --json` writes, one a class, as the data have them (COCO's own have gaps); empty: 1, 2,
    /// ... in a file, from the data in a fresh run.
    pub category_ids: Vec<u32>,
    /// Prior boxes of SSD300: `voc`, `coco`, or `auto`: `coco` for COCO's eighty classes, else `voc`; a run writes down which.
    /// The small network has its own.
    pub priors: String,
    /// Batch norm after each convolution of the float SSD300 (the original has none).
    pub float_batch_norm: bool,
    /// Every layer of `ssd300-vgg16` but the heads' outputs has this fraction of its channels: 1, 2, 4, ... 64.
    pub channel_divisor: u32,
    /// Backbone weights to start from: a safetensors file with torchvision's VGG16 names, as an absolute path; empty for
    /// none. Read once, when the run begins.
    pub backbone: String,
}

impl Default for ModelConfig {
    fn default() -> Self {
        ModelConfig {
            name: ModelName::Tiny,
            method: Method::default(),
            classes: Vec::new(),
            category_ids: Vec::new(),
            priors: "auto".to_string(),
            float_batch_norm: true,
            channel_divisor: 1,
            backbone: String::new(),
        }
    }
}

impl ModelConfig {
    /// The category id of a class in COCO results.
    pub fn category_id(&self, class: usize) -> u32 {
        self.category_ids.get(class).copied().unwrap_or(class as u32 + 1)
    }

    /// `voc` or `coco`: [`ModelConfig::priors`], with `auto` decided by the classes.
    pub fn prior_set(&self) -> &'static str {
        // Names that no other data set of eighty classes has together.
        let coco = ["traffic light", "hot dog", "potted plant", "toothbrush"];
        let is_coco = self.classes.len() == 80 && coco.iter().all(|n| self.classes.iter().any(|c| c == n));
        match self.priors.as_str() {
            "coco" => "coco",
            "auto" if is_coco => "coco",
            _ => "voc",
        }
    }

    /// That the network has the width asked for.
    ///
    /// # Errors
    /// [`Error::Config`] for `channel_divisor`.
    pub fn check_width(&self) -> Result<()> {
        let widest = if self.name == ModelName::Ssd300Vgg16 { 64 } else { 1 };
        if self.channel_divisor.is_power_of_two() && self.channel_divisor <= widest {
            return Ok(());
        }
        Err(Error::config(
            "model.channel_divisor",
            format!("is {}", self.channel_divisor),
            "Give 1, or for ssd300-vgg16 a power of two up to 64.",
        ))
    }

    /// Looks for impossible values.
    pub fn check(&self) -> Result<()> {
        self.check_width()?;
        let bad = |key: &str, problem: String, remedy: &str| Err(Error::config(key, problem, remedy));
        let classes = &self.classes;
        if classes.len() > 1000 {
            return bad("model.classes", format!("has {} names", classes.len()), "At most 1000 are supported.");
        }
        for (i, c) in classes.iter().enumerate() {
            if c.is_empty() || classes[..i].contains(c) {
                let problem = format!("has the name {c:?} {}", if c.is_empty() { "" } else { "twice" });
                return bad("model.classes", problem.trim_end().to_string(), "Give every class a name of its own.");
            }
        }
        let ids = &self.category_ids;
        if !ids.is_empty() && ids.len() != classes.len() {
            let problem = format!("has {} ids for {} classes", ids.len(), classes.len());
            return bad("model.category_ids", problem, "Give one a class, or none.");
        }
        if let Some(i) = (0..ids.len()).find(|i| ids[..*i].contains(&ids[*i])) {
            return bad("model.category_ids", format!("has {} twice", ids[i]), "Give every class an id of its own.");
        }
        if !["auto", "voc", "coco"].contains(&self.priors.as_str()) {
            let remedy = "Give \"auto\", \"voc\" or \"coco\".";
            return bad("model.priors", format!("is {:?}", self.priors), remedy);
        }
        Ok(())
    }
}

/// The data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Folder or json file of the data set, or `scenes` for the embedded one. `train` writes it out as an absolute path,
    /// so that `--resume` works from any folder.
    pub path: String,
    /// Split to train on.
    pub train: String,
    /// Split to evaluate on while training; empty for none.
    pub test: String,
    /// Images of the embedded set: training.
    pub scenes_train: u64,
    /// Images of the embedded set: test.
    pub scenes_test: u64,
    /// Augmentation of training images.
    pub augment: Augment,
    /// Threads that decode and augment; 0: chosen by the number of cores. Never changes results.
    pub threads: usize,
    /// Memory for decoded images in MiB. Never changes results.
    pub cache_mb: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        DataConfig {
            path: "scenes".to_string(),
            train: "trainval".to_string(),
            test: "test".to_string(),
            scenes_train: 2000,
            scenes_test: 200,
            augment: Augment::light(),
            threads: 0,
            cache_mb: 512,
        }
    }
}

/// Learning-rate schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// `short` under 20,000 steps, else `paper`.
    Auto,
    /// The released code's: drops by 10 at 1/10, 4/15 and 2/3 of the steps (30k, 80k, 200k of 300k); extra terms from the
    /// first drop.
    Paper,
    /// 2 % warm-up, then a cosine to zero; extra terms from 40 % of the steps.
    Short,
    /// One rate, extra terms from the first step: nothing depends on the number of steps, so a run can be made longer
    /// at any time and is then what it would have been had it been planned so.
    Constant,
}

/// Optimizers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerName {
    /// Adam, betas 0.9 and 0.999, epsilon 1e-8.
    Adam,
    /// SGD with momentum 0.9.
    Sgd,
}

/// The training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Optimizer steps; 0: from `epochs` or `minutes`.
    pub steps: u64,
    /// Passes over the data; used when `steps` is 0.
    pub epochs: f64,
    /// Wall-clock budget: the first steps are measured, then `steps` is fixed and written here. Used when both are 0.
    pub minutes: f64,
    /// Images a step.
    pub batch: u32,
    /// Images of a forward and backward pass; 0: the whole batch. A smaller number needs less memory, and gives batch norm
    /// the statistics of the smaller number.
    pub micro_batch: u32,
    /// Whether the backward pass computes maps again that the forward pass made, rather than keep them: a fraction of the
    /// memory for a little more time. Never changes results.
    pub recompute: bool,
    /// Peak learning rate; 0: the schedule's own (short: 5e-3 binarized, 2e-3 float; paper and constant: 1e-3).
    pub lr: f64,
    /// Learning-rate schedule.
    pub schedule: Schedule,
    /// Optimizer.
    pub optimizer: OptimizerName,
    /// Global gradient norm is clipped to this; 0: never.
    pub clip_norm: f32,
    /// Seed of first weights, data order, augmentation and location noise.
    pub seed: u32,
    /// Weight of the information-bottleneck term: 1 / beta (docs/method.md, section 2).
    pub ib_weight: f32,
    /// Weight of the object prior: gamma.
    pub sop_weight: f32,
    /// Fraction of the steps after which the extra terms count; negative: the schedule's own.
    pub extra_terms_from: f64,
    /// Scale of the location noise at positive priors (docs/method.md, section 2.2).
    pub location_noise: f32,
    /// Steps between evaluations on the test split; 0: about ten in a run (with `minutes` as many as take at most a fifth
    /// of the time, at least one; the number of steps between them is written here).
    pub eval_every: u64,
    /// Steps between checkpoints; 0: at every evaluation (where there is a test split or not).
    pub checkpoint_every: u64,
    /// Steps between looks at the binary layers; 0: about once an epoch, at most 20 times a run; negative: never. Never
    /// changes results.
    pub diagnose_every: i64,
    /// Skipped steps in a row after which the run stops.
    pub max_skipped: u32,
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            steps: 0,
            epochs: 0.0,
            minutes: 0.0,
            batch: 16,
            micro_batch: 0,
            recompute: true,
            lr: 0.0,
            schedule: Schedule::Auto,
            optimizer: OptimizerName::Adam,
            clip_norm: 5.0,
            seed: 1,
            ib_weight: 0.1,
            sop_weight: 0.2,
            extra_terms_from: -1.0,
            location_noise: 0.001,
            eval_every: 0,
            checkpoint_every: 0,
            diagnose_every: 0,
            max_skipped: 20,
        }
    }
}

/// Everything that defines a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// The network.
    pub model: ModelConfig,
    /// The data.
    pub data: DataConfig,
    /// The training.
    pub train: TrainConfig,
    /// The complexity estimator.
    pub aic: AicConfig,
}

/// Which keys a configuration file sets.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Given(toml::Table);

impl Given {
    /// Whether `key` (dotted, e.g. `train.batch`), or any key below it, is set.
    pub fn has(&self, key: &str) -> bool {
        let mut names = key.split('.');
        let first = names.next().and_then(|n| self.0.get(n));
        names.try_fold(first, |at, n| at.map(|v| v.get(n))).flatten().is_some()
    }
}

/// Configuration files larger than this are refused.
const MAX_BYTES: u64 = 1 << 20;

impl RunConfig {
    /// Reads a TOML file. Unknown keys and values of the wrong kind are errors with the line and the key.
    pub fn read(path: &Path) -> Result<RunConfig> {
        RunConfig::read_given(path).map(|(config, _)| config)
    }

    /// [`RunConfig::read`], and which keys the file sets.
    pub fn read_given(path: &Path) -> Result<(RunConfig, Given)> {
        let len = std::fs::metadata(path).map_err(|e| Error::io("read", path, e))?.len();
        if len > MAX_BYTES {
            return Err(Error::format(
                path,
                format!("is {len} bytes, a configuration has at most {MAX_BYTES}"),
                "Is this the right file?",
            ));
        }
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
        let config: RunConfig = toml::from_str(&text).map_err(|e| Error::Format {
            path: path.to_path_buf(),
            line: e.span().map(|s| 1 + text[..s.start.min(text.len())].matches('\n').count()),
            problem: e.message().trim().replace('\n', " "),
            remedy: "The file `config.toml` of any run folder shows every key and its form.".to_string(),
        })?;
        config.check().map_err(|e| match e {
            Error::Config { key, problem, remedy } => Error::Format {
                path: path.to_path_buf(),
                line: line_of(&text, &key),
                problem: format!("{key} {problem}"),
                remedy,
            },
            other => other,
        })?;
        // It was read as a table just now.
        Ok((config, Given(text.parse().unwrap_or_default())))
    }

    /// Takes the recipe of the network for what nobody gave: SSD's own batch and augmentation for `ssd300-vgg16`. The
    /// defaults are those of `tiny`. `given` tells whether a key was given.
    pub fn take_recipe(&mut self, given: impl Fn(&str) -> bool) {
        if self.model.name != ModelName::Ssd300Vgg16 {
            return;
        }
        if !given("train.batch") {
            self.train.batch = 32;
        }
        if !given("data.augment") {
            self.data.augment = Augment::ssd();
        }
    }

    /// What [`RunConfig::take_recipe`] and the classes may have decided, for the user to see when a run begins; none for a
    /// network that has no recipe of its own.
    pub fn recipe(&self) -> Option<String> {
        let augment = [("ssd", Augment::ssd()), ("light", Augment::light()), ("none", Augment::none())];
        let name = augment.iter().find(|(_, a)| *a == self.data.augment).map_or("as configured", |(n, _)| n);
        (self.model.name == ModelName::Ssd300Vgg16).then(|| {
            format!(
                "{}: batches of {}, augmentation {name}, priors {} (--batch, --augment and --priors choose others)",
                self.model.name.as_str(),
                self.train.batch,
                self.model.prior_set()
            )
        })
    }

    /// The configuration as TOML, every key written out.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::config("configuration", e.to_string(), "This is a mistake of ours."))
    }

    /// Looks for impossible values.
    pub fn check(&self) -> Result<()> {
        let t = &self.train;
        let bad = |key: &str, problem: String, remedy: &str| Err(Error::config(key, problem, remedy));
        if t.batch == 0 || t.batch > 4096 {
            return bad(
                "train.batch",
                format!("is {}, expected 1 to 4096", t.batch),
                "Give --batch a sensible number.",
            );
        }
        if t.micro_batch != 0 && !t.batch.is_multiple_of(t.micro_batch) {
            return bad(
                "train.micro_batch",
                format!("is {}, which does not divide the batch of {}", t.micro_batch, t.batch),
                "Choose a divisor of --batch.",
            );
        }
        for (key, v, low, high) in [
            ("train.lr", t.lr, 0.0, 10.0),
            ("train.epochs", t.epochs, 0.0, 1e6),
            ("train.minutes", t.minutes, 0.0, 1e6),
            ("train.ib_weight", t.ib_weight as f64, 0.0, 1e4),
            ("train.sop_weight", t.sop_weight as f64, 0.0, 1e4),
            ("train.extra_terms_from", t.extra_terms_from, -1.0, 1.0),
            ("train.location_noise", t.location_noise as f64, 0.0, 1.0),
            ("train.clip_norm", t.clip_norm as f64, 0.0, 1e9),
        ] {
            if !(v >= low && v <= high) {
                return bad(key, format!("is {v}, expected {low} to {high}"), "Change it in the file or by its flag.");
            }
        }
        for (key, v, low, high) in [
            ("train.steps", t.steps, 0, u32::MAX as u64),
            ("train.max_skipped", t.max_skipped as u64, 1, 1_000_000),
            ("data.scenes_train", self.data.scenes_train, 1, scenes::TEST_START),
            ("data.scenes_test", self.data.scenes_test, 1, scenes::TEST_START),
        ] {
            if !(low..=high).contains(&v) {
                return bad(key, format!("is {v}, expected {low} to {high}"), "Change it in the file or by its flag.");
            }
        }
        self.aic.check()?;
        if self.model.method.beta != Beta::Fixed && t.ib_weight == 0.0 {
            return bad(
                "train.ib_weight",
                "is 0, but the method gives each image a beta, which starts at 1 / train.ib_weight".to_string(),
                "Give it a value above 0 (0.1), or choose a method with information_bottleneck = \"none\".",
            );
        }
        self.data.augment.check().map_err(|e| match e {
            Error::Config { key, problem, remedy } => Error::Config { key: format!("data.{key}"), problem, remedy },
            other => other,
        })?;
        self.model.check()?;
        if self.data.path.is_empty() {
            return bad("data.path", "is empty".into(), "Give --data a folder, a json file or the word scenes.");
        }
        Ok(())
    }
}

/// The 1-based line on which `key` (dotted, e.g. `train.batch`) is set in a TOML text; none where it is not, or is
/// written in a form without a line of its own.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let mut table = String::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
            table = name.trim().to_string();
            continue;
        }
        let Some((name, _)) = line.split_once('=') else { continue };
        let name = name.trim();
        let full = if table.is_empty() { name.to_string() } else { format!("{table}.{name}") };
        if full == key || key.strip_prefix(&full).is_some_and(|rest| rest.starts_with('.')) {
            return Some(i + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::line_of;

    #[test]
    fn lines_of_keys() {
        let text = "data.path = \"x\"\n\n[train]\n# batch = 3\nbatch = 0\n[ data.augment ]\ncrop = { whole = 2.0 }\n";
        assert_eq!(line_of(text, "train.batch"), Some(5));
        assert_eq!(line_of(text, "data.path"), Some(1));
        assert_eq!(line_of(text, "data.augment.crop.whole"), Some(7));
        assert_eq!(line_of(text, "train.lr"), None);
    }
}
