//! `autobidet bench`

use std::sync::Arc;
use std::time::Instant;

use super::open::DeviceArgs;
use super::trace::batch;
use crate::config::{Method, ModelConfig, ModelName, RunConfig};
use crate::data::scenes;
use crate::device::Device;
use crate::models::Detector;
use crate::ops::binary_conv2d::{ActivationGrad, BinaryConv2d, InputDomain, PadValue, WeightScale};
use crate::ops::conv2d::Conv2d;
use crate::plan::{Builder, Executor, Format, Mode, Shape, StepKind};
use crate::train::{Scalars, feed, first_weights, training_plan};
use crate::{Error, Result};

/// Measure kernels against the speed this device reaches.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Convolutions by themselves: billions of operations a second (a multiply-add counts two, binary ones too).
    Kernels(Kernels),
    /// A training step: median time, images a second, and where the time goes.
    Train(Train),
}

#[derive(Debug, clap::Args)]
struct Kernels {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Debug, clap::Args)]
struct Train {
    /// Network: tiny or ssd300-vgg16.
    #[arg(long, default_value = "tiny")]
    model: String,
    /// Method.
    #[arg(long, default_value = "bidet-sc")]
    method: String,
    /// Images a step.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    batch: u32,
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

/// Measures.
pub fn run(args: Args) -> Result<()> {
    match args.what {
        What::Kernels(a) => kernels(&a),
        What::Train(a) => train(&a),
    }
}

/// 3x3 layers: images, side, channels in and out, stride. The first is the one that targets are stated for; the others are
/// the small network's.
const LAYERS: [(u32, u32, u32, u32, u32); 5] =
    [(1, 38, 256, 256, 1), (16, 80, 32, 64, 2), (16, 40, 64, 64, 1), (16, 20, 128, 128, 1), (16, 20, 128, 48, 1)];

fn kernels(args: &Kernels) -> Result<()> {
    let device = args.device.open()?;
    let mut rows = Vec::new();
    for (n, side, c, o, stride) in LAYERS {
        for binary in [false, true] {
            rows.extend(layer(&device, Shape::new(n, side, side, c), o, stride, binary)?);
        }
    }
    if args.json {
        let list: Vec<_> = rows
            .iter()
            .map(|(layer, kernel, gops)| serde_json::json!({"layer": layer, "kernel": kernel, "gops": gops}))
            .collect();
        print_json(&serde_json::json!({ "device": device.name(), "kernels": list }))?;
    } else {
        println!("{:<28} {:<26} {:>10}", "layer (3x3)", "kernel", "Gop/s");
        for (layer, kernel, gops) in rows {
            println!("{layer:<28} {kernel:<26} {gops:>10.1}");
        }
    }
    Ok(())
}

fn print_json(v: &serde_json::Value) -> Result<()> {
    let text = serde_json::to_string_pretty(v)
        .map_err(|e| Error::config("--json", e.to_string(), "This is a mistake of ours."))?;
    println!("{text}");
    Ok(())
}

/// The kernels of one layer's forward and backward pass that multiply, each timed by itself.
fn layer(device: &Device, x: Shape, out: u32, stride: u32, binary: bool) -> Result<Vec<(String, &'static str, f64)>> {
    let name = format!("{x} -> {out}{}", if stride == 2 { " /2" } else { "" });
    let (plan, (images, weights, seed)) = Builder::build("bench", Mode::Train, device.limits(), x.n, |b| {
        let images = b.input("x", x, Format::Map, true);
        let weights = b.input("w", Shape::new(3, 3, x.c, out), Format::Weight, false);
        b.want_grad(images);
        b.want_grad(weights);
        let y = if binary {
            let op = BinaryConv2d {
                kernel: [3; 2],
                stride: [stride; 2],
                padding: [1; 2],
                dilation: [1; 2],
                groups: 1,
                pad: PadValue::MinusOne,
                domain: InputDomain::Sign,
                activation_grad: ActivationGrad::ApproxSign,
                weight_scale: WeightScale::FilterMeanAbs,
            };
            b.apply1(op, "layer", &[images, weights])?
        } else {
            let op = Conv2d { kernel: [3; 2], stride: [stride; 2], padding: [1; 2], ..Default::default() };
            b.apply1(op, "layer", &[images, weights])?
        };
        let info = b.info(y).clone();
        let seed = b.input("d_y", info.shape, info.format, true);
        b.seed_gradient(y, seed);
        b.backward()?;
        Ok((images, weights, seed))
    })?;
    let mut e = device.executor(Arc::new(plan))?;
    for t in [images, weights, seed] {
        let info = e.plan().info(t).clone();
        let rng = crate::rng::Counter::named(1, &info.name);
        let data: Vec<f32> = (0..info.shape.len() as u32).map(|i| rng.normal(i)).collect();
        e.write_nchw(t, &data)?;
    }
    let all: Vec<usize> = (0..e.plan().steps.len()).collect();
    e.run_steps(&all)?;
    e.wait()?;
    let mut rows = Vec::new();
    for i in all {
        let cost = e.plan().steps[i].cost;
        let macs = cost.macs + cost.binary_macs;
        let StepKind::Dispatch { kernel, .. } = e.plan().steps[i].kind else { continue };
        if macs == 0 {
            continue;
        }
        let seconds = best_time(e.as_mut(), i)?;
        rows.push((name.clone(), kernel.name, 2.0 * macs as f64 / seconds / 1e9));
    }
    Ok(rows)
}

/// The shortest of several times of one step, each over enough repeats to be measured.
fn best_time(e: &mut dyn Executor, step: usize) -> Result<f64> {
    let mut time = |repeats: usize| -> Result<f64> {
        let clock = Instant::now();
        e.run_steps(&vec![step; repeats])?;
        e.wait()?;
        Ok(clock.elapsed().as_secs_f64() / repeats as f64)
    };
    let once = time(1)?;
    let repeats = ((0.1 / once) as usize).clamp(1, 10_000);
    let mut best = once;
    for _ in 0..5 {
        best = best.min(time(repeats)?);
    }
    Ok(best)
}

fn train(args: &Train) -> Result<()> {
    let device = args.device.open()?;
    let model = ModelConfig {
        name: args.model.parse::<ModelName>()?,
        method: args.method.parse::<Method>()?,
        classes: scenes::CLASSES.iter().map(|c| c.to_string()).collect(),
        ..Default::default()
    };
    let config = RunConfig { model, ..Default::default() };
    let detector = Detector::new(&config.model)?;
    let clock = Instant::now();
    let (plan, net) = training_plan(&detector, &config, device.limits(), args.batch)?;
    let memory = plan.memory.bytes();
    let mut e = device.executor(Arc::new(plan))?;
    first_weights(e.as_mut(), 1)?;
    let ready = clock.elapsed().as_secs_f64();
    let (images, targets) = batch(&detector, args.batch as usize);
    let mut times = Vec::new();
    for step in 0..args.steps + 2 {
        let scalars = Scalars { step, ..Default::default() };
        let clock = Instant::now();
        feed(e.as_mut(), &net, &scalars, &images, &targets)?;
        e.run(&["clear"])?;
        e.run(net.segments(true))?;
        e.wait()?;
        // The first two warm caches and clocks up.
        if step >= 2 {
            times.push(clock.elapsed().as_secs_f64());
        }
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let estimator = estimator_seconds(e.as_mut(), times.len())?;
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
            "batch": args.batch,
            "median_seconds": median,
            "images_per_second": args.batch as f64 / median,
            "memory_bytes": memory,
            "ready_seconds": ready,
            "estimator_seconds": estimator,
            "kernels": apart,
        }));
    }
    println!("{}, batch {}", detector.name(), args.batch);
    println!("ready in        {ready:.2} s (plan, buffers, pipelines, first weights)");
    println!("memory          {:.1} MiB", memory as f64 / (1 << 20) as f64);
    println!("step, median    {median:.4} s of {} steps, {:.1} images/s", times.len(), args.batch as f64 / median);
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
