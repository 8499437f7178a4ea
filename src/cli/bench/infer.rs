//! `autobidet bench infer`: from a preprocessed image to its detections.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use super::super::open::DeviceArgs;
use super::super::trace::batch;
use super::{config, median, mib, print_json};
use crate::config::ModelName;
use crate::deploy::{Precision, export};
use crate::detect::decode::DecodeOptions;
use crate::device::Device;
use crate::models::Detector;
use crate::plan::{Cost, Executor, Plan, StepKind};
use crate::predict::{Model, Predictor};
use crate::train::first_weights;
use crate::weights::{WeightFile, collect};
use crate::{Error, Result};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// tiny, ssd300-vgg16, a run folder, a weight file or a deploy file. A network by name has random weights.
    #[arg(long, default_value = "tiny", value_name = "MODEL|RUN|FILE")]
    model: String,
    /// Method, for a model by name.
    #[arg(long, default_value = "bidet-sc")]
    method: String,
    /// For a model by name: as a deploy file, float or exact, instead of the evaluation plan.
    #[arg(long)]
    precision: Option<String>,
    /// Images at a time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    batch: u32,
    /// Classes without the background, for a model by name [default: the six of the embedded scenes].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    classes: Option<u32>,
    /// The float ssd300-vgg16 as published, without batch norms.
    #[arg(long)]
    no_batch_norm: bool,
    /// Lowest score that becomes a detection. Random weights find nothing real, so decoding them says little.
    #[arg(long, default_value_t = 0.3)]
    score: f32,
    /// Runs that are measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10000))]
    runs: u32,
    /// Time each layer, too: its steps one by one, waiting after each.
    #[arg(long)]
    layers: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Runs in front of those that count: they warm caches and clocks up.
const WARM_UP: u32 = 2;

/// What is measured: a network with its weights, or with random ones.
enum Subject {
    Named(Box<Detector>),
    Made(Model),
}

impl Args {
    fn subject(&self) -> Result<Subject> {
        if let Ok(name) = self.model.parse::<ModelName>() {
            let model = config(name, &self.method, self.classes, self.no_batch_norm)?;
            return Ok(Subject::Named(Box::new(Detector::new(&model)?)));
        }
        if !Path::new(&self.model).exists() {
            return Err(Error::config(
                "--model",
                format!("{:?} is neither a model nor a file", self.model),
                "Give tiny, ssd300-vgg16, a run folder, a weight file or a deploy file.",
            ));
        }
        Ok(Subject::Made(Model::open(Path::new(&self.model))?))
    }
}

/// A network with random weights as a deploy file.
fn exported(detector: Detector, precision: Precision) -> Result<Model> {
    let mut p = untrained(detector.clone(), &Device::Cpu, 1)?;
    let weights = WeightFile { tensors: collect(p.executor())?, ..Default::default() };
    let images = vec![batch(&detector, 1).0];
    Ok(Model::Deployed(Box::new(export(&detector, &weights, precision, &images, &Device::Cpu, |_| ())?)))
}

/// A network with random weights.
pub fn untrained(detector: Detector, device: &Device, n: usize) -> Result<Predictor> {
    let mut p = Predictor::new(detector, device, n)?;
    first_weights(p.executor(), 1)?;
    Ok(p)
}

/// Seconds of each of so many runs on scenes: of the whole, and of forward, readback and decode with a wait between them; and
/// how many detections there are over `score`.
pub fn times(p: &mut Predictor, score: f32, runs: u32) -> Result<([Vec<f64>; 4], usize)> {
    let n = p.batch();
    let (images, _) = batch(&p.detector, n);
    let sizes = vec![(p.detector.preprocess.size, p.detector.preprocess.size); n];
    let options = DecodeOptions { score_threshold: score, clip: true, ..Default::default() };
    let mut times = [const { Vec::new() }; 4];
    let mut found = 0;
    for i in 0..runs + WARM_UP {
        let clock = Instant::now();
        let decoded = p.detect(&images, &sizes, &options)?;
        let whole = clock.elapsed().as_secs_f64();
        found = decoded.iter().map(|d| d.detections.len()).sum();

        let clock = Instant::now();
        p.start(&images, n)?;
        p.executor().wait()?;
        let forward = clock.elapsed().as_secs_f64();
        let raw = p.outputs(n)?;
        let read = clock.elapsed().as_secs_f64();
        p.decode(&raw, &sizes, &options)?;
        let decoded = clock.elapsed().as_secs_f64();
        if i >= WARM_UP {
            for (list, seconds) in times.iter_mut().zip([whole, forward, read - forward, decoded - read]) {
                list.push(seconds);
            }
        }
    }
    Ok((times, found))
}

