//! The training loop. What happens is told as [`Event`]s; the loop knows none of its listeners.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::checkpoint::{Checkpoint, Moments, VERSION};
use super::feed::{Scalars, feed, first_weights};
use super::network::{TrainNetwork, training_plan};
use super::targets::{Targets, targets};
use super::{RunFolder, Timetable};
use crate::config::RunConfig;
use crate::data::{Batch, Dataset, Loader, LoaderOptions};
use crate::detect::Detection;
use crate::detect::decode::DecodeOptions;
use crate::detect::matching::Matcher;
use crate::device::Device;
use crate::eval::{EvalOptions, Evaluation, candidates, evaluate};
use crate::models::Detector;
use crate::plan::{Executor, Plan};
use crate::predict::{Predictor, VARIANCES};
use crate::report::events::{Evaluated, Event, Listener, RunFinished, RunStarted, Step};
use crate::weights::{WeightFile, collect, load_vgg16};
use crate::{Error, Result};

/// What training needs beside the configuration.
pub struct Job {
    /// Where the run is kept.
    pub folder: RunFolder,
    /// The configuration; classes and steps are filled in and saved.
    pub config: RunConfig,
    /// Where it runs.
    pub device: Device,
    /// Training images.
    pub train: Arc<Dataset>,
    /// Test images, if it is to be evaluated.
    pub test: Option<Arc<Dataset>>,
    /// Whether to go on from the folder's checkpoint.
    pub resume: bool,
    /// Set by Ctrl-C: the run is saved and ends.
    pub stop: Arc<AtomicBool>,
    /// Who is told.
    pub listeners: Vec<Box<dyn Listener>>,
}

/// How a run ended.
pub struct Outcome {
    /// The configuration as saved.
    pub config: RunConfig,
    /// Steps done.
    pub step: u64,
    /// Seconds of training and evaluation, all sessions.
    pub seconds: f64,
    /// Steps that were skipped because something was not finite.
    pub skipped: u64,
    /// The last evaluation and its detections, where there is a test set.
    pub evaluation: Option<(Evaluation, Vec<Vec<Detection>>)>,
    /// Best mAP and its step.
    pub best: Option<(f64, u64)>,
    /// The plan that was run.
    pub plan: Plan,
    /// What was met in the data.
    pub notes: Vec<crate::data::Note>,
}

struct Trainer {
    job: Job,
    detector: Detector,
    executor: Box<dyn Executor>,
    net: TrainNetwork,
    moments: Vec<Moments>,
    matcher: Arc<Matcher>,
    predictor: Option<Predictor>,
    names: Vec<String>,
}

/// What evaluations while training compute.
pub const METRIC: &str = "mAP@0.5, every point";

/// Steps measured for `--minutes`, and steps before them that do not count.
const MEASURED: u64 = 6;
const WARM: u64 = 3;

/// Trains.
///
/// # Errors
/// Impossible settings, unusable data, a device that fails, a full disk; [`Error::Diverged`] when too many steps in a
/// row were not finite; [`Error::Interrupted`] after Ctrl-C, when everything is saved.
pub fn train(mut job: Job) -> Result<Outcome> {
    job.config.check()?;
    if job.config.model.classes.is_empty() {
        job.config.model.classes = job.train.classes.clone();
    }
    if job.config.model.classes != job.train.classes {
        return Err(Error::data(
            &job.train.root,
            format!("has the classes {:?}, the model {:?}", job.train.classes, job.config.model.classes),
            "Train a new model on it.",
        ));
    }
    let detector = Detector::new(&job.config.model)?;
    let t = &job.config.train;
    let images = if t.micro_batch == 0 { t.batch } else { t.micro_batch };
    let (plan, net) = training_plan(&detector, &job.config, job.device.limits(), images)?;
    let moments = moments(&plan, &net);
    let names = plan.params.iter().filter(|p| p.learned).map(|p| plan.info(p.tensor).name.clone()).collect();
    let executor = job.device.executor(Arc::new(plan))?;
    let predictor = match &job.test {
        Some(_) => Some(Predictor::new(detector.clone(), &job.device, images.min(8) as usize)?),
        None => None,
    };
    let matcher = Arc::new(Matcher::new(&detector.priors, 0.5, VARIANCES));
    Trainer { job, detector, executor, net, moments, matcher, predictor, names }.run()
}

