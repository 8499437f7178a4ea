//! `--minutes`: measured once, then a number of steps like any other.

use autobidet::report::events::Event;
use autobidet::train::RunFolder;

use super::{Session, blind, config, same};

#[test]
fn a_budget_becomes_a_number_of_steps_and_nothing_else() {
    let [a, b] = [(); 2].map(|_| tempfile::tempdir().unwrap());
    let mut c = blind();
    (c.train.epochs, c.train.minutes) = (0.0, 0.05);
    let session = Session { interrupt_at: Some(1), ..Default::default() };
    // On a fast machine the run may be over at its first step.
    let first = session.run(a.path(), &c);
    let fixed = RunFolder::open(a.path()).unwrap().1;
    assert!(fixed.train.steps >= 1 && fixed.train.minutes == 0.05);
    let notes: Vec<_> = session.told.try_iter().filter(|e| matches!(e, Event::Note { .. })).collect();
    assert!(format!("{notes:?}").contains(&format!("so the run has {} steps", fixed.train.steps)), "{notes:?}");
    if first.is_err() {
        assert_eq!(Session::resumed(a.path()).unwrap().step, fixed.train.steps);
        assert_eq!(RunFolder::open(a.path()).unwrap().1.train.steps, fixed.train.steps);
    }
    // The steps that were measured left no trace: a run of so many steps is the same run.
    (c.train.steps, c.train.minutes) = (fixed.train.steps, 0.0);
    Session::default().run(b.path(), &c).unwrap();
    same(a.path(), b.path(), &["last.safetensors"]);
}

#[test]
fn a_short_budget_is_not_spent_on_evaluations() {
    let [a, b] = [(); 2].map(|_| tempfile::tempdir().unwrap());
    let mut c = config();
    // More test images than the budget has time for eleven times.
    (c.train.epochs, c.train.minutes, c.train.eval_every, c.data.scenes_test) = (0.0, 0.1, 0, 60);
    let session = Session::default();
    session.run(a.path(), &c).unwrap();
    let fixed = RunFolder::open(a.path()).unwrap().1.train;
    assert!(fixed.eval_every > 0 && fixed.eval_every <= fixed.steps, "{fixed:?}");
    let events: Vec<_> = session.told.try_iter().collect();
    let seconds: Vec<f64> =
        events.iter().filter_map(|e| if let Event::Evaluated(e) = e { Some(e.seconds) } else { None }).collect();
    assert_eq!(seconds.len() as u64, fixed.steps.div_ceil(fixed.eval_every));
    assert!(seconds.len() < 10, "{seconds:?}");
    // A session that is stopped and resumed evaluates at the same steps, and is the same run.
    (c.train.steps, c.train.minutes, c.train.eval_every) = (fixed.steps, 0.0, fixed.eval_every);
    Session { pause_after: Some(1.0 / 3.0), ..Default::default() }.run(b.path(), &c).unwrap();
    Session::resumed(b.path()).unwrap();
    same(a.path(), b.path(), &["last.safetensors", "best.safetensors"]);
}

#[test]
fn a_budget_on_a_resumed_run_counts_from_now() {
    let dir = tempfile::tempdir().unwrap();
    let mut c = blind();
    (c.train.epochs, c.train.steps) = (0.0, 2);
    Session::default().run(dir.path(), &c).unwrap();
    (c.train.steps, c.train.minutes) = (0, 0.0001);
    let outcome = Session { resume: true, ..Default::default() }.run(dir.path(), &c).unwrap();
    // Measuring spoilt nothing: the optimizer's own count goes on from two.
    assert_eq!((outcome.step, outcome.config.train.steps, outcome.skipped), (3, 3, 0));
}
