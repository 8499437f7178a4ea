//! Progress for the person in front of the terminal.
//!
//! On a terminal: one bar that moves, with what stays (evaluations, warnings) above it. Elsewhere (a file, a CI log):
//! a whole line every few seconds. Progress goes to standard error; standard output is for results.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::events::{Event, Listener, Step};
use super::plot::axis::{duration, number};
use crate::Result;

/// Shows training as it goes.
pub struct Progress {
    to: Target,
    /// When the first step of this session was done, and which it was.
    begun: Option<(Instant, u64)>,
}

enum Target {
    Bar(ProgressBar),
    Lines { out: Box<dyn Write + Send>, every: Duration, last: Option<Instant> },
}

impl Progress {
    /// A bar where standard error is a terminal, a line every ten seconds where it is not.
    pub fn stderr() -> Progress {
        if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            Progress { to: Target::Bar(bar), begun: None }
        } else {
            Progress::lines(std::io::stderr(), Duration::from_secs(10))
        }
    }

    /// Lines to `out`, at most one in `every` for steps; the first and the last step always get one.
    pub fn lines(out: impl Write + Send + 'static, every: Duration) -> Progress {
        Progress { to: Target::Lines { out: Box::new(out), every, last: None }, begun: None }
    }

    /// Something that stays.
    fn say(&mut self, text: &str) {
        match &mut self.to {
            Target::Bar(bar) => bar.println(text),
            // A closed pipe must not end training; the log has everything.
            Target::Lines { out, .. } => {
                let _ = writeln!(out, "{text}");
                let _ = out.flush();
            }
        }
    }

    fn step(&mut self, step: &Step) {
        let (begun, first) = *self.begun.get_or_insert((Instant::now(), step.step));
        let done = step.step.saturating_sub(first);
        let left = (done > 0).then(|| {
            let each = begun.elapsed().as_secs_f64() / done as f64;
            each * step.of.saturating_sub(step.step) as f64
        });
        let status = status(step, left);
        match &mut self.to {
            Target::Bar(bar) => {
                if bar.length() != Some(step.of) {
                    bar.set_length(step.of);
                    // The template is ours and constant; the default one is only plainer.
                    if let Ok(style) = ProgressStyle::with_template("{bar:24.cyan/dim} {pos}/{len}  {msg}") {
                        bar.set_style(style.progress_chars("━╸─"));
                    }
                }
                bar.set_position(step.step);
                bar.set_message(status);
            }
            Target::Lines { every, last, .. } => {
                let due = last.is_none_or(|l| l.elapsed() >= *every) || step.step == step.of || step.skipped;
                if due {
                    *last = Some(Instant::now());
                    let share = 100.0 * step.step as f64 / step.of.max(1) as f64;
                    self.say(&format!("step {}/{} ({share:.0} %)  {status}", step.step, step.of));
                }
            }
        }
    }
}

/// `loss 3.21 (box 1.2, class 2.01)  lr 0.001  41 images/s, 3 % waiting  4 min left`
fn status(step: &Step, left: Option<f64>) -> String {
    let terms: Vec<String> =
        step.losses.iter().filter(|l| l.0 != "total").map(|(name, v)| format!("{name} {}", number(*v))).collect();
    let mut text = match step.losses.get("total") {
        Some(total) if terms.len() > 1 => format!("loss {} ({})", number(*total), terms.join(", ")),
        Some(total) => format!("loss {}", number(*total)),
        None => terms.join(", "),
    };
    if step.skipped {
        text += "  SKIPPED";
    }
    text += &format!("  lr {}  {} images/s", number(step.lr), number(step.images_per_second));
    if step.wait_share.is_finite() {
        text += &format!(", {:.0} % waiting", 100.0 * step.wait_share);
    }
    if let Some(left) = left {
        text += &format!("  {} left", duration(left));
    }
    text
}

impl Listener for Progress {
    fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::RunStarted(s) => {
                let again = s.resumed_at.map(|n| format!(", resumed after step {n}")).unwrap_or_default();
                self.say(&format!(
                    "{} on {}: {} parameters, {} float and {} binary multiply-adds an image, {} images, \
                     {} steps of {}{again}",
                    s.model,
                    s.device,
                    number(s.parameters as f64),
                    number(s.float_macs as f64),
                    number(s.binary_macs as f64),
                    s.images,
                    s.steps,
                    s.batch,
                ));
            }
            Event::Step(step) => self.step(step),
            Event::Evaluated(e) => {
                let mut worst: Vec<(&String, &f64)> = e.per_class.iter().filter(|c| c.1.is_finite()).collect();
                worst.sort_by(|a, b| a.1.total_cmp(b.1));
                let worst: Vec<String> = worst.iter().take(3).map(|(name, ap)| format!("{name} {ap:.3}")).collect();
                let of = if worst.is_empty() { String::new() } else { format!("; lowest {}", worst.join(", ")) };
                self.say(&format!("step {}: {} {:.4}{of} ({})", e.step, e.metric, e.map, duration(e.seconds)));
            }
            Event::Diagnosed(d) => d.advice.iter().for_each(|a| self.say(&format!("advice: {a}"))),
            // A line for each would drown the rest.
            Event::CheckpointSaved { .. } | Event::Complexity(_) => {}
            Event::Note { message } => self.say(&format!("note: {message}")),
            Event::Warning { message } => self.say(&format!("warning: {message}")),
            Event::RunFinished(f) => {
                if let Target::Bar(bar) = &self.to {
                    bar.finish_and_clear();
                }
                let map = f.map.map(|m| format!(", mAP {m:.4}")).unwrap_or_default();
                let how = f.stopped.as_deref().map_or("finished".into(), |why| format!("stopped ({why})"));
                self.say(&format!("{how} after step {} in {}{map}", f.step, duration(f.seconds)));
            }
        }
        Ok(())
    }
}
