//! One step, and what is seen of it: losses, speed, values that are not finite.

use std::collections::BTreeMap;
use std::time::Instant;

use super::Timetable;
use super::feed::{Scalars, feed};
use super::targets::Targets;
use super::trainer::{State, Trainer};
use crate::data::Batch;
use crate::ops::activation_census;
use crate::report::events::{Event, Step};
use crate::{Error, Result};

/// A GPU is not made to wait for the host at every step: it is asked this often. (A program on the CPU does not mind.)
const ASKED_EVERY: u64 = 10;
/// After a skipped step every step is looked at, for so many steps, so that the next one is named.
const SUSPICIOUS: u64 = 100;

/// What the last look at the device told.
pub(super) struct Watch {
    /// When, and after which step.
    last: (Instant, u64),
    /// The step after which skipped ones were last counted.
    counted: u64,
    /// Until which step every step is looked at.
    every_until: u64,
}

impl Watch {
    pub(super) fn new(step: u64) -> Watch {
        Watch { last: (Instant::now(), step), counted: step, every_until: step + 3 }
    }

    /// Leaves time that went into something else out of the training speed.
    pub(super) fn forget_time(&mut self, step: u64) {
        self.last = (Instant::now(), step);
    }

    /// Whether step number `step` (1 is the first) of `of` is looked at.
    pub(super) fn due(&self, step: u64, of: u64, hardware: bool) -> bool {
        !hardware || step.is_multiple_of(ASKED_EVERY) || step == of || step <= self.every_until
    }
}

impl Trainer {
    /// One optimizer step on a batch. With `watched` the loss terms come back, unweighted, each the mean over the
    /// micro-batches. With `looked` the last micro-batch's maps are counted, for [`super::diagnose`].
    pub(super) fn step(
        &mut self,
        batch: &Batch<Targets>,
        step: u64,
        table: &Timetable,
        watched: bool,
        looked: bool,
    ) -> Result<Vec<f32>> {
        let images = self.executor.plan().batch as usize;
        let parts = batch.targets.len() / images;
        let mut scalars = Scalars {
            gradient_scale: 1.0 / parts as f32,
            beta_ready: step >= self.warm_up(table.steps),
            ..Scalars::of_step(&self.job.config, &self.net, table, step)
        };
        let one = self.detector.preprocess.floats();
        let mut losses = vec![0.0; self.net.losses.len()];
        for part in 0..parts {
            scalars.step = (step as u32).wrapping_mul(parts as u32).wrapping_add(part as u32);
            let pixels = &batch.images[part * images * one..][..images * one];
            let targets = &batch.targets[part * images..(part + 1) * images];
            feed(self.executor.as_mut(), &self.net, &scalars, pixels, targets)?;
            if part == 0 {
                self.executor.run(&["clear"])?;
            }
            let last = part + 1 == parts;
            let mut segments = self.net.segments(last).to_vec();
            if last && looked {
                segments.push(activation_census::SEGMENT);
            }
            self.executor.run(&segments)?;
            if watched {
                for (sum, (_, tensor)) in losses.iter_mut().zip(&self.net.losses) {
                    *sum += self.executor.read_f32(*tensor)?[0] / parts as f32;
                }
            }
        }
        Ok(losses)
    }

    /// Tells what the step left, and looks for steps that were skipped.
    pub(super) fn after_step(
        &mut self,
        state: &mut State,
        watch: &mut Watch,
        table: &Timetable,
        terms: &[f32],
        wait_share: f64,
    ) -> Result<()> {
        let step = state.step - 1;
        let t = &self.job.config.train;
        let losses = self.net.weighted(terms, &Scalars::of_step(&self.job.config, &self.net, table, step));
        let now = Instant::now();
        let speed =
            ((state.step - watch.last.1) * t.batch as u64) as f64 / (now - watch.last.0).as_secs_f64().max(1e-9);
        watch.last = (now, state.step);
        let norm = self.executor.read_f32(self.net.norm.norm)?[0];
        let applied = self.executor.read(self.net.norm.gate)?[0] == 1;
        let skipped = self.skipped(state.step)?.saturating_sub(state.skipped);
        let since = state.step - std::mem::replace(&mut watch.counted, state.step);
        self.tell(Event::Step(Step {
            step: state.step,
            of: state.steps,
            epoch: state.step as f64 / self.steps_per_epoch() as f64,
            lr: table.lr(step),
            losses: losses.clone(),
            images_per_second: speed,
            wait_share,
            grad_norm: Some(norm as f64),
            skipped: !applied,
        }))?;
        if skipped == 0 {
            state.in_a_row = 0;
            return Ok(());
        }
        state.skipped += skipped;
        state.in_a_row = match (applied, skipped == since) {
            (true, _) => 0,
            (false, true) => state.in_a_row + skipped,
            (false, false) => 1,
        };
        watch.every_until = state.step + SUSPICIOUS;
        let what = if applied { None } else { Some(self.not_finite(&losses)?) };
        let message = match (&what, skipped) {
            (Some(w), 1) => format!("step {} was skipped: not finite: {w}", state.step),
            (Some(w), n) => {
                format!("{n} of the last {since} steps were skipped: not finite: at step {} {w}", state.step)
            }
            (None, n) => format!("{n} of the last {since} steps were skipped: loss or gradient was not finite"),
        };
        self.tell(Event::Warning { message })?;
        match what {
            Some(what) if state.in_a_row >= self.job.config.train.max_skipped as u64 => {
                let checkpoint = self.job.folder.checkpoint();
                let kept = match checkpoint.is_file() {
                    true => format!("The last good checkpoint is kept in {}.", checkpoint.display()),
                    false => "There is no checkpoint yet.".to_string(),
                };
                Err(Error::Diverged {
                    step,
                    problem: format!("{} steps in a row were not finite: {what}", state.in_a_row),
                    remedy: format!("{kept} Try a lower --lr or a larger --batch."),
                })
            }
            _ => Ok(()),
        }
    }

    /// Steps of the run that changed nothing because something was not finite: the optimizer counts those that did.
    pub(super) fn skipped(&mut self, step: u64) -> Result<u64> {
        Ok(step.saturating_sub(self.executor.read(self.net.optimizer.step)?[0] as u64))
    }

    /// What is not finite in the last step: loss terms, and gradients. What is not finite spreads from a layer to all
    /// before it, so the last parameter of the network's order is the one to look at.
    fn not_finite(&mut self, losses: &BTreeMap<String, f64>) -> Result<String> {
        let terms = losses.iter().filter(|(n, v)| !v.is_finite() && *n != "total").map(|(n, _)| format!("loss {n}"));
        let mut bad: Vec<String> = terms.collect();
        let squares = self.executor.read_f32(self.net.norm.squares)?;
        let layers: Vec<&String> =
            squares.iter().zip(&self.names).filter(|(v, _)| !v.is_finite()).map(|(_, n)| n).collect();
        match layers.as_slice() {
            [] => {}
            [one] => bad.push(format!("gradient of {one}")),
            [before @ .., last] => bad.push(format!("gradient of {last} and of {} parameters before it", before.len())),
        }
        Ok(if bad.is_empty() { "the gradient's norm".to_string() } else { bad.join(", ") })
    }
}