/// Measures and prints.
pub fn run(args: &Args) -> Result<()> {
    if !(args.score >= 0.0 && args.score < 1.0) {
        return Err(Error::config("--score", format!("is {}, expected 0 up to 1", args.score), "0.3 is usual."));
    }
    let subject = args.subject()?;
    let precision = args.precision.as_deref().map(str::parse::<Precision>).transpose()?;
    if precision.is_some() && matches!(subject, Subject::Made(_)) {
        return Err(Error::config(
            "--precision",
            "is for a model by name",
            "`autobidet export` makes a file of a run.",
        ));
    }
    let device = args.device.open()?;
    let subject = match (subject, precision) {
        (Subject::Named(detector), Some(precision)) => Subject::Made(exported(*detector, precision)?),
        (other, _) => other,
    };
    let (n, clock) = (args.batch as usize, Instant::now());
    let mut p = match subject {
        Subject::Named(detector) => untrained(*detector, &device, n)?,
        Subject::Made(model) => Predictor::of(model, &device, n)?,
    };
    let ready = clock.elapsed().as_secs_f64();
    let (all, found) = times(&mut p, args.score, args.runs)?;
    let best = std::array::from_fn(|i| all[i].iter().copied().fold(f64::INFINITY, f64::min));
    let times = all.map(median);
    let (layers, own_clock) = if args.layers { layers(p.executor(), args.runs)? } else { (Vec::new(), false) };
    let memory = p.executor().plan().memory.bytes();
    let (name, device) = (p.detector.name(), device.name());
    let summary = Summary { name, device, times, best, ready, found, memory, own_clock };
    if args.json { print_json(&summary.json(args, &p.detector, &layers)) } else { summary.print(args, &layers) }
}

struct Summary {
    name: String,
    device: String,
    /// Median seconds: the whole, forward, readback, decode.
    times: [f64; 4],
    /// The shortest of each.
    best: [f64; 4],
    ready: f64,
    found: usize,
    memory: u64,
    /// Whether layers were timed by the device's own clock.
    own_clock: bool,
}

impl Summary {
    fn json(&self, args: &Args, detector: &Detector, layers: &[Layer]) -> serde_json::Value {
        let [whole, forward, readback, decode] = self.times;
        serde_json::json!({
            "device": self.device,
            "model": self.name,
            "precision": args.precision,
            "method": detector.config.method.to_string(),
            "classes": detector.config.classes.len(),
            "batch": args.batch,
            "runs": args.runs,
            "median_seconds": whole,
            "images_per_second": args.batch as f64 / whole,
            "forward_seconds": forward,
            "readback_seconds": readback,
            "decode_seconds": decode,
            "best": {
                "seconds": self.best[0],
                "forward_seconds": self.best[1],
                "readback_seconds": self.best[2],
                "decode_seconds": self.best[3],
            },
            "detections": self.found,
            "memory_bytes": self.memory,
            "ready_seconds": self.ready,
            "layers_timed_by": if self.own_clock { "device" } else { "waiting" },
            "layers": layers.iter().map(Layer::json).collect::<Vec<_>>(),
        })
    }

    fn print(&self, args: &Args, layers: &[Layer]) -> Result<()> {
        let [whole, forward, readback, decode] = self.times;
        println!("{}, batch {}", self.name, args.batch);
        println!("ready in        {:.2} s (plan, buffers, pipelines, weights)", self.ready);
        println!("memory          {:.1} MiB", mib(self.memory));
        println!("run, median     {whole:.4} s of {} runs, {:.1} images/s", args.runs, args.batch as f64 / whole);
        println!("  forward       {forward:.4} s, from the image to the end of the last step");
        println!("  readback      {readback:.4} s");
        println!("  decode        {decode:.4} s, {} detections over {}", self.found, args.score);
        if layers.is_empty() {
            return Ok(());
        }
        let sum: f64 = layers.iter().map(|l| l.seconds).sum();
        println!();
        let how = if self.own_clock { "each step by the device's clock" } else { "each step with a wait behind it" };
        println!("{how}, {:.4} s in all, {:.0} % of forward:", sum, 100.0 * sum / forward);
        println!("{:<34} {:<16} {:>9} {:>6} {:>9} {:<7}", "layer", "operation", "ms", "share", "Gop/s", "");
        for l in layers {
            let (ms, share) = (l.seconds * 1e3, 100.0 * l.seconds / sum);
            let gops = match l.rates().as_slice() {
                [] => format!("{:>9}", "-"),
                rates => rates.iter().map(|(kind, v)| format!("{v:>9.1} {kind:<7}")).collect::<Vec<_>>().join(" "),
            };
            println!("{:<34} {:<16} {ms:>9.3} {share:>5.1}% {}", l.name, l.operation, gops.trim_end());
        }
        Ok(())
    }
}

