//! `autobidet train`

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::open::{DeviceArgs, dataset, on_interrupt, tell_notes};
use super::say;
use crate::config::{Method, ModelName, RunConfig, Schedule};
use crate::data::{Augment, Dataset};
use crate::device::Device;
use crate::report::events::Listener;
use crate::report::progress::Progress;
use crate::report::tensorboard::TensorBoard;
use crate::train::{Job, Outcome, RunFolder, train, write_report};
use crate::{Error, Result};

/// Settings that belong to a run from its beginning, and cannot change when it is resumed.
const FIXED: [&str; 15] = [
    "out",
    "model",
    "method",
    "config",
    "overwrite",
    "batch",
    "micro_batch",
    "keep_maps",
    "lr",
    "seed",
    "schedule",
    "augment",
    "priors",
    "backbone",
    "train_split",
];

/// Train a detector on a VOC folder, a COCO json, or the embedded scenes.
///
/// RUN/config.toml holds every setting, checkpoint.safetensors the whole state, last.safetensors and best.safetensors
/// weights alone, log.jsonl and events.out.tfevents.* the course, report.html the report. A run that was stopped (Ctrl-C, a
/// kill, --pause-after) and is resumed gives, bit for bit, what it would have given without the stop. A larger --epochs or
/// --steps with --resume makes the run longer: the schedule is made anew for the new total.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A VOC folder, a COCO json or its folder, or `scenes`. With --resume: where the data are now.
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
    #[arg(long, value_name = "RUN", conflicts_with_all = FIXED)]
    resume: Option<PathBuf>,
    /// End this session, saved, when the run has done so many epochs; --resume goes on as planned.
    #[arg(long, value_name = "EPOCHS")]
    pause_after: Option<f64>,
    /// Replace the run in --out.
    #[arg(long)]
    overwrite: bool,
    /// Passes over the training images. With --resume: the new total.
    #[arg(long, group = "length")]
    epochs: Option<f64>,
    /// Optimizer steps. With --resume: the new total.
    #[arg(long, group = "length")]
    steps: Option<u64>,
    /// Time budget: the first steps are measured, then the number of steps is fixed. With --resume: from now on.
    #[arg(long, group = "length")]
    minutes: Option<f64>,
    /// Images a step [default: 16; for ssd300-vgg16 SSD's own 32].
    #[arg(long)]
    batch: Option<u32>,
    /// Images of one forward and backward pass; less memory, batch norm over fewer images.
    #[arg(long)]
    micro_batch: Option<u32>,
    /// Keep every map for the backward pass rather than compute some again: more memory, a little less time, the same result.
    #[arg(long)]
    keep_maps: bool,
    /// Peak learning rate.
    #[arg(long)]
    lr: Option<f64>,
    /// Seed of first weights, data order, augmentation and noise.
    #[arg(long)]
    seed: Option<u32>,
    /// Schedule: auto (short under 20,000 steps, else paper), short (warm-up and cosine), paper (drops by ten), constant.
    #[arg(long, value_parser = ["auto", "short", "paper", "constant"])]
    schedule: Option<String>,
    /// Augmentation: light, ssd or none [default: light; for ssd300-vgg16 ssd].
    #[arg(long, value_parser = ["light", "ssd", "none"])]
    augment: Option<String>,
    /// Prior boxes of ssd300-vgg16: voc or coco [default: coco for COCO's eighty classes, else voc].
    #[arg(long, value_parser = ["voc", "coco"])]
    priors: Option<String>,
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
    /// Threads that decode and augment; 0: as many as cores. Never changes results.
    #[arg(long)]
    threads: Option<usize>,
    /// A TOML file with any setting; flags go first. Every run folder's config.toml is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Args {
    fn config(&self) -> Result<RunConfig> {
        let (mut c, given) = match &self.config {
            Some(f) => RunConfig::read_given(f)?,
            None => Default::default(),
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
        c.take_recipe(|key| given.has(key));
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
                "constant" => Schedule::Constant,
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
            priors => c.model.priors,
            backbone => c.model.backbone,
            train_split => c.data.train,
            test_split => c.data.test,
            eval_every => c.train.eval_every,
            threads => c.data.threads,
        }
        c.train.recompute &= !self.keep_maps;
        if c.data.path != "scenes" {
            absolute(&mut c.data.path);
        }
        absolute(&mut c.model.backbone);
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

/// Makes a path absolute; an empty one stays empty, and so does one in a folder whose name is no text.
pub fn absolute(path: &mut String) {
    if let Some(full) = std::path::absolute(&*path).ok().and_then(|p| p.to_str().map(str::to_string)) {
        *path = full;
    }
}

/// Where a session begins.
pub enum Start {
    /// A new run in this folder, in the place of the one that is there if `overwrite`.
    New {
        /// The folder.
        path: PathBuf,
        /// Whether a run there is replaced.
        overwrite: bool,
    },
    /// A new run in the first free folder `<base>-<n>`.
    Numbered {
        /// The folder that holds them.
        parent: PathBuf,
        /// Their name.
        base: &'static str,
    },
    /// The run in this folder goes on.
    Resume(RunFolder),
}

/// Trains.
pub fn run(args: Args) -> Result<()> {
    if args.pause_after.is_some_and(|e| e.is_nan() || e <= 0.0) {
        return Err(Error::config("--pause-after", "is not a number of epochs", "Give a number over 0."));
    }
    let (start, config) = match &args.resume {
        Some(path) => {
            let (folder, mut config) = RunFolder::open(path)?;
            args.length(&mut config);
            if let Some(d) = &args.data {
                config.data.path = d.clone();
                if d != "scenes" {
                    absolute(&mut config.data.path);
                }
            }
            config.data.test = args.test_split.clone().unwrap_or(config.data.test);
            config.data.threads = args.threads.unwrap_or(config.data.threads);
            config.train.eval_every = args.eval_every.unwrap_or(config.train.eval_every);
            config.check()?;
            (Start::Resume(folder), config)
        }
        None => {
            let config = args.config()?;
            let path = args.out.clone().unwrap_or_else(|| PathBuf::from("run"));
            RunFolder::vacant(&path, args.overwrite)?;
            (Start::New { path, overwrite: args.overwrite }, config)
        }
    };
    let device = args.device.open()?;
    let (folder, outcome) = session(start, config, device, args.pause_after, on_interrupt()?)?;
    summary(&folder, &outcome);
    Ok(())
}

/// Loads the data, makes or opens the folder, trains, and writes the report.
pub fn session(
    start: Start,
    config: RunConfig,
    device: Device,
    pause_after: Option<f64>,
    stop: Arc<AtomicBool>,
) -> Result<(RunFolder, Outcome)> {
    let classes = (!config.model.classes.is_empty()).then(|| config.model.classes.clone());
    let train_set = dataset(&config, &config.data.train, classes.as_deref())?;
    let test = match config.data.test.as_str() {
        "" => None,
        split => Some(dataset(&config, split, Some(&train_set.classes))?),
    };
    say(format!(
        "data: {} ({} training images, {} test images, classes {})",
        train_set.name,
        train_set.images.len(),
        test.as_ref().map_or(0, |t| t.images.len()),
        train_set.classes.join(", ")
    ));
    trainable(&train_set, config.train.batch)?;
    let resume = matches!(start, Start::Resume(_));
    let folder = match start {
        Start::New { path, overwrite } => RunFolder::create(&path, &config, overwrite)?,
        Start::Numbered { parent, base } => RunFolder::numbered(&parent, base, &config)?,
        Start::Resume(folder) => folder,
    };
    let _lock = folder.lock()?;
    let listeners: Vec<Box<dyn Listener>> = vec![
        Box::new(folder.open_log(resume)?),
        Box::new(TensorBoard::create(&folder.0)?),
        Box::new(Progress::stderr()),
    ];
    let job = Job {
        folder: folder.clone(),
        config,
        device,
        train: train_set.clone(),
        test: test.clone(),
        resume,
        pause_after,
        stop,
        listeners,
    };
    let outcome = train(job).inspect_err(|e| {
        if matches!(e, Error::Interrupted) {
            go_on(&folder);
        }
    })?;
    write_report(&folder, &outcome, &train_set, test.as_deref())?;
    Ok((folder, outcome))
}

/// What the loader would find out, before a folder is made for the run.
pub fn trainable(set: &Dataset, batch: u32) -> Result<()> {
    if set.images.len() < batch as usize {
        return Err(Error::config(
            "--batch",
            format!("is {batch}, but there are {} training images", set.images.len()),
            "Give a smaller batch or more images.",
        ));
    }
    if !set.images.iter().flat_map(|i| &i.objects).any(|o| o.target && !o.difficult && !o.crowd) {
        tell_notes(&set.notes);
        return Err(Error::data(
            &set.root,
            format!("split `{}` has no box that can be a target in any of its {} images", set.split, set.images.len()),
            "Annotate objects, or choose the split that has annotations; the notes above say what was left out.",
        ));
    }
    Ok(())
}

fn go_on(folder: &RunFolder) {
    say(format!("the run goes on with: autobidet train --resume {}", folder.0.display()));
}

/// Says what came out.
pub fn summary(folder: &RunFolder, o: &Outcome) {
    if let Some((e, _)) = &o.evaluation {
        println!("{e}");
    }
    if let Some((map, step)) = o.best {
        let split = &o.config.data.test;
        println!(
            "best mAP {map:.3} at step {step} of {} (chosen on {split} itself: no unbiased figure)",
            o.config.train.steps
        );
    }
    println!("time     {:.0} s", o.seconds);
    let weights = if o.best.is_some() { folder.best() } else { folder.last() };
    println!("weights  {}", weights.display());
    println!("report   {}", folder.report().display());
    if o.step < o.config.train.steps {
        go_on(folder);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn config(file: &str, flags: &[&str]) -> Option<RunConfig> {
        let dir = tempfile::tempdir().ok()?;
        let path = dir.path().join("given.toml");
        std::fs::write(&path, file).ok()?;
        let base = ["train", "--out", "x", "--steps", "1", "--data", "scenes", "--config"];
        let line = base.iter().copied().chain([path.to_str()?]).chain(flags.iter().copied());
        Line::try_parse_from(line).ok()?.args.config().ok()
    }

    #[test]
    fn ssd300_takes_its_own_recipe_unless_told() {
        let ssd = &["--model", "ssd300-vgg16"][..];
        let in_file = "[model]\nname = \"ssd300-vgg16\"\n";
        let recipe = |file: &str, flags: &[&str]| config(file, flags).map(|c| (c.train.batch, c.data.augment));
        assert_eq!(recipe("", &[]), Some((16, Augment::light())));
        assert_eq!(recipe("", ssd), Some((32, Augment::ssd())));
        assert_eq!(recipe(in_file, &[]), Some((32, Augment::ssd())));
        assert_eq!(recipe(in_file, &["--model", "tiny"]), Some((16, Augment::light())));
        let told = [ssd, &["--batch", "16", "--augment", "light"]].concat();
        assert_eq!(recipe("", &told), Some((16, Augment::light())));
        assert_eq!(recipe("[train]\nbatch = 8\n", ssd), Some((8, Augment::ssd())));
        assert_eq!(recipe("train = { batch = 16 }\n", ssd), Some((16, Augment::ssd())));
        let mirror = Augment { mirror: 0.25, ..Augment::none() };
        assert_eq!(recipe("[data.augment]\nmirror = 0.25\n", ssd), Some((32, mirror)));
        assert_eq!(recipe("[train]\nsteps = 3\n[data]\ntest = \"\"\n", ssd), Some((32, Augment::ssd())));
    }

    #[test]
    fn the_recipe_is_said() {
        let said = |flags: &[&str]| config("", flags).and_then(|c| c.recipe());
        let ssd = ["--model", "ssd300-vgg16"];
        assert_eq!(said(&[]), None);
        let text = said(&ssd).unwrap_or_default();
        assert!(text.starts_with("ssd300-vgg16: batches of 32, augmentation ssd, priors voc"), "{text}");
        let text = said(&[&ssd[..], &["--priors", "coco", "--augment", "none"]].concat()).unwrap_or_default();
        assert!(text.contains("augmentation none, priors coco"), "{text}");
    }
}
