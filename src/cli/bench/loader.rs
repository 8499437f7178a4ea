//! `autobidet bench loader`: what the loader gives by itself, and what a training step waits for it.

use std::sync::Arc;
use std::time::Instant;

use super::super::open::{DeviceArgs, dataset, tell_notes};
use super::{median, print_json};
use crate::config::{ModelConfig, ModelName, RunConfig};
use crate::data::{Dataset, Loader, LoaderOptions, Sample};
use crate::detect::matching::Matcher;
use crate::device::Device;
use crate::models::Detector;
use crate::plan::Executor;
use crate::predict::VARIANCES;
use crate::train::{Scalars, Targets, TrainNetwork, feed, first_weights, targets_of, training_plan};
use crate::{Error, Result};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A VOC folder, a COCO json or its folder, or `scenes`.
    #[arg(long, default_value = "scenes", value_name = "DIR|FILE|scenes")]
    data: String,
    /// Split [default: that of training].
    #[arg(long)]
    split: Option<String>,
    /// Network that the images are for: tiny or ssd300-vgg16. The training step is `bidet-sc`'s.
    #[arg(long, default_value = "tiny")]
    model: String,
    /// Images a batch.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    batch: u32,
    /// Threads that decode and augment; 0: as many as cores.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Batches of an epoch that is measured; the data set's first images, drawn from again where there are fewer.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    batches: u32,
    /// Training steps that are measured; 0 for none.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    steps: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Training steps in front of those that count: they fill the loader's store and warm caches up.
const WARM_UP: u32 = 2;

/// Everything a loader is made of.
struct Source {
    data: Arc<Dataset>,
    detector: Detector,
    config: RunConfig,
}

impl Source {
    /// Shuffled, augmented batches with their targets, as training has them.
    fn loader(&self, args: &Args, cache_mb: usize) -> Result<Loader<Targets>> {
        let options = LoaderOptions {
            batch: args.batch as usize,
            threads: args.threads,
            cache_mb,
            seed: self.config.train.seed as u64,
            ..Default::default()
        };
        let (matcher, classes) = (Matcher::new(&self.detector.priors, 0.5, VARIANCES), self.data.classes.len());
        let closure = move |s: &Sample<'_>| targets_of(&matcher, classes, s.boxes, s.labels);
        let augment = self.config.data.augment.clone();
        Loader::train(self.data.clone(), self.detector.preprocess, augment, options, 0, closure)
    }
}

/// Measures and prints.
pub fn run(args: &Args) -> Result<()> {
    let source = source(args)?;
    let device = if args.steps > 0 { Some(args.device.open()?) } else { None };
    let decoding = speed(&mut source.loader(args, 0)?, args)?;
    let cached = match fits(&source) {
        true => {
            let mut loader = source.loader(args, source.config.data.cache_mb)?;
            speed(&mut loader, args)?;
            Some(speed(&mut loader, args)?)
        }
        false => None,
    };
    let step = device.map(|d| steps(&source, args, &d)).transpose()?;
    print(args, &source, decoding, cached, step.as_ref())
}

fn source(args: &Args) -> Result<Source> {
    let mut config = RunConfig::default();
    config.model.name = args.model.parse::<ModelName>()?;
    config.data.path = args.data.clone();
    config.take_recipe(|_| false);
    let split = args.split.clone().unwrap_or_else(|| config.data.train.clone());
    let mut data = Arc::unwrap_or_clone(dataset(&config, &split, None)?);
    tell_notes(&data.notes);
    // An epoch of just so many batches.
    data.images.truncate(args.batch as usize * args.batches as usize);
    if data.images.len() < args.batch as usize {
        let have = data.images.len();
        return Err(Error::config(
            "--batch",
            format!("is {}, but there are {have} images in {split}", args.batch),
            format!("Give {} or less.", have.max(1)),
        ));
    }
    config.model = ModelConfig { classes: data.classes.clone(), ..config.model };
    let detector = Detector::new(&config.model)?;
    Ok(Source { data: Arc::new(data), detector, config })
}

