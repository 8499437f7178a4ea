//! `autobidet train`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::open::{DeviceArgs, dataset, on_interrupt, tell_notes};
use super::say;
use crate::config::{Method, ModelName, RunConfig, Schedule};
use crate::data::Augment;
use crate::device::Device;
use crate::report::events::Listener;
use crate::report::jsonl::JsonLog;
use crate::report::progress::Progress;
use crate::report::tensorboard::TensorBoard;
use crate::train::{Checkpoint, Job, Outcome, RunFolder, train, write_report};
use crate::{Error, Result};

/// Train a detector on a VOC folder, a COCO json, or the embedded scenes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A VOC folder, a COCO json or its folder, or `scenes`.
    #[arg(long, value_name = "DIR|FILE|scenes")]
    data: Option<String>,
    /// Network: tiny or ssd300-vgg16.
    #[arg(long)]
    model: Option<String>,
    /// Method: float, bireal, bireal+ib, bireal+sop or bidet-sc.
    #[arg(long)]
    method: Option<String>,
    /// Folder of the run; must be new or empty.
    #[arg(long, value_name = "RUN", required_unless_present = "resume")]
    out: Option<PathBuf>,
    /// Go on with this run, from its last checkpoint (or from its configuration, if it has none).
    #[arg(long, value_name = "RUN", conflicts_with_all = ["out", "data", "model", "method", "config", "overwrite"])]
    resume: Option<PathBuf>,
    /// Replace the run in --out.
    #[arg(long)]
    overwrite: bool,
    /// Passes over the training images. With --resume: the new total.
    #[arg(long, group = "length")]
    epochs: Option<f64>,
    /// Optimizer steps. With --resume: the new total.
    #[arg(long, group = "length")]
    steps: Option<u64>,
    /// Time budget: the first steps are measured, then the number of steps is fixed.
    #[arg(long, group = "length")]
    minutes: Option<f64>,
    /// Images a step.
    #[arg(long)]
    batch: Option<u32>,
    /// Images of one forward and backward pass; less memory, batch norm over fewer images.
    #[arg(long)]
    micro_batch: Option<u32>,
    /// Peak learning rate.
    #[arg(long)]
    lr: Option<f64>,
    /// Seed of first weights, data order, augmentation and noise.
    #[arg(long)]
    seed: Option<u32>,
    /// Schedule: auto, short or paper.
    #[arg(long, value_parser = ["auto", "short", "paper"])]
    schedule: Option<String>,
    /// Augmentation: light, ssd or none.
    #[arg(long, value_parser = ["light", "ssd", "none"])]
    augment: Option<String>,
    /// VGG16 weights to start from (safetensors with torchvision's names; ssd300-vgg16 only).
    #[arg(long, value_name = "FILE")]
    backbone: Option<String>,
    /// Training split.
    #[arg(long)]
    train_split: Option<String>,
    /// Split to evaluate on while training; an empty word for none.
    #[arg(long)]
    test_split: Option<String>,
    /// Steps between evaluations.
    #[arg(long)]
    eval_every: Option<u64>,
    /// A TOML file with any setting; flags go first. Every run folder's config.toml is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Args {
    fn config(&self) -> Result<RunConfig> {
        let mut c = match &self.config {
            Some(f) => RunConfig::read(f)?,
            None => RunConfig::default(),
        };
        if let Some(d) = &self.data {
            c.data.path = d.clone();
        } else if self.config.is_none() {
            return Err(Error::config("--data", "is missing", "Give a VOC folder, a COCO json, or the word scenes."));
        }
        if let Some(m) = &self.model {
            c.model.name = m.parse::<ModelName>()?;
        }
        if let Some(m) = &self.method {
            c.model.method = m.parse::<Method>()?;
        }
        if let Some(a) = &self.augment {
            c.data.augment = match a.as_str() {
                "ssd" => Augment::ssd(),
                "none" => Augment::none(),
                _ => Augment::light(),
            };
        }
        if let Some(s) = &self.schedule {
            c.train.schedule = match s.as_str() {
                "short" => Schedule::Short,
                "paper" => Schedule::Paper,
                _ => Schedule::Auto,
            };
        }
        macro_rules! take {
            ($($flag:ident => $key:expr),* $(,)?) => { $(if let Some(v) = &self.$flag { $key = v.clone(); })* };
        }
        take! {
            batch => c.train.batch,
            micro_batch => c.train.micro_batch,
            lr => c.train.lr,
            seed => c.train.seed,
            backbone => c.model.backbone,
            train_split => c.data.train,
            test_split => c.data.test,
            eval_every => c.train.eval_every,
        }
        self.length(&mut c);
        let t = &c.train;
        if t.steps == 0 && t.epochs == 0.0 && t.minutes == 0.0 {
            return Err(Error::config("--epochs", "is missing", "Give --epochs, --steps or --minutes."));
        }
        c.check()?;
        Ok(c)
    }

    fn length(&self, c: &mut RunConfig) {
        let t = &mut c.train;
        match (self.steps, self.epochs, self.minutes) {
            (Some(s), _, _) => (t.steps, t.epochs, t.minutes) = (s, 0.0, 0.0),
            (_, Some(e), _) => (t.steps, t.epochs, t.minutes) = (0, e, 0.0),
            (_, _, Some(m)) => (t.steps, t.epochs, t.minutes) = (0, 0.0, m),
            _ => {}
        }
    }
}

