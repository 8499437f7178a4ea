//! Training as a stream of typed messages.
//!
//! The trainer says what happens; whoever wants to know listens: the log ([`super::jsonl`]), the terminal
//! ([`super::progress`]), TensorBoard ([`super::tensorboard`]). The trainer knows none of them.
//!
//! Steps are counted as steps done: the first step's event carries 1, the last one's `of`. A checkpoint or an
//! evaluation carries the number of steps done before it. Numbers that are not finite are written as JSON `null` and
//! read back as NaN.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::diagnosis::Diagnosis;
use super::series::{number_or_null, numbers_or_null};
use crate::Result;

/// One thing that happened in training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Training begins or goes on.
    RunStarted(RunStarted),
    /// A step of the optimiser is done, or was skipped.
    Step(Step),
    /// The detector was evaluated.
    Evaluated(Evaluated),
    /// What each image's beta was, and how the complexity estimator did, over an epoch.
    Complexity(Complexity),
    /// The binary layers were looked at.
    Diagnosed(Diagnosis),
    /// Weights and optimiser state are on disk.
    CheckpointSaved {
        /// The file.
        path: PathBuf,
        /// Steps done.
        step: u64,
    },
    /// A fact that is good to know: what was met in the data, what a setting came to.
    Note {
        /// A sentence.
        message: String,
    },
    /// Something is not as it should be; training goes on.
    Warning {
        /// A sentence.
        message: String,
    },
    /// Training is over.
    RunFinished(RunFinished),
}

/// What is known when training begins.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunStarted {
    /// When, in seconds since 1970.
    pub time: f64,
    /// The whole configuration of the run.
    pub config: serde_json::Value,
    /// The adapter's name and backend, or `cpu`.
    pub device: String,
    /// The model's name.
    pub model: String,
    /// Trained parameters.
    pub parameters: u64,
    /// Multiply-adds of one image's forward pass in floats.
    pub float_macs: u64,
    /// Multiply-adds of one image's forward pass that are XNOR and popcount; never added to the float ones.
    pub binary_macs: u64,
    /// Class names.
    pub classes: Vec<String>,
    /// Training images.
    pub images: u64,
    /// Images a step.
    pub batch: u64,
    /// Steps that are planned in all.
    pub steps: u64,
    /// Steps that were done before, where a checkpoint was resumed.
    pub resumed_at: Option<u64>,
    /// This crate's version.
    pub version: String,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Step {
    /// Steps done, with this one.
    pub step: u64,
    /// Steps planned.
    pub of: u64,
    /// Passes over the training set so far, with their fraction.
    pub epoch: f64,
    /// Learning rate of this step.
    #[serde(with = "number_or_null", default = "nan")]
    pub lr: f64,
    /// Loss terms by name, each as it enters the sum, and `total`, their sum.
    #[serde(with = "numbers_or_null")]
    pub losses: BTreeMap<String, f64>,
    /// Training speed since the event before.
    #[serde(with = "number_or_null", default = "nan")]
    pub images_per_second: f64,
    /// Share of the time in 0..=1 in which the device waited for images.
    #[serde(with = "number_or_null", default = "nan")]
    pub wait_share: f64,
    /// Length of the whole gradient, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grad_norm: Option<f64>,
    /// The step was left out, because loss or gradient was not finite.
    #[serde(default)]
    pub skipped: bool,
}

/// The result of an evaluation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Evaluated {
    /// Steps done.
    pub step: u64,
    /// What was computed, e.g. `mAP@0.5, every point`.
    pub metric: String,
    /// Mean average precision in 0..=1.
    #[serde(with = "number_or_null", default = "nan")]
    pub map: f64,
    /// Average precision by class; null where a class has no object.
    #[serde(with = "numbers_or_null")]
    pub per_class: BTreeMap<String, f64>,
    /// Seconds it took.
    #[serde(with = "number_or_null", default = "nan")]
    pub seconds: f64,
}

/// Mean, standard deviation and range of some numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Spread {
    /// The mean.
    #[serde(with = "number_or_null", default = "nan")]
    pub mean: f64,
    /// The standard deviation (of the numbers at hand, not an estimate for others).
    #[serde(with = "number_or_null", default = "nan")]
    pub deviation: f64,
    /// The smallest.
    #[serde(with = "number_or_null", default = "nan")]
    pub low: f64,
    /// The largest.
    #[serde(with = "number_or_null", default = "nan")]
    pub high: f64,
}

impl Spread {
    /// Of some numbers; `None` where there are none.
    pub fn of(v: &[f64]) -> Option<Spread> {
        let (first, n) = (*v.first()?, v.len() as f64);
        let mean = v.iter().sum::<f64>() / n;
        let deviation = (v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        let (low, high) = v.iter().fold((first, first), |(l, h), x| (l.min(*x), h.max(*x)));
        Some(Spread { mean, deviation, low, high })
    }
}

/// The complexity estimator over an epoch: over the steps that were looked at (all on a CPU, every tenth on a GPU).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Complexity {
    /// Steps done.
    pub step: u64,
    /// Passes over the training set so far.
    pub epoch: f64,
    /// s of the images.
    pub s: Spread,
    /// Their beta.
    pub beta: Spread,
    /// Mean absolute difference between image and reconstruction, values from -1 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconstruction: Option<f64>,
    /// Peak signal-to-noise ratio of the reconstructions in dB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psnr: Option<f64>,
    /// Share of images and reconstructions that the discriminator tells apart, before its update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discriminator_accuracy: Option<f64>,
    /// The estimator's losses by name, means.
    #[serde(with = "numbers_or_null", default)]
    pub losses: BTreeMap<String, f64>,
}

/// How training ended.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunFinished {
    /// Steps done.
    pub step: u64,
    /// Seconds of this session, evaluation counted.
    pub seconds: f64,
    /// The last evaluation's mean average precision, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<f64>,
    /// Why it ended before its last step: `interrupted`, for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

impl Event {
    /// Steps done when this happened, where it says so.
    pub fn step(&self) -> Option<u64> {
        match self {
            Event::RunStarted(s) => s.resumed_at,
            Event::Step(s) => Some(s.step),
            Event::Evaluated(e) => Some(e.step),
            Event::Complexity(c) => Some(c.step),
            Event::Diagnosed(d) => Some(d.step),
            Event::CheckpointSaved { step, .. } => Some(*step),
            Event::Note { .. } | Event::Warning { .. } => None,
            Event::RunFinished(f) => Some(f.step),
        }
    }
}

/// Someone who wants to know what happens in training.
pub trait Listener: Send {
    /// Takes note of `event`. An error ends training: what a user asked to be written cannot be.
    fn event(&mut self, event: &Event) -> Result<()>;
}

/// Several listeners as one; they are told in order.
#[derive(Default)]
pub struct Listeners(pub Vec<Box<dyn Listener>>);

impl Listener for Listeners {
    fn event(&mut self, event: &Event) -> Result<()> {
        self.0.iter_mut().try_for_each(|listener| listener.event(event))
    }
}

fn nan() -> f64 {
    f64::NAN
}
