//! How many steps a run has.

use std::time::Instant;

use super::Timetable;
use super::trainer::Trainer;
use crate::weights::collect;
use crate::{Error, Result};

/// Steps measured for `--minutes`, and steps before them that do not count.
const MEASURED: u64 = 6;
const WARM: u64 = 3;
/// Evaluations in a run, the last one too.
const EVALUATIONS: f64 = 11.0;
/// The share of a time budget that is planned for; the rest is for saving and for a machine that gets slower.
const PLANNED: f64 = 0.95;

impl Trainer {
    /// The number of steps of the run, `done` of which were done before. It is written into the configuration, so that a
    /// time budget is measured once, on throw-away steps, and the clock never looked at again.
    pub(super) fn fix_steps(&mut self, begin: Instant, done: u64) -> Result<u64> {
        let t = self.job.config.train.clone();
        let steps = if t.steps > 0 {
            t.steps
        } else if t.epochs > 0.0 {
            ((t.epochs * self.steps_per_epoch() as f64).round() as u64).max(1)
        } else if t.minutes > 0.0 {
            let step = self.measure_step()?;
            let evaluation = self.measure_evaluation()?;
            let budget = t.minutes * 60.0 - begin.elapsed().as_secs_f64() - EVALUATIONS * evaluation;
            let steps = done + ((PLANNED * budget / step) as u64).max(1);
            let minutes = t.minutes;
            self.later.push(format!("{minutes} minutes: a step takes {step:.3} s, so the run has {steps} steps"));
            steps
        } else {
            return Err(Error::config("train.steps", "none given", "Give --steps, --epochs or --minutes."));
        };
        if steps < done {
            return Err(Error::config(
                "--steps or --epochs",
                format!("{steps} steps are asked for, but the run has done {done} already"),
                "The number is the new total; give a larger one, or none to go on as planned.",
            ));
        }
        self.job.config.train.steps = steps;
        Ok(steps)
    }

    /// Seconds of a step. Weights and every other state are spoilt afterwards.
    fn measure_step(&mut self) -> Result<f64> {
        self.first_weights()?;
        let table = Timetable::new(&self.job.config, 1000);
        let mut loader = self.loader(0)?;
        let mut clock = Instant::now();
        for step in 0..WARM + MEASURED {
            self.check_stop()?;
            if step == WARM {
                self.executor.wait()?;
                clock = Instant::now();
            }
            if let Some(batch) = loader.next() {
                // Late enough that the extra terms count, so that they are measured too.
                self.step(&batch?, table.extra_from + step, &table, false, false)?;
            }
        }
        self.executor.wait()?;
        Ok(clock.elapsed().as_secs_f64() / MEASURED as f64)
    }

    /// Seconds of a whole evaluation, from one batch of it.
    fn measure_evaluation(&mut self) -> Result<f64> {
        let (Some(p), Some(test)) = (&mut self.predictor, &self.job.test) else { return Ok(0.0) };
        p.set(collect(self.executor.as_mut())?)?;
        let zeros = vec![0.0; p.batch() * p.detector.preprocess.floats()];
        let n = p.batch();
        p.forward(&zeros, n)?;
        let clock = Instant::now();
        p.forward(&zeros, n)?;
        Ok(clock.elapsed().as_secs_f64() * 1.5 * test.images.len() as f64 / n as f64)
    }
}
