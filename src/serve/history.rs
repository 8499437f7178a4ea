//! What a dashboard shows of a run, made from its events one by one, in bounded memory.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::thinned::Thinned;
use crate::report::events::{Evaluated, Event, RunStarted, Step};

/// Curves of a run: loss terms, classes. COCO has eighty classes.
const CURVES: usize = 256;
/// Notes and warnings that are kept; the oldest go first.
const MESSAGES: usize = 60;
/// Points that are sent one by one before the whole is sent anew, thinned: what a client holds is bounded so, too.
const FRESH: usize = 10_000;
/// Characters of a text that a log may bring.
const TEXT: usize = 600;

/// What is drawn together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Group {
    /// Loss terms.
    Loss,
    /// Mean average precision.
    Map,
    /// Average precision of each class.
    Class,
    /// Learning rate.
    Rate,
    /// Images a second.
    Speed,
    /// Length of the gradient.
    Gradient,
    /// s of the images, by the complexity estimator.
    Complexity,
    /// Quality of its reconstructions in dB.
    Psnr,
}

type Name = (Group, String);

/// A curve, or its newest part, as it is sent.
#[derive(Debug, Serialize)]
pub(super) struct Curve {
    group: Group,
    name: String,
    /// (step, value); null where it is not finite.
    points: Vec<(u64, Option<f64>)>,
}

/// A note or a warning.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Message {
    warning: bool,
    /// Steps done when it was last told.
    step: u64,
    text: String,
    /// How often it was told.
    count: u64,
}

/// What a run is doing, as far as its log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// There is no such folder.
    #[default]
    Missing,
    /// The folder has no event yet.
    Waiting,
    /// It has begun, and no end is written.
    Running,
    /// All steps are done.
    Finished,
    /// It ended before its last step; `stopped` says why.
    Stopped,
}

/// Where a run stands.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Status {
    pub state: State,
    stopped: Option<String>,
    model: String,
    data: String,
    device: String,
    parameters: u64,
    images: u64,
    batch: u64,
    classes: u64,
    started: Option<f64>,
    resumed: u64,
    step: u64,
    of: u64,
    epoch: f64,
    skipped: u64,
    /// Steps that the last checkpoint has.
    saved: Option<u64>,
    loss: Option<f64>,
    /// Images a second, the mean of late steps.
    speed: Option<f64>,
    metric: String,
    map: Option<f64>,
    best: Option<(u64, f64)>,
    /// Seconds that are left.
    left: Option<f64>,
    /// Seconds of all sessions that have ended.
    seconds: f64,
    /// Lines of the log that are no event.
    pub unreadable: u64,
    /// The first of them.
    pub first_unreadable: Option<u64>,
}

/// The whole.
#[derive(Debug, Default)]
pub(super) struct History {
    pub status: Status,
    curves: BTreeMap<Name, Thinned>,
    /// Points that came since [`History::fresh`], unless the whole is due.
    new: BTreeMap<Name, Vec<(u64, Option<f64>)>>,
    /// Points that came since [`History::all_is_told`].
    since: usize,
    messages: Vec<Message>,
    new_messages: bool,
    /// Something that was sent does not hold any more: what is sent next must be the whole.
    pub rewritten: bool,
    evaluation: Evaluations,
}

/// How long evaluations take, for the time that is left.
#[derive(Debug, Default)]
struct Evaluations {
    last: u64,
    every: u64,
    seconds: f64,
    count: u64,
}

