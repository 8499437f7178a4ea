//! `autobidet info`

use std::path::{Path, PathBuf};

use crate::config::{Method, ModelConfig, ModelName, RunConfig};
use crate::deploy::{self, DeployFile, Program, computed_in};
use crate::models::Detector;
use crate::plan::{Builder, LayerInfo, Mode, Plan, PlanLimits};
use crate::predict::Model;
use crate::train::training_plan;
use crate::{Error, Result};

/// Show a network: layers, shapes, parameters, operations, memory.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// tiny, ssd300-vgg16, a run folder, or a weight file.
    #[arg(value_name = "MODEL|FILE")]
    model: String,
    /// Method, for a model by name.
    #[arg(long, default_value = "bidet-sc")]
    method: String,
    /// Number of classes, for a model by name.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    classes: u32,
    /// Images a step, for the training plan's memory.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: u32,
    /// Largest binding in MiB that the plan is made for; 128 is the WebGPU floor.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=1048576))]
    binding: u64,
    /// Keep every map for the backward pass rather than compute some again, for the training plan's memory.
    #[arg(long)]
    keep_maps: bool,
    /// Print every step of the training plan (of a deploy file: of its own plan) and every block of its memory.
    #[arg(long)]
    plan: bool,
    /// An error where a binary layer would be computed in floats, or where there is none.
    #[arg(long)]
    require_packed: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints it.
pub fn run(args: Args) -> Result<()> {
    let config = match args.model.parse::<ModelName>() {
        Ok(name) => ModelConfig {
            name,
            method: args.method.parse::<Method>()?,
            classes: (1..=args.classes).map(|i| format!("class{i}")).collect(),
            ..Default::default()
        },
        Err(_) => {
            if !Path::new(&args.model).exists() {
                return Err(Error::config(
                    "MODEL|FILE",
                    format!("{:?} is neither a model nor a file", args.model),
                    "Give tiny, ssd300-vgg16, a run folder or a weight file.",
                ));
            }
            match Model::open(&PathBuf::from(&args.model))? {
                Model::Trained(detector, _) => detector.config,
                Model::Deployed(file) => return deployed(&file, &args),
            }
        }
    };
    let detector = Detector::new(&config)?;
    let (eval, _) = Builder::build(&detector.name(), Mode::Eval, PlanLimits::HOST, 1, |b| detector.network(b))?;
    require_packed(&args, &detector, &eval)?;
    let limits = PlanLimits {
        max_binding: args.binding << 20,
        max_buffer: (args.binding << 20).max(PlanLimits::FLOOR.max_buffer),
        ..PlanLimits::FLOOR
    };
    let mut run = RunConfig { model: config, ..Default::default() };
    run.train.recompute = !args.keep_maps;
    let (train, _) = training_plan(&detector, &run, limits, args.batch)?;
    if args.json {
        let text = serde_json::to_string_pretty(&json(&detector, &eval, &train))
            .map_err(|e| Error::config("--json", e.to_string(), "This is a mistake of ours."))?;
        println!("{text}");
        return Ok(());
    }
    println!("{} at {s}x{s}, {} priors", detector.name(), detector.priors.len(), s = detector.preprocess.size);
    println!();
    println!(
        "{:<34} {:<16} {:>16} {:>16} {:>11} {:>9} {:>9}  computed in",
        "layer", "operation", "in", "out", "params", "MMAC", "bit-MMAC"
    );
    for l in &eval.layers {
        println!(
            "{:<34} {:<16} {:>16} {:>16} {:>11} {:>9} {:>9}  {}",
            l.label,
            l.op,
            shape(l.input),
            shape(l.output),
            dash(l.params as f64, 0),
            dash(l.cost.macs as f64 / 1e6, 1),
            dash(l.cost.binary_macs as f64 / 1e6, 1),
            computed_in(l)
        );
    }
    let t = Totals::of(&eval.layers);
    println!();
    println!("parameters        {:>14}  ({} of them stored as bits)", t.params, t.binary_params);
    println!("float MACs        {:>14.1} M", t.macs as f64 / 1e6);
    println!(
        "bit MACs          {:>14.1} M  (xor and popcount; never added to the float ones)",
        t.binary_macs as f64 / 1e6
    );
    println!("latent weights    {:>14.2} MiB  (f32, what training keeps)", mib(4 * t.params));
    println!("packed weights    {:>14.2} MiB  (bits, and f32 for the rest)", mib(t.packed_bytes()));
    println!("memory, inference {:>14.1} MiB  (batch 1)", mib(eval.memory.bytes()));
    println!(
        "memory, training  {:>14.1} MiB  (batch {}, {} slices, {} buffers; {:.1} MiB without sharing)",
        mib(train.memory.bytes()),
        args.batch,
        train.slices.len(),
        train.memory.blocks.len(),
        mib(train.memory.unshared_bytes)
    );
    if args.plan {
        println!();
        print!("{train}");
    }
    Ok(())
}

fn shape(s: crate::plan::Shape) -> String {
    format!("{}x{}x{}", s.h, s.w, s.c)
}