/// A layer's steps.
struct Layer {
    name: String,
    operation: String,
    /// Of each step the median, added up.
    seconds: f64,
    steps: usize,
    cost: Cost,
}

impl Layer {
    /// Billions of operations a second by kind, two a multiply-add. Those on floats, on bytes and on bits are never added up.
    fn rates(&self) -> Vec<(&'static str, f64)> {
        let rate = |macs: u64| 2.0 * macs as f64 / self.seconds.max(1e-9) / 1e9;
        let real = if self.operation == "int8_conv2d" { "byte" } else { "float" };
        let kinds = [(real, self.cost.macs), ("binary", self.cost.binary_macs)];
        kinds.into_iter().filter(|(_, macs)| *macs > 0).map(|(kind, macs)| (kind, rate(macs))).collect()
    }

    fn json(&self) -> serde_json::Value {
        let rates: HashMap<_, _> = self.rates().into_iter().collect();
        serde_json::json!({
            "name": self.name,
            "operation": self.operation,
            "seconds": self.seconds,
            "steps": self.steps,
            "macs": self.cost.macs,
            "binary_macs": self.cost.binary_macs,
            "float_gops": rates.get("float"),
            "byte_gops": rates.get("byte"),
            "binary_gops": rates.get("binary"),
        })
    }
}

/// The time of each step, by layers in the order of their first steps: by the device's own clock where it has one (then
/// true), else with a wait behind each step.
fn layers(e: &mut dyn Executor, runs: u32) -> Result<(Vec<Layer>, bool)> {
    let order = e.plan().steps_of(&["forward"])?;
    let mut times = vec![Vec::new(); order.len()];
    let mut own_clock = false;
    for run in 0..=runs {
        let own = e.device_seconds(&order)?;
        own_clock = own.is_some();
        let seconds = match own {
            Some(seconds) => seconds,
            None => waited_for(e, &order)?,
        };
        // The first round warms up.
        if run > 0 {
            times.iter_mut().zip(seconds).for_each(|(t, s)| t.push(s));
        }
    }
    let plan = e.plan();
    let mut out: Vec<Layer> = Vec::new();
    for (step, times) in order.iter().zip(times) {
        let (name, cost) = (layer_of(plan, *step), plan.steps[*step].cost);
        let at = out.iter().position(|l| l.name == name).unwrap_or_else(|| {
            let operation = plan.layers.iter().find(|l| l.label == name).map_or("-", |l| l.op).to_string();
            out.push(Layer { name, operation, seconds: 0.0, steps: 0, cost: Cost::default() });
            out.len() - 1
        });
        let l = &mut out[at];
        (l.seconds, l.steps, l.cost) = (l.seconds + median(times), l.steps + 1, l.cost + cost);
    }
    Ok((out, own_clock))
}

/// Seconds of each step with a wait behind it.
fn waited_for(e: &mut dyn Executor, steps: &[usize]) -> Result<Vec<f64>> {
    let one = |step: &usize| {
        let clock = Instant::now();
        e.run_steps(&[*step])?;
        e.wait()?;
        Ok(clock.elapsed().as_secs_f64())
    };
    steps.iter().map(one).collect()
}

/// The layer that a step belongs to: its label without the kernel and the slice.
fn layer_of(plan: &Plan, step: usize) -> String {
    let step = &plan.steps[step];
    let end = match &step.kind {
        StepKind::Dispatch { kernel, .. } => kernel.name,
        StepKind::Clear(_) => "clear",
        StepKind::Copy { .. } => "copy",
    };
    let label = step.label.split('[').next().unwrap_or_default();
    label.strip_suffix(end).map_or(label, |l| l.trim_end_matches('.')).to_string()
}
