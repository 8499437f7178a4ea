//! Learning rate and extra terms as functions of the step alone.

use crate::config::{Binarization, RunConfig, Schedule};

/// A run's schedule, fixed once its number of steps is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timetable {
    /// Steps of the run.
    pub steps: u64,
    /// Peak learning rate.
    pub peak: f64,
    /// Never `Auto`.
    pub kind: Schedule,
    /// First step at which the extra terms count.
    pub extra_from: u64,
}

/// Where the released code drops the rate by ten, as fractions of its 300,000 steps.
const DROPS: [f64; 3] = [30.0 / 300.0, 80.0 / 300.0, 200.0 / 300.0];

impl Timetable {
    /// The schedule of a configuration for this number of steps.
    pub fn new(config: &RunConfig, steps: u64) -> Timetable {
        let t = &config.train;
        let kind = match t.schedule {
            Schedule::Auto if steps < 20_000 => Schedule::Short,
            Schedule::Auto => Schedule::Paper,
            k => k,
        };
        let float = config.model.method.binarization == Binarization::Float;
        let peak = match (t.lr > 0.0, kind, float) {
            (true, _, _) => t.lr,
            (false, Schedule::Paper | Schedule::Constant, _) => 1e-3,
            (false, _, true) => 2e-3,
            (false, _, false) => 5e-3,
        };
        let from = match (t.extra_terms_from >= 0.0, kind) {
            (true, _) => t.extra_terms_from,
            (false, Schedule::Paper) => DROPS[0],
            (false, Schedule::Constant) => 0.0,
            (false, _) => 0.4,
        };
        Timetable { steps, peak, kind, extra_from: (from * steps as f64).ceil() as u64 }
    }

    /// The learning rate of a 0-based step.
    pub fn lr(&self, step: u64) -> f64 {
        let at = step as f64 / self.steps.max(1) as f64;
        match self.kind {
            Schedule::Constant => self.peak,
            Schedule::Paper => self.peak * 0.1f64.powi(DROPS.iter().filter(|d| at >= **d).count() as i32),
            _ => {
                let warm = (0.02 * self.steps as f64).max(1.0);
                if (step as f64) < warm {
                    return self.peak * (step as f64 + 1.0) / warm.ceil();
                }
                let x = (step as f64 - warm) / (self.steps as f64 - warm).max(1.0);
                self.peak * 0.5 * (1.0 + (std::f64::consts::PI * x.min(1.0)).cos())
            }
        }
    }

    /// Whether the extra terms (information bottleneck, object prior) count at a 0-based step.
    pub fn extra(&self, step: u64) -> bool {
        step >= self.extra_from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_warms_up_and_ends_near_zero() {
        let t = Timetable::new(&RunConfig::default(), 1000);
        assert_eq!(t.kind, Schedule::Short);
        assert!(t.lr(0) < t.lr(19) && t.lr(20) <= 5e-3 && t.lr(999) < 1e-6 * 50.0);
        assert!(!t.extra(399) && t.extra(400));
        assert!((0..1000).all(|s| t.lr(s) > 0.0 || s == 999));
    }

    #[test]
    fn constant_knows_no_number_of_steps() {
        let mut c = RunConfig::default();
        c.train.schedule = Schedule::Constant;
        let (a, b) = (Timetable::new(&c, 7), Timetable::new(&c, 70_000));
        assert!((0..7).all(|s| a.lr(s) == b.lr(s) && a.extra(s) && b.extra(s)));
    }

    #[test]
    fn paper_drops_where_the_released_code_does() {
        let mut c = RunConfig::default();
        c.train.schedule = Schedule::Paper;
        let t = Timetable::new(&c, 300_000);
        for (step, lr) in [(29_999, 1e-3), (30_000, 1e-4), (80_000, 1e-5), (200_000, 1e-6)] {
            assert!((t.lr(step) / lr - 1.0).abs() < 1e-9, "{step}");
        }
        assert_eq!(t.extra_from, 30_000);
    }
}