/// Every binary layer of the method must be a packed one.
fn require_packed(args: &Args, detector: &Detector, plan: &Plan) -> Result<()> {
    let (packed, binary) = deploy::packed(&Program::of(detector)?, plan);
    if !args.require_packed || (binary > 0 && packed == binary) {
        return Ok(());
    }
    Err(Error::config(
        "--require-packed",
        format!("is given, but {packed} layers of {} are packed, of {binary} binary ones", detector.name()),
        "Train with a binarized method, for example bidet-sc.",
    ))
}

/// What a deploy file runs.
fn deployed(file: &DeployFile, args: &Args) -> Result<()> {
    let detector = &file.detector;
    let program = Program::of(detector)?;
    let (plan, _) = deploy::plan(detector, &program, &file.numbers, PlanLimits::HOST, 1, &[])?;
    require_packed(args, detector, &plan)?;
    let t = Totals::of(&plan.layers);
    let bytes = file.to_bytes()?.len();
    let precision = file.numbers.precision.as_str();
    if args.json {
        println!(
            "{:#}",
            serde_json::json!({
                "model": detector.config.name,
                "method": detector.config.method.to_string(),
                "classes": detector.config.classes,
                "input": detector.preprocess.size,
                "priors": detector.priors.len(),
                "deploy": deploy::VERSION,
                "precision": precision,
                "bytes": bytes,
                "macs": t.macs,
                "binary_macs": t.binary_macs,
                "inference_memory_bytes": plan.memory.bytes(),
                "record": file.record,
                "layers": plan.layers.iter().map(|l| serde_json::json!({
                    "name": l.label,
                    "operation": l.op,
                    "input": [l.input.h, l.input.w, l.input.c],
                    "output": [l.output.h, l.output.w, l.output.c],
                    "macs": l.cost.macs,
                    "binary_macs": l.cost.binary_macs,
                    "computed_in": computed_in(l),
                })).collect::<Vec<_>>(),
            })
        );
        return Ok(());
    }
    println!("{}: deploy file, {precision}, for use and not for training", detector.name());
    println!("input {s}x{s}, {} priors", detector.priors.len(), s = detector.preprocess.size);
    println!();
    println!(
        "{:<40} {:<20} {:>16} {:>16} {:>9} {:>9}  computed in",
        "layer", "operation", "in", "out", "MMAC", "bit-MMAC"
    );
    for l in &plan.layers {
        println!(
            "{:<40} {:<20} {:>16} {:>16} {:>9} {:>9}  {}",
            l.label,
            l.op,
            shape(l.input),
            shape(l.output),
            dash(l.cost.macs as f64 / 1e6, 1),
            dash(l.cost.binary_macs as f64 / 1e6, 1),
            computed_in(l)
        );
    }
    let kind = if precision == "exact" { "byte" } else { "float" };
    println!();
    println!("file              {:>14.2} MB", bytes as f64 / 1e6);
    println!("{:<17} {:>14.1} M", format!("{kind} MACs"), t.macs as f64 / 1e6);
    println!("bit MACs          {:>14.1} M", t.binary_macs as f64 / 1e6);
    println!("memory, inference {:>14.1} MiB  (batch 1, {} dispatches)", mib(plan.memory.bytes()), plan.steps.len());
    println!(
        "record            autobidet {}, {} steps, ranges from {} images",
        file.record.version, file.record.step, file.record.calibration_images
    );
    if args.plan {
        println!();
        print!("{plan}");
    }
    Ok(())
}

struct Totals {
    params: u64,
    binary_params: u64,
    macs: u64,
    binary_macs: u64,
}

impl Totals {
    fn of(layers: &[LayerInfo]) -> Totals {
        let sum = |f: fn(&LayerInfo) -> u64| layers.iter().map(f).sum();
        Totals {
            params: sum(|l| l.params),
            binary_params: sum(|l| l.binary_params),
            macs: sum(|l| l.cost.macs),
            binary_macs: sum(|l| l.cost.binary_macs),
        }
    }
    fn packed_bytes(&self) -> u64 {
        4 * (self.params - self.binary_params) + self.binary_params.div_ceil(8)
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

fn dash(v: f64, digits: usize) -> String {
    if v == 0.0 { "-".to_string() } else { format!("{v:.digits$}") }
}

fn json(detector: &Detector, eval: &Plan, train: &Plan) -> serde_json::Value {
    let t = Totals::of(&eval.layers);
    serde_json::json!({
        "model": detector.config.name,
        "method": detector.config.method.to_string(),
        "classes": detector.config.classes,
        "input": detector.preprocess.size,
        "priors": detector.priors.len(),
        "parameters": t.params,
        "binary_parameters": t.binary_params,
        "macs": t.macs,
        "binary_macs": t.binary_macs,
        "latent_bytes": 4 * t.params,
        "packed_bytes": t.packed_bytes(),
        "inference_memory_bytes": eval.memory.bytes(),
        "training": {
            "batch": train.batch,
            "slices": train.slices.len(),
            "memory_bytes": train.memory.bytes(),
            "steps": train.steps.len(),
        },
        "layers": eval.layers.iter().map(|l| serde_json::json!({
            "name": l.label,
            "operation": l.op,
            "input": [l.input.h, l.input.w, l.input.c],
            "output": [l.output.h, l.output.w, l.output.c],
            "parameters": l.params,
            "binary_parameters": l.binary_params,
            "macs": l.cost.macs,
            "binary_macs": l.cost.binary_macs,
        })).collect::<Vec<_>>(),
    })
}