/// Trains.
pub fn run(args: Args) -> Result<()> {
    let (folder, config, resume) = match &args.resume {
        Some(path) => {
            let (folder, mut config) = RunFolder::open(path)?;
            args.length(&mut config);
            config.check()?;
            (folder, config, true)
        }
        None => {
            let config = args.config()?;
            let out = args.out.as_deref().unwrap_or(Path::new("run"));
            (RunFolder::create(out, &config, args.overwrite)?, config, false)
        }
    };
    let device = args.device.open()?;
    let outcome = session(folder.clone(), config, device, resume, on_interrupt()?)?;
    summary(&folder, &outcome);
    Ok(())
}

/// Loads the data, trains, and writes the report.
pub fn session(
    folder: RunFolder,
    config: RunConfig,
    device: Device,
    resume: bool,
    stop: Arc<AtomicBool>,
) -> Result<Outcome> {
    let classes = (!config.model.classes.is_empty()).then(|| config.model.classes.clone());
    let train_set = dataset(&config, &config.data.train, classes.as_deref())?;
    tell_notes(&train_set);
    let test = match config.data.test.as_str() {
        "" => None,
        split => Some(dataset(&config, split, Some(&train_set.classes))?),
    };
    if let Some(t) = &test {
        tell_notes(t);
    }
    say(format!(
        "data: {} ({} training images, {} test images, classes {})",
        train_set.name,
        train_set.images.len(),
        test.as_ref().map_or(0, |t| t.images.len()),
        train_set.classes.join(", ")
    ));
    let log: Box<dyn Listener> = match resume && folder.log().is_file() {
        true => {
            let step = match folder.checkpoint().is_file() {
                true => Checkpoint::open(&folder.checkpoint())?.0.step,
                false => 0,
            };
            Box::new(JsonLog::resume(folder.log(), step)?)
        }
        false => Box::new(JsonLog::create(folder.log())?),
    };
    let listeners: Vec<Box<dyn Listener>> =
        vec![log, Box::new(TensorBoard::create(&folder.0)?), Box::new(Progress::stderr())];
    let job = Job {
        folder: folder.clone(),
        config,
        device,
        train: train_set.clone(),
        test: test.clone(),
        resume,
        stop,
        listeners,
    };
    let outcome = train(job)?;
    write_report(&folder, &outcome, &train_set, test.as_deref())?;
    Ok(outcome)
}

/// Says what came out.
pub fn summary(folder: &RunFolder, o: &Outcome) {
    if let Some((e, _)) = &o.evaluation {
        println!("{e}");
    }
    if let Some((map, step)) = o.best {
        println!("best mAP {map:.3} at step {step} of {}", o.step);
    }
    println!("time     {:.0} s", o.seconds);
    println!("weights  {}", folder.best().display());
    println!("report   {}", folder.report().display());
}
