//! `autobidet bench train`: a training step.

use std::sync::Arc;
use std::time::Instant;

use super::super::open::DeviceArgs;
use super::super::trace::batch;
use super::{config, median, mib, print_json};
use crate::Result;
use crate::config::{ModelConfig, ModelName, RunConfig};
use crate::device::Device;
use crate::models::Detector;
use crate::plan::{Executor, StepKind};
use crate::train::{Scalars, Targets, TrainNetwork, feed, first_weights, training_plan};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Network: tiny or ssd300-vgg16.
    #[arg(long, default_value = "tiny")]
    model: String,
    /// Method.
    #[arg(long, default_value = "bidet-sc")]
    method: String,
    /// Images a step.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    batch: u32,
    /// Classes without the background [default: the six of the embedded scenes].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    classes: Option<u32>,
    /// The float ssd300-vgg16 as published, without batch norms.
    #[arg(long)]
    no_batch_norm: bool,
    /// Keep every map for the backward pass rather than compute some again.
    #[arg(long)]
    keep_maps: bool,
    /// Steps that are measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    steps: u32,
    /// Time each kernel of a step, too.
    #[arg(long)]
    steps_apart: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// A training plan with first weights and a batch of scenes.
pub struct Trainee {
    pub detector: Detector,
    pub executor: Box<dyn Executor>,
    net: TrainNetwork,
    images: Vec<f32>,
    targets: Vec<Targets>,
}

impl Trainee {
    pub fn new(model: ModelConfig, device: &Device, n: u32, keep_maps: bool) -> Result<Trainee> {
        let mut config = RunConfig { model, ..Default::default() };
        config.train.recompute = !keep_maps;
        let detector = Detector::new(&config.model)?;
        let (plan, net) = training_plan(&detector, &config, device.limits(), n)?;
        let mut executor = device.executor(Arc::new(plan))?;
        first_weights(executor.as_mut(), 1)?;
        let (images, targets) = batch(&detector, n as usize);
        Ok(Trainee { detector, executor, net, images, targets })
    }

    /// Seconds of so many steps, each waited for; the first two, which warm caches and clocks up, are left out.
    pub fn times(&mut self, steps: u32) -> Result<Vec<f64>> {
        let mut times = Vec::new();
        for step in 0..steps + 2 {
            let scalars = Scalars { step, ..Default::default() };
            let (e, clock) = (self.executor.as_mut(), Instant::now());
            feed(e, &self.net, &scalars, &self.images, &self.targets)?;
            e.run(&["clear"])?;
            e.run(self.net.segments(true))?;
            e.wait()?;
            if step >= 2 {
                times.push(clock.elapsed().as_secs_f64());
            }
        }
        Ok(times)
    }
}

/// Measures and prints.
pub fn run(args: &Args) -> Result<()> {
    let model = config(args.model.parse::<ModelName>()?, &args.method, args.classes, args.no_batch_norm)?;
    let device = args.device.open()?;
    let clock = Instant::now();
    let mut trainee = Trainee::new(model, &device, args.batch, args.keep_maps)?;
    let ready = clock.elapsed().as_secs_f64();
    let times = trainee.times(args.steps)?;
    let Trainee { detector, executor: mut e, .. } = trainee;
    let memory = e.plan().memory.bytes();
    let steps = times.len();
    let best = times.iter().copied().fold(f64::INFINITY, f64::min);
    let median = median(times);
    let estimator = estimator_seconds(e.as_mut(), steps)?;
    let mut parts: Vec<(String, f64, u32)> = Vec::new();
    if args.steps_apart {
        for i in 0..e.plan().steps.len() {
            let clock = Instant::now();
            e.run_steps(&[i])?;
            e.wait()?;
            let seconds = clock.elapsed().as_secs_f64();
            let name = match &e.plan().steps[i].kind {
                StepKind::Dispatch { kernel, .. } => kernel.name,
                StepKind::Clear(_) => "clear",
                StepKind::Copy { .. } => "copy",
            };
            match parts.iter_mut().find(|(n, _, _)| n == name) {
                Some((_, s, k)) => (*s, *k) = (*s + seconds, *k + 1),
                None => parts.push((name.to_string(), seconds, 1)),
            }
        }
        parts.sort_by(|a, b| b.1.total_cmp(&a.1));
    }
    if args.json {
        let apart: Vec<_> =
            parts.iter().map(|(n, s, k)| serde_json::json!({"kernel": n, "seconds": s, "dispatches": k})).collect();
        return print_json(&serde_json::json!({
            "device": device.name(),
            "model": detector.name(),
            "method": detector.config.method.to_string(),
            "classes": detector.config.classes.len(),
            "steps": steps,
            "batch": args.batch,
            "median_seconds": median,
            "best_seconds": best,
            "images_per_second": args.batch as f64 / median,
            "memory_bytes": memory,
            "ready_seconds": ready,
            "estimator_seconds": estimator,
            "kernels": apart,
        }));
    }
    println!("{}, batch {}", detector.name(), args.batch);
    println!("ready in        {ready:.2} s (plan, buffers, pipelines, first weights)");
    println!("memory          {:.1} MiB", mib(memory));
    println!("step, median    {median:.4} s of {steps} steps, {:.1} images/s", args.batch as f64 / median);
    if let Some(s) = estimator {
        println!("of it           {s:.4} s for the complexity estimator, {:.1} %", 100.0 * s / median);
    }
    for (name, seconds, count) in parts {
        println!("  {name:<32} {:>9.2} ms in {count} dispatches", seconds * 1e3);
    }
    Ok(())
}

/// The shortest of several times of all that a step does for the complexity estimator: each image's s and beta, and one
/// update of each of its networks. `None` in a plan without one.
fn estimator_seconds(e: &mut dyn Executor, times: usize) -> Result<Option<f64>> {
    let plan = e.plan();
    if !plan.segments.iter().any(|s| s == "estimator") {
        return Ok(None);
    }
    let mut steps = plan.steps_of(&["forward"])?;
    steps.retain(|i| ["estimate.", "image_beta."].iter().any(|p| plan.steps[*i].label.starts_with(p)));
    steps.extend(plan.steps_of(&["estimator"])?);
    let mut best = f64::INFINITY;
    for _ in 0..times.max(1) {
        let clock = Instant::now();
        e.run_steps(&steps)?;
        e.wait()?;
        best = best.min(clock.elapsed().as_secs_f64());
    }
    Ok(Some(best))
}