impl History {
    /// Takes note of an event.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::RunStarted(s) => self.start(&s),
            Event::Step(s) => self.step(s),
            Event::Evaluated(e) => self.evaluated(e),
            Event::Complexity(c) => {
                for (name, value) in [("largest", c.s.high), ("mean", c.s.mean), ("smallest", c.s.low)] {
                    self.point(Group::Complexity, name, c.step, value);
                }
                if let Some(psnr) = c.psnr {
                    self.point(Group::Psnr, "PSNR", c.step, psnr);
                }
            }
            Event::Diagnosed(_) => {}
            Event::CheckpointSaved { step, .. } => self.status.saved = Some(step),
            Event::Note { message } => self.message(false, &message),
            Event::Warning { message } => self.message(true, &message),
            Event::RunFinished(f) => {
                self.status.seconds += f.seconds.max(0.0);
                self.status.state = if f.stopped.is_some() { State::Stopped } else { State::Finished };
                self.status.stopped = f.stopped.map(|s| short_text(&s));
                self.status.step = f.step;
                self.status.left = None;
            }
        }
    }

    fn start(&mut self, s: &RunStarted) {
        let text = |path: &[&str]| {
            let at = path.iter().try_fold(&s.config, |v, key| v.get(*key));
            at.and_then(Value::as_str).map(short_text).unwrap_or_default()
        };
        let done = s.resumed_at.unwrap_or(0);
        if self.curves.values().any(|c| c.points().any(|p| p.0 > done)) {
            self.curves.values_mut().for_each(|c| c.cut(done));
            self.rewritten = true;
        }
        let before = std::mem::take(&mut self.status);
        self.status = Status {
            state: State::Running,
            model: short_text(&s.model),
            data: text(&["data", "path"]),
            device: short_text(&s.device),
            parameters: s.parameters,
            images: s.images,
            batch: s.batch,
            classes: s.classes.len() as u64,
            started: before.started.or_else(|| s.time.is_finite().then_some(s.time)),
            resumed: before.resumed + u64::from(s.resumed_at.is_some()),
            step: done,
            of: s.steps,
            skipped: before.skipped,
            saved: before.saved,
            metric: before.metric,
            map: before.map,
            seconds: before.seconds,
            unreadable: before.unreadable,
            first_unreadable: before.first_unreadable,
            ..Status::default()
        };
        self.status.best = self.best();
    }

    fn step(&mut self, s: Step) {
        for (name, value) in &s.losses {
            self.point(Group::Loss, name, s.step, *value);
        }
        self.point(Group::Rate, "learning rate", s.step, s.lr);
        self.point(Group::Speed, "images/s", s.step, s.images_per_second);
        if let Some(norm) = s.grad_norm {
            self.point(Group::Gradient, "gradient norm", s.step, norm);
        }
        let now = &mut self.status;
        now.state = State::Running;
        (now.step, now.of, now.epoch) = (s.step, s.of, if s.epoch.is_finite() { s.epoch } else { 0.0 });
        now.skipped += u64::from(s.skipped);
        now.loss = s.losses.get("total").and_then(|v| number(*v));
        if let Some(speed) = number(s.images_per_second).filter(|v| *v > 0.0) {
            now.speed = Some(now.speed.map_or(speed, |mean| 0.9 * mean + 0.1 * speed));
        }
        self.status.left = self.left();
    }

    fn evaluated(&mut self, e: Evaluated) {
        self.point(Group::Map, "mAP", e.step, e.map);
        for (name, value) in &e.per_class {
            self.point(Group::Class, name, e.step, *value);
        }
        self.status.metric = short_text(&e.metric);
        self.status.map = number(e.map);
        self.status.best = self.best();
        let all = &mut self.evaluation;
        if e.step > all.last {
            all.every = e.step - all.last;
        }
        all.last = e.step;
        if e.seconds.is_finite() {
            (all.seconds, all.count) = (all.seconds + e.seconds, all.count + 1);
        }
        self.status.left = self.left();
    }

    fn best(&self) -> Option<(u64, f64)> {
        let curve = self.curves.get(&(Group::Map, "mAP".to_string()))?;
        curve.best().map(|(step, v)| (step, number(v).unwrap_or(v)))
    }

    /// Seconds of the steps that are left, and of the evaluations among them.
    fn left(&self) -> Option<f64> {
        let now = &self.status;
        let steps = now.of.saturating_sub(now.step) as f64;
        let training = steps * now.batch as f64 / now.speed?;
        let e = &self.evaluation;
        let evaluations = if e.every > 0 { now.of.saturating_sub(e.last).div_ceil(e.every) } else { 0 };
        Some((training + evaluations as f64 * e.seconds / e.count.max(1) as f64).round())
    }

    fn point(&mut self, group: Group, name: &str, step: u64, value: f64) {
        let key = (group, short_text(name));
        if self.curves.len() >= CURVES && !self.curves.contains_key(&key) {
            return;
        }
        if !self.rewritten {
            self.new.entry(key.clone()).or_default().push((step, number(value)));
        }
        self.since += 1;
        self.rewritten |= self.since > FRESH;
        self.curves.entry(key).or_default().add(step, value);
    }

    fn message(&mut self, warning: bool, text: &str) {
        let (text, step) = (short_text(text), self.status.step);
        self.new_messages = true;
        if let Some(known) = self.messages.iter_mut().find(|m| m.warning == warning && m.text == text) {
            (known.count, known.step) = (known.count + 1, step);
            return;
        }
        if self.messages.len() >= MESSAGES {
            self.messages.remove(0);
        }
        self.messages.push(Message { warning, step, text, count: 1 });
    }

    /// Every curve as it is kept.
    pub fn whole(&self) -> Vec<Curve> {
        let all = self.curves.iter().map(|((group, name), curve)| Curve {
            group: *group,
            name: name.clone(),
            points: curve.points().map(|(step, v)| (step, number(v))).collect(),
        });
        all.collect()
    }

    /// Nothing is fresh any more: everyone has the whole.
    pub fn all_is_told(&mut self) {
        self.new.clear();
        self.since = 0;
        (self.new_messages, self.rewritten) = (false, false);
    }

    /// The points that came since the last message; they are given once.
    pub fn fresh(&mut self) -> Vec<Curve> {
        let new = std::mem::take(&mut self.new);
        new.into_iter().map(|((group, name), points)| Curve { group, name, points }).collect()
    }

    /// All notes and warnings.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The same where something came since they were last asked for so.
    pub fn fresh_messages(&mut self) -> Option<&[Message]> {
        std::mem::take(&mut self.new_messages).then_some(&self.messages[..])
    }
}

