//! A run's log as curves and facts, for the report and for comparing runs.

use std::collections::BTreeMap;
use std::path::Path;

use super::diagnosis::Diagnosis;
use super::events::{Complexity, Event, RunFinished, RunStarted};
use super::jsonl::read_events;
use super::series::Curve;
use crate::Result;

/// What a log holds, as curves over steps done. Where a step is logged twice (a run was resumed), the later one counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunLog {
    /// How the run began (the first session).
    pub started: Option<RunStarted>,
    /// How it ended (the last session), where it did.
    pub finished: Option<RunFinished>,
    /// How many times it was resumed.
    pub resumed: usize,
    /// One curve a loss term, `total` first, then by name.
    pub losses: Vec<Curve>,
    /// Learning rate.
    pub learning_rate: Curve,
    /// Images a second.
    pub images_per_second: Curve,
    /// Share of the time in 0..=1 spent waiting for images.
    pub wait_share: Curve,
    /// Length of the gradient, at the steps where it was measured.
    pub grad_norm: Curve,
    /// Mean average precision at each evaluation.
    pub map: Curve,
    /// Average precision at each evaluation, one curve a class.
    pub per_class: Vec<Curve>,
    /// What was evaluated, e.g. `mAP@0.5, every point`.
    pub metric: Option<String>,
    /// What the complexity estimator did, an entry an epoch.
    pub complexity: Vec<Complexity>,
    /// Steps that were skipped.
    pub skipped: u64,
    /// Seconds spent in evaluation.
    pub evaluation_seconds: f64,
    /// Seconds of all finished sessions.
    pub seconds: f64,
    /// Looks at the binary layers, in the order of their steps.
    pub diagnoses: Vec<Diagnosis>,
    /// Warnings, in order, with how often each was given.
    pub warnings: Vec<(String, usize)>,
    /// Last step done.
    pub last_step: u64,
    /// Steps planned.
    pub of: u64,
}

/// Reads a log; see [`read_events`] for errors.
pub fn read_log(path: impl AsRef<Path>) -> Result<RunLog> {
    Ok(RunLog::from_events(read_events(path)?))
}

impl RunLog {
    /// The same from events.
    pub fn from_events(events: impl IntoIterator<Item = Event>) -> RunLog {
        let mut log = RunLog::default();
        // By step, so that a repeated step replaces the earlier one and x is in order.
        let mut losses: BTreeMap<String, BTreeMap<u64, f64>> = BTreeMap::new();
        let mut classes: BTreeMap<String, BTreeMap<u64, f64>> = BTreeMap::new();
        let [mut rate, mut speed, mut wait, mut norm, mut map] = [const { BTreeMap::new() }; 5];
        let mut skipped = BTreeMap::new();
        let mut diagnoses = BTreeMap::new();
        for event in events {
            match event {
                Event::RunStarted(started) => {
                    log.resumed += usize::from(started.resumed_at.is_some());
                    log.of = started.steps;
                    log.started.get_or_insert(started);
                    log.finished = None;
                }
                Event::Step(step) => {
                    let at = step.step;
                    for (name, value) in step.losses {
                        losses.entry(name).or_default().insert(at, value);
                    }
                    rate.insert(at, step.lr);
                    speed.insert(at, step.images_per_second);
                    wait.insert(at, step.wait_share);
                    step.grad_norm.map(|n| norm.insert(at, n));
                    skipped.insert(at, step.skipped);
                    (log.last_step, log.of) = (at, step.of);
                }
                Event::Evaluated(e) => {
                    map.insert(e.step, e.map);
                    for (name, value) in e.per_class {
                        classes.entry(name).or_default().insert(e.step, value);
                    }
                    log.metric = Some(e.metric);
                    log.evaluation_seconds += if e.seconds.is_finite() { e.seconds } else { 0.0 };
                }
                Event::Complexity(c) => {
                    log.complexity.retain(|k| k.step < c.step);
                    log.complexity.push(c);
                }
                Event::Diagnosed(d) => {
                    diagnoses.insert(d.step, d);
                }
                Event::CheckpointSaved { .. } | Event::Note { .. } => {}
                Event::Warning { message } => match log.warnings.iter_mut().find(|w| w.0 == message) {
                    Some(warning) => warning.1 += 1,
                    None => log.warnings.push((message, 1)),
                },
                Event::RunFinished(finished) => {
                    log.seconds += finished.seconds;
                    log.finished = Some(finished);
                }
            }
        }
        let curve = |name: &str, points: BTreeMap<u64, f64>| {
            Curve::new(name, points.into_iter().map(|(x, y)| (x as f64, y)).collect())
        };
        log.losses.extend(losses.remove("total").map(|points| curve("total", points)));
        log.losses.extend(losses.into_iter().map(|(name, points)| curve(&name, points)));
        log.per_class = classes.into_iter().map(|(name, points)| curve(&name, points)).collect();
        log.learning_rate = curve("learning rate", rate);
        log.images_per_second = curve("images/s", speed);
        log.wait_share = curve("waiting for data", wait);
        log.grad_norm = curve("gradient norm", norm);
        log.map = curve("mAP", map);
        log.diagnoses = diagnoses.into_values().collect();
        log.skipped = skipped.values().filter(|s| **s).count() as u64;
        log
    }
}