/// The optimizer's moments with the slabs whose layout they have.
fn moments(plan: &Plan, net: &TrainNetwork) -> Vec<Moments> {
    let kinds: &[&'static str] = match net.optimizer.moments.first().map(|t| plan.info(*t).name.as_str()) {
        Some(n) if n.starts_with("adam.") => &["adam.m", "adam.v"],
        _ => &["sgd.momentum"],
    };
    let mut out = Vec::new();
    for t in &net.optimizer.moments {
        let name = &plan.info(*t).name;
        let kind = kinds.iter().find(|k| name.starts_with(**k));
        let slab = net.slabs.iter().enumerate().find(|(k, _)| name.ends_with(&format!(".{k}")));
        if let (Some(kind), Some((_, slab))) = (kind, slab) {
            out.push((*kind, slab.clone(), *t));
        }
    }
    out
}

/// Where a session stands.
struct State {
    step: u64,
    steps: u64,
    best: Option<(f64, u64)>,
    skipped: u64,
    in_a_row: u32,
    seconds_before: f64,
    begin: Instant,
}

impl State {
    fn seconds(&self) -> f64 {
        self.seconds_before + self.begin.elapsed().as_secs_f64()
    }
}

impl Trainer {
    fn run(mut self) -> Result<Outcome> {
        let begin = Instant::now();
        let mut state = State { step: 0, steps: 0, best: None, skipped: 0, in_a_row: 0, seconds_before: 0.0, begin };
        let mut resumed = None;
        self.first_weights()?;
        if self.job.resume && self.job.folder.checkpoint().is_file() {
            let (c, file) = Checkpoint::open(&self.job.folder.checkpoint())?;
            Checkpoint::restore(&file, self.executor.as_mut(), &self.moments)?;
            (state.step, state.best, state.skipped, state.seconds_before) = (c.step, c.best, c.skipped, c.seconds);
            resumed = Some(c.step);
        }
        state.steps = self.fix_steps(begin)?;
        self.job.folder.save_config(&self.job.config)?;
        let table = Timetable::new(&self.job.config, state.steps);
        let cost = self.cost();
        let started = RunStarted {
            time: std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64()),
            config: serde_json::to_value(&self.job.config).unwrap_or_default(),
            device: self.executor.device_name(),
            model: self.detector.name(),
            parameters: self.executor.plan().layers.iter().map(|l| l.params).sum(),
            float_macs: cost.0,
            binary_macs: cost.1,
            classes: self.detector.config.classes.clone(),
            images: self.job.train.images.len() as u64,
            batch: self.job.config.train.batch as u64,
            steps: state.steps,
            resumed_at: resumed,
            version: env!("CARGO_PKG_VERSION").to_string(),
        };
        self.tell(Event::RunStarted(started))?;
        for n in self.job.train.notes.clone() {
            self.tell(Event::Warning { message: format!("{} ({}x)", n.what, n.count) })?;
        }