/// Whether all images stay in memory once they are decoded, by the sizes that their annotations give.
fn fits(source: &Source) -> bool {
    let bytes: u64 = source.data.images.iter().map(|i| u64::from(i.width) * u64::from(i.height) * 3).sum();
    bytes <= (source.config.data.cache_mb as u64) << 20
}

/// Images a second over `--batches` batches.
fn speed(loader: &mut Loader<Targets>, args: &Args) -> Result<f64> {
    let (clock, mut images) = (Instant::now(), 0);
    for batch in loader.by_ref().take(args.batches as usize) {
        images += batch?.targets.len();
    }
    Ok(images as f64 / clock.elapsed().as_secs_f64())
}

/// Training steps with the loader beside them.
struct Steps {
    device: String,
    /// Median seconds of a step, the waiting included.
    seconds: f64,
    /// Waiting over everything, 0 to 1.
    waited: f64,
}

/// The loop of training: take a batch, run a step. No image is kept, as in the first epoch of a run.
fn steps(source: &Source, args: &Args, device: &Device) -> Result<Steps> {
    let (plan, net) = training_plan(&source.detector, &source.config, device.limits(), args.batch)?;
    let mut e = device.executor(Arc::new(plan))?;
    first_weights(e.as_mut(), 1)?;
    let mut loader = source.loader(args, 0)?;
    let (mut times, mut waited) = (Vec::new(), 0.0);
    for step in 0..args.steps + WARM_UP {
        let clock = Instant::now();
        let Some(batch) = loader.next() else { break };
        let batch = batch?;
        let waiting = clock.elapsed().as_secs_f64();
        one_step(e.as_mut(), &net, step, &batch.images, &batch.targets)?;
        if step >= WARM_UP {
            times.push(clock.elapsed().as_secs_f64());
            waited += waiting;
        }
    }
    let all: f64 = times.iter().sum();
    Ok(Steps { device: device.name(), seconds: median(times), waited: waited / all.max(1e-9) })
}

fn one_step(e: &mut dyn Executor, net: &TrainNetwork, step: u32, images: &[f32], targets: &[Targets]) -> Result<()> {
    let scalars = Scalars { step, ..Default::default() };
    feed(e, net, &scalars, images, targets)?;
    e.run(&["clear"])?;
    e.run(net.segments(true))?;
    e.wait()
}

fn print(args: &Args, source: &Source, decoding: f64, cached: Option<f64>, step: Option<&Steps>) -> Result<()> {
    let threads = match args.threads {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
        n => n,
    };
    if args.json {
        return print_json(&serde_json::json!({
            "data": args.data,
            "images": source.data.images.len(),
            "model": source.detector.config.name,
            "batch": args.batch,
            "threads": threads,
            "images_per_second": decoding,
            "images_per_second_from_memory": cached,
            "step": step.map(|s| serde_json::json!({
                "device": s.device,
                "method": source.detector.config.method.to_string(),
                "median_seconds": s.seconds,
                "images_per_second": args.batch as f64 / s.seconds,
                "wait_share": s.waited,
            })),
        }));
    }
    let made = if args.data == "scenes" { "drawing" } else { "decoding" };
    let size = source.detector.preprocess.size;
    let images = source.data.images.len();
    println!("{}, {images} images to {size}x{size}, batches of {}, {threads} threads", args.data, args.batch);
    println!("{made} each image     {decoding:>9.1} images/s");
    match cached {
        Some(v) => println!("from memory            {v:>9.1} images/s"),
        None => println!("from memory                    -  (they do not fit data.cache_mb)"),
    }
    if let Some(s) = step {
        let rate = args.batch as f64 / s.seconds;
        println!("step, median           {:>9.4} s, {rate:.1} images/s ({})", s.seconds, source.detector.name());
        println!("of it, waiting         {:>9.1} % for the loader, {made} each image", 100.0 * s.waited);
    }
    Ok(())
}
