//! How many steps a run has.

use std::time::Instant;

use super::Timetable;
use super::trainer::{Trainer, detector_and_estimator};
use crate::weights::collect;
use crate::{Error, Result};

/// Steps measured for `--minutes`, and steps before them that do not count; fewer where they would take more than
/// [`MEASURING`] of the budget.
const MEASURED: u64 = 6;
const WARM: u64 = 3;
/// The share of a time budget that measuring may take, if one step fits in it.
const MEASURING: f64 = 0.1;
/// Evaluations in a run, the last one too, where there is time for so many.
pub(super) const EVALUATIONS: u64 = 10;
/// The share of a time budget that evaluations may take, if one fits in it.
const EVALUATING: f64 = 0.2;
/// The share of a time budget that is planned for; the rest is for saving and for a machine that gets slower.
const PLANNED: f64 = 0.95;
/// The share of it that goes into training in any case.
const TRAINING: f64 = 0.5;

/// What a time budget is spent on.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Plan {
    steps: u64,
    /// Steps between evaluations.
    eval_every: u64,
    /// Whether it takes longer than the budget, because one evaluation is most of it.
    over: bool,
}

/// Plans a budget (what is left of it), all in seconds. Where `eval_every` is 0, evaluations are as many as fit into their
/// share, from one to [`EVALUATIONS`], at equal distances; else they are due as told.
fn plan(budget: f64, step: f64, evaluation: f64, eval_every: u64) -> Plan {
    let (budget, step) = ((PLANNED * budget).max(0.0), step.max(1e-9));
    let counted = |seconds: f64, step: f64| ((seconds / step) as u64).max(1);
    if eval_every > 0 {
        // The last one is due whatever the number of steps.
        let left = (budget - evaluation).max(TRAINING * budget);
        let steps = counted(left, step + evaluation / eval_every as f64);
        return Plan { steps, eval_every, over: steps as f64 * step + evaluation > budget.max(step + evaluation) };
    }
    let evaluations = match evaluation > 0.0 {
        true => ((EVALUATING * budget / evaluation) as u64).clamp(1, EVALUATIONS),
        false => EVALUATIONS,
    };
    let left = budget - evaluations as f64 * evaluation;
    let steps = counted(left.max(TRAINING * budget), step);
    Plan { steps, eval_every: steps.div_ceil(evaluations), over: left < TRAINING * budget }
}

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
            let seconds = t.minutes * 60.0;
            let step = self.measure_step(MEASURING * seconds)?;
            let evaluation = self.measure_evaluation()?;
            let p = plan(seconds - begin.elapsed().as_secs_f64(), step, evaluation, t.eval_every);
            let (minutes, steps) = (t.minutes, done + p.steps);
            let mut message = format!("{minutes} minutes: a step takes {step:.3} s, so the run has {steps} steps");
            if self.job.test.is_some() {
                self.job.config.train.eval_every = p.eval_every;
                message += &format!(", an evaluation {evaluation:.1} s, so there is one every {} steps", p.eval_every);
            }
            if p.over {
                message += "; one evaluation is most of the budget, so it will take longer";
            }
            self.later.push(message);
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

    /// Seconds of a step, from as many as fit into `seconds`. Weights and every other state are spoilt afterwards.
    fn measure_step(&mut self, seconds: f64) -> Result<f64> {
        self.first_weights()?;
        let table = Timetable::new(&self.job.config, 1000);
        let mut loader = self.loader(0)?;
        let mut run = |trainer: &mut Trainer, steps: std::ops::Range<u64>| -> Result<f64> {
            let clock = Instant::now();
            for step in steps {
                trainer.check_stop()?;
                if let Some(batch) = loader.next() {
                    // Late enough that the extra terms count, so that they are measured too.
                    trainer.step(&batch?, table.extra_from + step, &table, false, false)?;
                }
            }
            trainer.executor.wait()?;
            Ok(clock.elapsed().as_secs_f64())
        };
        // The first one also makes pipelines and waits for the first images.
        let first = run(self, 0..1)?;
        let more = ((seconds / first.max(1e-9)) as u64).saturating_sub(1);
        let (warm, measured) = match more {
            0 => return Ok(first),
            n if n >= WARM - 1 + MEASURED => (WARM - 1, MEASURED),
            n => (n / 3, n - n / 3),
        };
        run(self, 1..1 + warm)?;
        Ok(run(self, 1 + warm..1 + warm + measured)? / measured as f64)
    }

    /// Seconds of a whole evaluation, from one batch of it.
    fn measure_evaluation(&mut self) -> Result<f64> {
        let (Some(p), Some(test)) = (&mut self.predictor, &self.job.test) else { return Ok(0.0) };
        p.set(detector_and_estimator(collect(self.executor.as_mut())?).0)?;
        let zeros = vec![0.0; p.batch() * p.detector.preprocess.floats()];
        let n = p.batch();
        p.forward(&zeros, n)?;
        let clock = Instant::now();
        p.forward(&zeros, n)?;
        Ok(clock.elapsed().as_secs_f64() * 1.5 * test.images.len() as f64 / n as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of training and of evaluations.
    fn spent(p: Plan, step: f64, evaluation: f64) -> (f64, f64) {
        (p.steps as f64 * step, p.steps.div_ceil(p.eval_every) as f64 * evaluation)
    }

    #[test]
    fn evaluations_take_a_fifth_at_most() {
        // Fast and slow machines, short and long budgets.
        for budget in [5.0, 30.0, 180.0, 3600.0] {
            for step in [0.01, 0.3, 2.0] {
                for evaluation in [0.05, 0.9, 4.0, 30.0] {
                    let p = plan(budget, step, evaluation, 0);
                    let (training, evaluating) = spent(p, step, evaluation);
                    assert!(training + step >= 0.45 * budget, "{budget} {step} {evaluation}: {p:?}");
                    let one = evaluating == evaluation;
                    assert!(one || evaluating <= 0.2 * budget, "{budget} {step} {evaluation}: {p:?}");
                    let all = training + evaluating;
                    assert_eq!(
                        all > budget && evaluation > 0.4 * budget,
                        p.over,
                        "{budget} {step} {evaluation}: {p:?}"
                    );
                }
            }
        }
        // Half a minute at two seconds an evaluation: eleven of them would have been most of it.
        assert_eq!(plan(30.0, 0.5, 2.0, 0), Plan { steps: 49, eval_every: 25, over: false });
        // Where there is time, ten.
        assert_eq!(plan(3600.0, 0.342, 1.0, 0), Plan { steps: 9970, eval_every: 997, over: false });
        assert_eq!(plan(10.0, 0.125, 0.0, 0), Plan { steps: 76, eval_every: 8, over: false });
    }

    #[test]
    fn evaluations_that_were_told_are_counted() {
        let p = plan(100.0, 1.0, 1.0, 5);
        assert_eq!((p.eval_every, p.over), (5, false));
        let (training, evaluating) = spent(p, 1.0, 1.0);
        assert!(training + evaluating <= 95.0 && training + evaluating > 90.0, "{p:?}");
        assert_eq!(plan(-3.0, 1.0, 1.0, 0).steps, 1);
        assert_eq!(plan(-3.0, 1.0, 1.0, 7).steps, 1);
    }
}