        let eval_every = match self.job.config.train.eval_every {
            0 => state.steps.div_ceil(10).max(1),
            n => n,
        };
        let save_every = match self.job.config.train.checkpoint_every {
            0 => eval_every,
            n => n,
        };
        let mut loader = self.loader(state.step)?;
        let mut evaluation = None;
        let mut last = (Instant::now(), state.step);
        while state.step < state.steps {
            if self.job.stop.load(Ordering::Relaxed) {
                self.save(&state)?;
                self.finished(&state, None, Some("interrupted"))?;
                return Err(Error::Interrupted);
            }
            let Some(batch) = loader.next() else { break };
            let batch = batch?;
            let step = state.step;
            self.step(&batch, step, &table)?;
            state.step += 1;
            self.after_step(&mut state, &table, &batch, loader.wait_share(), &mut last)?;
            let end = state.step == state.steps;
            if self.job.test.is_some() && (end || state.step.is_multiple_of(eval_every)) {
                evaluation = self.evaluate(&mut state)?;
                last = (Instant::now(), state.step);
            }
            if end || state.step.is_multiple_of(save_every) {
                self.save(&state)?;
            }
        }
        if evaluation.is_none() && self.job.test.is_some() {
            evaluation = self.evaluate(&mut state)?;
        }
        let mut notes = self.job.train.notes.clone();
        notes.extend(loader.notes());
        self.finished(&state, evaluation.as_ref().and_then(|(e, _)| e.map), None)?;
        Ok(Outcome {
            config: self.job.config,
            step: state.step,
            seconds: state.seconds(),
            skipped: state.skipped,
            evaluation,
            best: state.best,
            plan: self.executor.plan().clone(),
            notes,
        })
    }

    fn cost(&self) -> (u64, u64) {
        let plan = self.executor.plan();
        let sum = |f: fn(&crate::plan::Cost) -> u64| plan.layers.iter().map(|l| f(&l.cost)).sum::<u64>();
        (sum(|c| c.macs) / plan.batch as u64, sum(|c| c.binary_macs) / plan.batch as u64)
    }

    fn tell(&mut self, event: Event) -> Result<()> {
        self.job.listeners.iter_mut().try_for_each(|l| l.event(&event))
    }

    /// First weights from the seed, then the backbone's where one is given.
    fn first_weights(&mut self) -> Result<()> {
        first_weights(self.executor.as_mut(), &self.net, self.job.config.train.seed)?;
        let backbone = self.job.config.model.backbone.clone();
        if !backbone.is_empty() {
            let file = WeightFile::read(backbone.as_ref())?;
            let n = load_vgg16(self.executor.as_mut(), &file)?;
            self.tell(Event::Warning { message: format!("{n} tensors of the backbone were taken from {backbone}") })?;
        }
        Ok(())
    }

    fn loader(&self, step: u64) -> Result<Loader<Targets>> {
        let c = &self.job.config;
        let options = LoaderOptions {
            batch: c.train.batch as usize,
            threads: c.data.threads,
            cache_mb: c.data.cache_mb,
            seed: c.train.seed as u64,
            ..Default::default()
        };
        let (matcher, classes) = (self.matcher.clone(), self.detector.config.classes.len());
        let closure = move |s: &crate::data::Sample<'_>| targets(&matcher, classes, s);
        let (data, preprocess) = (self.job.train.clone(), self.detector.preprocess);
        Loader::train(data, preprocess, c.data.augment.clone(), options, step, closure)
    }

    /// The number of steps; from a time budget it is measured once, on throw-away steps, and written down.
    fn fix_steps(&mut self, begin: Instant) -> Result<u64> {
        let t = self.job.config.train.clone();
        let per_epoch = (self.job.train.images.len() as u64 / t.batch as u64).max(1);
        let steps = if t.steps > 0 {
            t.steps
        } else if t.epochs > 0.0 {
            ((t.epochs * per_epoch as f64).round() as u64).max(1)
        } else if t.minutes > 0.0 {
            let table = Timetable::new(&self.job.config, 1000);
            let mut loader = self.loader(0)?;
            let mut clock = Instant::now();
            for step in 0..WARM + MEASURED {
                if step == WARM {
                    self.executor.wait()?;
                    clock = Instant::now();
                }
                if let Some(batch) = loader.next() {
                    // Late enough that the extra terms count, so that they are measured too.
                    self.step(&batch?, table.extra_from + step, &table)?;
                }
            }
            self.executor.wait()?;
            let step_seconds = clock.elapsed().as_secs_f64() / MEASURED as f64;
            let evaluation = self.measure_evaluation()?;
            drop(loader);
            self.first_weights()?;
            let budget = t.minutes * 60.0 - begin.elapsed().as_secs_f64() - 11.0 * evaluation;
            let steps = ((0.95 * budget / step_seconds) as u64).max(1);
            self.tell(Event::Warning {
                message: format!(
                    "{:.1} minutes: a step takes {step_seconds:.3} s, so the run has {steps} steps",
                    t.minutes
                ),
            })?;
            steps
        } else {
            return Err(Error::config("train.steps", "none given", "Give --steps, --epochs or --minutes."));
        };
        self.job.config.train.steps = steps;
        Ok(steps)
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

    fn step(&mut self, batch: &Batch<Targets>, step: u64, table: &Timetable) -> Result<()> {
        let t = &self.job.config.train;
        let images = self.executor.plan().batch as usize;
        let parts = batch.targets.len() / images;
        let extra = table.extra(step);
        let mut scalars = Scalars {
            lr: table.lr(step) as f32,
            ib_weight: if extra { t.ib_weight } else { 0.0 },
            sop_weight: if extra { t.sop_weight } else { 0.0 },
            clip_norm: t.clip_norm,
            noise: t.location_noise,
            seed: t.seed,
            step: 0,
            gradient_scale: 1.0 / parts as f32,
        };
        let one = self.detector.preprocess.floats();
        for part in 0..parts {
            scalars.step = (step as u32).wrapping_mul(parts as u32).wrapping_add(part as u32);
            let pixels = &batch.images[part * images * one..][..images * one];
            let targets = &batch.targets[part * images..(part + 1) * images];
            feed(self.executor.as_mut(), &self.net, &scalars, pixels, targets)?;
            if part == 0 {
                self.executor.run(&["clear"])?;
            }
            let last = part + 1 == parts;
            self.executor.run(if last { &["forward", "backward", "update"] } else { &["forward", "backward"] })?;
        }
        Ok(())
    }

    /// Reads what the step left, tells it, and watches for values that are not finite.
    fn after_step(
        &mut self,
        state: &mut State,
        table: &Timetable,
        batch: &Batch<Targets>,
        wait_share: f64,
        last: &mut (Instant, u64),
    ) -> Result<()> {
        // A GPU is not made to wait for the host every step; a program on the CPU does not mind.
        let every = if self.job.device.is_hardware() { 10 } else { 1 };
        if !state.step.is_multiple_of(every) && state.step != state.steps && state.step > 3 {
            return Ok(());
        }
        let step = state.step - 1;
        let t = &self.job.config.train;
        let extra = table.extra(step);
        let mut losses = BTreeMap::new();
        for (name, tensor) in &self.net.losses {
            let weight = match *name {
                "ib" => {
                    if extra {
                        t.ib_weight
                    } else {
                        0.0
                    }
                }
                "sop" => {
                    if extra {
                        t.sop_weight
                    } else {
                        0.0
                    }
                }
                _ => 1.0,
            };
            let v = self.executor.read_f32(*tensor)?[0];
            losses.insert(name.to_string(), (weight * v) as f64);
        }
        losses.insert("total".to_string(), losses.values().sum());
        let applied = self.executor.read(self.net.norm.gate)?[0] == 1;
        let norm = self.executor.read_f32(self.net.norm.norm)?[0];
        let now = Instant::now();
        let images = (state.step - last.1) as f64 * batch.targets.len() as f64;
        let speed = images / (now - last.0).as_secs_f64().max(1e-9);
        *last = (now, state.step);
        let per_epoch = (self.job.train.images.len() as u64 / t.batch as u64).max(1);
        let event = Step {
            step: state.step,
            of: state.steps,
            epoch: state.step as f64 / per_epoch as f64,
            lr: table.lr(step),
            losses: losses.clone(),
            images_per_second: speed,
            wait_share,
            grad_norm: Some(norm as f64),
            skipped: !applied,
        };
        self.tell(Event::Step(event))?;
        if applied {
            state.in_a_row = 0;
            return Ok(());
        }
        state.skipped += 1;
        state.in_a_row += 1;
        let bad: Vec<String> =
            losses.iter().filter(|(_, v)| !v.is_finite()).map(|(n, _)| format!("loss {n}")).collect();
        let squares = self.executor.read_f32(self.net.norm.squares)?;
        let layers = squares.iter().zip(&self.names).filter(|(v, _)| !v.is_finite());
        let bad: Vec<String> = bad.into_iter().chain(layers.map(|(_, n)| format!("gradient of {n}")).take(3)).collect();
        let what = if bad.is_empty() { "the gradient's norm".to_string() } else { bad.join(", ") };
        self.tell(Event::Warning { message: format!("step {} was skipped: not finite: {what}", state.step) })?;
        if state.in_a_row >= self.job.config.train.max_skipped {
            return Err(Error::Diverged {
                step,
                problem: format!("{} steps in a row were not finite: {what}", state.in_a_row),
                remedy: format!(
                    "The last good checkpoint is kept in {}. Try a lower --lr or a larger --batch.",
                    self.job.folder.checkpoint().display()
                ),
            });
        }
        Ok(())
    }

    fn evaluate(&mut self, state: &mut State) -> Result<Option<(Evaluation, Vec<Vec<Detection>>)>> {
        let (Some(p), Some(test)) = (&mut self.predictor, &self.job.test) else { return Ok(None) };
        let clock = Instant::now();
        let weights = collect(self.executor.as_mut())?;
        p.set(weights.clone())?;
        let found = p.dataset(test, &DecodeOptions::default(), self.job.config.data.threads, |_, _| {})?;
        let evaluation = evaluate(test, &candidates(&found), &EvalOptions::default())?;
        let map = evaluation.map.unwrap_or(f64::NAN);
        if state.best.is_none_or(|(b, _)| map > b) {
            state.best = Some((map, state.step));
            self.weight_file(weights, state.step).write(&self.job.folder.best())?;
        }
        self.tell(Event::Evaluated(Evaluated {
            step: state.step,
            metric: METRIC.to_string(),
            map,
            per_class: evaluation.classes.iter().map(|c| (c.name.clone(), c.ap.unwrap_or(f64::NAN))).collect(),
            seconds: clock.elapsed().as_secs_f64(),
        }))?;
        Ok(Some((evaluation, found)))
    }

    /// A file of weights alone. Its metadata holds nothing that differs between equal runs.
    fn weight_file(&self, tensors: BTreeMap<String, crate::weights::FileTensor>, step: u64) -> WeightFile {
        let metadata = serde_json::json!({ "step": step, "model": self.job.config.model }).to_string();
        WeightFile { tensors, metadata, ..Default::default() }
    }

    fn save(&mut self, state: &State) -> Result<()> {
        let c = Checkpoint {
            version: VERSION,
            step: state.step,
            steps: state.steps,
            best: state.best,
            skipped: state.skipped,
            seconds: state.seconds(),
            config: self.job.config.to_toml()?,
        };
        let path = self.job.folder.checkpoint();
        c.save(&path, self.executor.as_mut(), &self.moments)?;
        let weights = collect(self.executor.as_mut())?;
        self.weight_file(weights, state.step).write(&self.job.folder.last())?;
        self.tell(Event::CheckpointSaved { path, step: state.step })
    }

    fn finished(&mut self, state: &State, map: Option<f64>, stopped: Option<&str>) -> Result<()> {
        self.tell(Event::RunFinished(RunFinished {
            step: state.step,
            seconds: state.begin.elapsed().as_secs_f64(),
            map,
            stopped: stopped.map(str::to_string),
        }))
    }
}
