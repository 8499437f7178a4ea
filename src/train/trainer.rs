//! The training loop. What happens is told as [`Event`]s; the loop knows none of its listeners.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::budget::EVALUATIONS;
use super::checkpoint::{Checkpoint, Moments, VERSION};
use super::complexity::ComplexityWatch;
use super::diagnose::{Looks, Moment};
use super::feed::first_weights;
use super::latest::save_latest;
use super::network::{TrainNetwork, training_plan};
use super::step::Watch;
use super::targets::{Targets, targets};
use super::{RunFolder, Timetable};
use crate::config::{ModelConfig, RunConfig};
use crate::data::{Dataset, Loader, LoaderOptions, Note};
use crate::detect::Detection;
use crate::detect::decode::DecodeOptions;
use crate::detect::matching::Matcher;
use crate::device::Device;
use crate::eval::{EvalOptions, Evaluation, candidates, evaluate};
use crate::models::complexity::is_estimator;
use crate::models::{DETECTOR, Detector};
use crate::plan::{Executor, Plan};
use crate::predict::{Predictor, VARIANCES};
use crate::report::events::{Evaluated, Event, Listener, RunFinished, RunStarted};
use crate::weights::{FileTensor, WeightFile, collect, load_vgg16};
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
    /// Ends this session after so many epochs of the run, saved, to be resumed. The run's plan is not touched, so what
    /// comes out in the end is what one session would give, bit for bit.
    pub pause_after: Option<f64>,
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

pub(super) struct Trainer {
    pub(super) job: Job,
    pub(super) detector: Detector,
    pub(super) executor: Box<dyn Executor>,
    pub(super) net: TrainNetwork,
    moments: Vec<Moments>,
    matcher: Arc<Matcher>,
    pub(super) predictor: Option<Predictor>,
    /// Learned parameters in the order of their gradients' norms.
    pub(super) names: Vec<String>,
    /// What is seen of the complexity estimator.
    pub(super) complexity: ComplexityWatch,
    /// Notes to be told when the run has begun.
    pub(super) later: Vec<String>,
    /// Kinds of notes that were told, with their split: each is told once.
    told: BTreeSet<String>,
}

/// What evaluations while training compute.
pub const METRIC: &str = "mAP@0.5, every point";

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
    if job.config.model.category_ids.is_empty() {
        job.config.model.category_ids = job.train.category_ids.clone();
    }
    job.config.model.priors = job.config.model.prior_set().to_string();
    let detector = Detector::new(&job.config.model)?;
    let t = &job.config.train;
    let images = if t.micro_batch == 0 { t.batch } else { t.micro_batch };
    let (plan, net) = training_plan(&detector, &job.config, job.device.limits(), images)?;
    let moments = moments(&plan, &net);
    let names = plan
        .params
        .iter()
        .filter(|p| p.learned && p.group == DETECTOR)
        .map(|p| plan.info(p.tensor).name.clone())
        .collect();
    let executor = job.device.executor(Arc::new(plan))?;
    let predictor = match &job.test {
        Some(_) => Some(Predictor::new(detector.clone(), &job.device, images.min(8) as usize)?),
        None => None,
    };
    let matcher = Arc::new(Matcher::new(&detector.priors, 0.5, VARIANCES));
    let (later, told, complexity) = (Vec::new(), BTreeSet::new(), ComplexityWatch::default());
    Trainer { job, detector, executor, net, moments, matcher, predictor, names, complexity, later, told }.run()
}

/// The optimizers' moments with the slabs whose layout they have.
fn moments(plan: &Plan, net: &TrainNetwork) -> Vec<Moments> {
    let mut out = Vec::new();
    for (optimizer, slabs) in net.optimizers() {
        for t in &optimizer.moments {
            let name = &plan.info(*t).name;
            let kind = ["adam.m", "adam.v", "sgd.momentum"].into_iter().find(|k| name.starts_with(&format!("{k}.")));
            let slab = slabs.iter().enumerate().find(|(k, _)| name.ends_with(&format!(".{k}")));
            if let (Some(kind), Some((_, slab))) = (kind, slab) {
                out.push((kind, slab.clone(), *t));
            }
        }
    }
    out
}

type Weights = BTreeMap<String, FileTensor>;

/// The detector's tensors and the complexity estimator's: what detects must not need what was only there to train.
pub(super) fn detector_and_estimator(all: Weights) -> (Weights, Weights) {
    all.into_iter().partition(|(name, _)| !is_estimator(name))
}