/// Six digits, which is more than a screen shows; none where it is not finite.
fn number(v: f64) -> Option<f64> {
    if v.is_finite() { format!("{v:.5e}").parse().ok() } else { None }
}

fn short_text(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::report::events::RunFinished;

    fn step(step: u64, loss: f64) -> Event {
        let losses = [("total".to_string(), loss)].into();
        Event::Step(Step { step, of: 100, losses, images_per_second: 8.0, ..Step::default() })
    }

    #[test]
    fn a_run_is_summed_up() {
        let mut h = History::default();
        h.take(Event::RunStarted(RunStarted { batch: 4, steps: 100, ..Default::default() }));
        (1..=20).for_each(|s| h.take(step(s, 3.0)));
        let e = |step, map| Event::Evaluated(Evaluated { step, map, seconds: 2.0, ..Default::default() });
        h.take(e(10, 0.5));
        h.take(e(20, 0.4));
        assert_eq!((h.status.step, h.status.map, h.status.best), (20, Some(0.4), Some((10, 0.5))));
        // 80 steps of half a second, and eight evaluations of two.
        assert_eq!(h.status.left, Some(56.0));
        assert!(!h.fresh().is_empty() && h.fresh().is_empty());
        h.take(Event::RunFinished(RunFinished { step: 100, ..Default::default() }));
        assert_eq!((h.status.state, h.status.left), (State::Finished, None));
    }

    #[test]
    fn a_resumed_run_forgets_what_was_not_saved() {
        let mut h = History::default();
        h.take(Event::RunStarted(RunStarted::default()));
        (1..=9).for_each(|s| h.take(step(s, s as f64)));
        h.all_is_told();
        h.take(Event::RunStarted(RunStarted { resumed_at: Some(5), ..Default::default() }));
        assert!(h.rewritten && h.status.resumed == 1);
        h.take(step(6, f64::NAN));
        let total = h.whole().into_iter().find(|c| c.name == "total").unwrap().points;
        assert_eq!(total[4..], [(5, Some(5.0)), (6, None)]);
        h.all_is_told();
        assert!(!h.rewritten && h.fresh().is_empty() && h.fresh_messages().is_none());
    }

    #[test]
    fn a_log_cannot_fill_the_memory() {
        let mut h = History::default();
        for i in 0..5000u64 {
            let message = format!("{i} {}", "ä".repeat(2000));
            h.take(Event::Warning { message });
            let losses = [(format!("term {i}"), 1.0)].into();
            h.take(Event::Step(Step { step: i, losses, ..Step::default() }));
        }
        assert_eq!(h.messages().len(), MESSAGES);
        assert!(h.messages().iter().all(|m| m.text.chars().count() <= TEXT + 4));
        assert!(h.rewritten && h.fresh().iter().map(|c| c.points.len()).sum::<usize>() <= FRESH + 1);
        assert!(h.whole().len() <= CURVES);
    }
}