/// Where a session stands.
pub(super) struct State {
    pub(super) step: u64,
    pub(super) steps: u64,
    best: Option<(f64, u64)>,
    evaluated: Option<u64>,
    saved: Option<u64>,
    pub(super) skipped: u64,
    pub(super) in_a_row: u64,
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
        let mut state = State {
            step: 0,
            steps: 0,
            best: None,
            evaluated: None,
            saved: None,
            skipped: 0,
            in_a_row: 0,
            seconds_before: 0.0,
            begin,
        };
        let checkpoint = match self.job.resume && self.job.folder.checkpoint().is_file() {
            true => Some(Checkpoint::open(&self.job.folder.checkpoint())?),
            false => None,
        };
        state.steps = self.fix_steps(begin, checkpoint.as_ref().map_or(0, |(c, _)| c.step))?;
        let resumed = match checkpoint {
            Some((c, file)) => {
                Checkpoint::restore(&file, self.executor.as_mut(), &self.moments)?;
                (state.step, state.best, state.evaluated, state.saved) = (c.step, c.best, c.evaluated, Some(c.step));
                (state.skipped, state.in_a_row, state.seconds_before) = (c.skipped, c.in_a_row, c.seconds);
                self.look_for_changes(&c)?;
                Some(c.step)
            }
            None => {
                self.first_weights()?;
                None
            }
        };
        let mut loader = self.loader(state.step)?;
        self.job.folder.save_config(&self.job.config)?;
        let table = Timetable::new(&self.job.config, state.steps);
        self.begin(&state, resumed)?;

        let t = &self.job.config.train;
        let or = |n: u64, default: u64| if n == 0 { default } else { n };
        let eval_every = or(t.eval_every, state.steps.div_ceil(EVALUATIONS).max(1));
        let save_every = or(t.checkpoint_every, eval_every);
        let per_epoch = self.steps_per_epoch();
        let pause = self.job.pause_after.map(|e| ((e * per_epoch as f64).round() as u64).max(1));
        let hardware = self.job.device.is_hardware();
        let mut evaluation = None;
        let mut watch = Watch::new(state.step);
        let every = t.diagnose_every;
        let mut looks = Looks::begin(self.executor.as_mut(), every, state.step, state.steps, per_epoch)?;
        let mut unmatched = 0;
        let stopped = loop {
            let end = state.step >= state.steps;
            let due = |every: u64| end || (state.step > 0 && state.step.is_multiple_of(every));
            let (due_eval, due_save) = (due(eval_every), due(save_every));
            let mut changed = state.saved != Some(state.step);
            // A run that is at its end when it is resumed is evaluated again, for its report.
            if self.job.test.is_some()
                && due_eval
                && (state.evaluated != Some(state.step) || (end && evaluation.is_none()))
            {
                evaluation = match self.evaluate(&mut state) {
                    Err(Error::Interrupted) => break Some("interrupted"),
                    other => other?,
                };
                changed = true;
                watch.forget_time(state.step);
            }
            if due_save && changed {
                self.save(&mut state)?;
            }
            if end {
                break None;
            }
            if self.job.stop.load(Ordering::Relaxed) {
                break Some("interrupted");
            }
            if pause.is_some_and(|p| state.step >= p) {
                break Some("paused");
            }
            let Some(batch) = loader.next() else { break None };
            let batch = batch?;
            unmatched += batch.targets.iter().map(|t| t.skipped).sum::<usize>();
            let watched = watch.due(state.step + 1, state.steps, hardware);
            let looked = looks.due(state.step + 1, state.steps);
            let terms = self.step(&batch, state.step, &table, watched, looked)?;
            state.step += 1;
            if watched {
                self.complexity.look(self.executor.as_mut(), &self.net)?;
                self.after_step(&mut state, &mut watch, &table, &terms, loader.wait_share())?;
            }
            if state.step.is_multiple_of(per_epoch) || state.step == state.steps {
                self.tell_complexity(state.step, state.steps)?;
            }
            if looked {
                self.look(&mut looks, &state)?;
                watch.forget_time(state.step);
            }
            if state.step.is_multiple_of(per_epoch) {
                // Every image was seen once: nothing new is met later, but for the few that an epoch leaves out.
                self.tell_notes(&self.job.train.split.clone(), &loader.notes())?;
            }
        };
        if stopped.is_some() && state.saved != Some(state.step) {
            self.save(&mut state)?;
        }
        self.tell_notes(&self.job.train.split.clone(), &loader.notes())?;
        if unmatched > 0 {
            let message =
                format!("{unmatched} boxes of this session matched no prior and were left out of the targets");
            self.tell(Event::Note { message })?;
        }
        self.finished(&state, evaluation.as_ref().and_then(|(e, _)| e.map), stopped)?;
        if stopped == Some("interrupted") {
            return Err(Error::Interrupted);
        }
        let mut notes = self.job.train.notes.clone();
        notes.extend(loader.notes());
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

    /// Tells how the run begins and what was met so far.
    fn begin(&mut self, state: &State, resumed_at: Option<u64>) -> Result<()> {
        let (float_macs, binary_macs) = self.cost();
        self.tell(Event::RunStarted(RunStarted {
            time: std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64()),
            config: serde_json::to_value(&self.job.config).unwrap_or_default(),
            device: self.executor.device_name(),
            model: self.detector.name(),
            parameters: self.executor.plan().layers.iter().filter(|l| !l.aside).map(|l| l.params).sum(),
            float_macs,
            binary_macs,
            classes: self.detector.config.classes.clone(),
            images: self.job.train.images.len() as u64,
            batch: self.job.config.train.batch as u64,
            steps: state.steps,
            resumed_at,
            version: env!("CARGO_PKG_VERSION").to_string(),
        }))?;
        let recipe = self.job.config.recipe().filter(|_| resumed_at.is_none());
        for message in recipe.into_iter().chain(std::mem::take(&mut self.later)) {
            self.tell(Event::Note { message })?;
        }
        for set in [Some(self.job.train.clone()), self.job.test.clone()].into_iter().flatten() {
            self.tell_notes(&set.split, &set.notes)?;
        }
        Ok(())
    }

    /// Tells notes of a split, each kind once in a session.
    fn tell_notes(&mut self, split: &str, notes: &[Note]) -> Result<()> {
        for n in notes {
            if self.told.insert(format!("{split}: {}", n.what)) {
                self.tell(Event::Note { message: format!("{split}: {n}") })?;
            }
        }
        Ok(())
    }

    /// Warns where the configuration is not the one that the checkpoint was made with, the number of steps and what
    /// never changes results apart.
    fn look_for_changes(&mut self, c: &Checkpoint) -> Result<()> {
        let Ok(mut before) = toml::from_str::<RunConfig>(&c.config) else { return Ok(()) };
        let now = &self.job.config;
        before.train.diagnose_every = now.train.diagnose_every;
        (before.train.steps, before.train.epochs, before.train.minutes) =
            (now.train.steps, now.train.epochs, now.train.minutes);
        (before.data.threads, before.data.cache_mb) = (now.data.threads, now.data.cache_mb);
        (before.data.path, before.train.checkpoint_every) = (now.data.path.clone(), now.train.checkpoint_every);
        if now.train.minutes > 0.0 {
            before.train.eval_every = now.train.eval_every;
        }
        if before != *now {
            let (before, now) = (before.to_toml()?, now.to_toml()?);
            let changed: Vec<&str> = now.lines().filter(|l| !before.lines().any(|b| b == *l)).collect();
            self.later.push(format!(
                "the configuration was changed since step {} ({}): what follows is not what one session would give",
                c.step,
                changed.join("; ")
            ));
        }
        Ok(())
    }

    /// [`Error::Interrupted`] after Ctrl-C.
    pub(super) fn check_stop(&self) -> Result<()> {
        if self.job.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Whole batches in the training images.
    pub(super) fn steps_per_epoch(&self) -> u64 {
        (self.job.train.images.len() as u64 / self.job.config.train.batch as u64).max(1)
    }

    fn cost(&self) -> (u64, u64) {
        let plan = self.executor.plan();
        let sum =
            |f: fn(&crate::plan::Cost) -> u64| plan.layers.iter().filter(|l| !l.aside).map(|l| f(&l.cost)).sum::<u64>();
        (sum(|c| c.macs) / plan.batch as u64, sum(|c| c.binary_macs) / plan.batch as u64)
    }

    pub(super) fn tell(&mut self, event: Event) -> Result<()> {
        self.job.listeners.iter_mut().try_for_each(|l| l.event(&event))
    }

    /// First weights from the seed, then the backbone's where one is given.
    pub(super) fn first_weights(&mut self) -> Result<()> {
        first_weights(self.executor.as_mut(), self.job.config.train.seed)?;
        let backbone = self.job.config.model.backbone.clone();
        if !backbone.is_empty() {
            let file = WeightFile::read(backbone.as_ref())?;
            let taken = load_vgg16(self.executor.as_mut(), &file)?;
            let rest = match taken.iter().any(|n| n.starts_with("features.33.")) {
                true => "fc6 and fc7 too",
                false => "fc6 and fc7 start from the seed",
            };
            let (n, all) = (taken.len(), file.tensors.len());
            let names = [taken.first(), taken.last()].map(|n| n.map_or("", |n| n.as_str())).join(" to ");
            let message = format!("backbone: {n} of the {all} tensors of {backbone} were taken, {names}; {rest}");
            if !self.later.contains(&message) {
                self.later.push(message);
            }
        }
        Ok(())
    }

    pub(super) fn loader(&self, step: u64) -> Result<Loader<Targets>> {
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

    fn evaluate(&mut self, state: &mut State) -> Result<Option<(Evaluation, Vec<Vec<Detection>>)>> {
        let (Some(p), Some(test)) = (&mut self.predictor, &self.job.test) else { return Ok(None) };
        let clock = Instant::now();
        let (weights, _) = detector_and_estimator(collect(self.executor.as_mut())?);
        p.set(weights.clone())?;
        let (stop, threads) = (self.job.stop.clone(), self.job.config.data.threads);
        let found = p.dataset(test, &DecodeOptions::default(), threads, |_, _| {
            if stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
        })?;
        let evaluation = evaluate(test, &candidates(&found.detections), &EvalOptions::default())?;
        let split = test.split.clone();
        save_latest(&self.job.folder, test, &found.detections)?;
        state.evaluated = Some(state.step);
        // Without an object in the test split there is no mAP, and no best one.
        if let Some(map) = evaluation.map.filter(|map| state.best.is_none_or(|(b, _)| *map > b)) {
            state.best = Some((map, state.step));
            self.weight_file(weights, state.step).write(&self.job.folder.best())?;
        }
        self.tell_notes(&split, &found.notes)?;
        if let Some(first) = found.not_finite.first() {
            let n = found.not_finite.len();
            let message = format!("the network gives values that are not finite for {n} test images ({first}, ...)");
            self.tell(Event::Warning { message })?;
        }
        let map = evaluation.map.unwrap_or(f64::NAN);
        self.tell(Event::Evaluated(Evaluated {
            step: state.step,
            metric: METRIC.to_string(),
            map,
            per_class: evaluation.classes.iter().map(|c| (c.name.clone(), c.ap.unwrap_or(f64::NAN))).collect(),
            seconds: clock.elapsed().as_secs_f64(),
        }))?;
        Ok(Some((evaluation, found.detections)))
    }

    /// Looks at the binary layers and tells what was found.
    fn look(&mut self, looks: &mut Looks, state: &State) -> Result<()> {
        let t = &self.job.config.train;
        let at = Moment {
            step: state.step,
            of: state.steps,
            per_epoch: self.steps_per_epoch(),
            squares: self.net.norm.squares,
            gradient_scale: self.executor.plan().batch as f64 / t.batch as f64,
        };
        let found = looks.look(self.executor.as_mut(), &at)?;
        self.tell(Event::Diagnosed(found))
    }

    /// A file of weights alone. Its metadata holds nothing that differs between equal runs: no time, no path.
    fn weight_file(&self, tensors: Weights, step: u64) -> WeightFile {
        let model = ModelConfig { backbone: String::new(), ..self.job.config.model.clone() };
        let metadata = serde_json::json!({ "step": step, "model": model }).to_string();
        WeightFile { tensors, metadata, ..Default::default() }
    }

    /// Saves the weights alone, then the checkpoint: it is what says that a step is saved, so that a run that is killed in
    /// between makes the step again, and with it the files that follow from it.
    fn save(&mut self, state: &mut State) -> Result<()> {
        state.saved = Some(state.step);
        let c = Checkpoint {
            version: VERSION,
            step: state.step,
            steps: state.steps,
            best: state.best,
            evaluated: state.evaluated,
            skipped: self.skipped(state.step)?,
            in_a_row: state.in_a_row,
            seconds: state.seconds(),
            config: self.job.config.to_toml()?,
        };
        let (weights, estimator) = detector_and_estimator(collect(self.executor.as_mut())?);
        self.weight_file(weights, state.step).write(&self.job.folder.last())?;
        if !estimator.is_empty() {
            self.weight_file(estimator, state.step).write(&self.job.folder.estimator())?;
            self.save_reconstructions()?;
        }
        let path = self.job.folder.checkpoint();
        c.save(&path, self.executor.as_mut(), &self.moments)?;
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
