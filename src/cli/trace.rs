//! `autobidet trace`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::open::{DeviceArgs, trained_or_foreign};
use super::say;
use crate::config::{Method, ModelConfig, ModelName, RunConfig};
use crate::data::image_file;
use crate::data::scenes::{self, SceneSpec};
use crate::detect::matching::Matcher;
use crate::device::Device;
use crate::gpu::{DeviceChoice, GpuExecutor};
use crate::models::Detector;
use crate::plan::Executor;
use crate::predict::VARIANCES;
use crate::testing::parity::{Agreement, TOLERANCE, parity};
use crate::testing::trace::{Tolerance, trace};
use crate::train::{Scalars, Targets, feed, first_weights, training_plan};
use crate::weights::WeightFile;
use crate::{Error, Result};

/// Run every step of a network on a device and on the CPU twins, and name the first that differs.
///
/// One whole training step is traced: forward, losses, backward, optimizer. Each twin is given the device's own inputs of
/// its step, so that one rounding before a sign does not blame later kernels.
///
/// With --weights and --against a network's layers are held against a reference from PyTorch instead: each is given the
/// reference's own input. That works on any device, the twins too.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Network: tiny or ssd300-vgg16.
    #[arg(long, default_value = "tiny")]
    model: String,
    /// Method.
    #[arg(long, default_value = "bidet-sc")]
    method: String,
    /// Images.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    batch: u32,
    /// Largest error of a step, over the largest value of the twin's output.
    #[arg(long, default_value_t = 1e-4)]
    tolerance: f64,
    /// Print every step, not only those that differ.
    #[arg(long)]
    all: bool,
    /// Go on after the first difference.
    #[arg(long)]
    keep_going: bool,
    /// Weights to hold against a reference: a run folder, a weight file, or a checkpoint that `import` knows.
    #[arg(long, value_name = "RUN|FILE", requires = "against")]
    weights: Option<PathBuf>,
    /// Reference: safetensors with <layer>.in and <layer>.out of one image.
    #[arg(long, value_name = "REF.safetensors", requires = "weights")]
    against: Option<PathBuf>,
    /// The reference's image: the whole network runs on it as well, which shows how far roundings before signs grow.
    #[arg(long, value_name = "IMAGE", requires = "against")]
    image: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Traces.
pub fn run(args: Args) -> Result<()> {
    if let (Some(weights), Some(against)) = (&args.weights, &args.against) {
        return layers(&args, weights, against);
    }
    let mut device = args.device.clone();
    if device.device.parse::<DeviceChoice>()? == DeviceChoice::Auto {
        // Software adapters count here: the point is their shaders.
        device.device = "0".to_string();
    }
    let Device::Gpu(gpu) = device.open()? else {
        return Err(Error::config(
            "--device",
            "is cpu, and the twins are what a device is compared with",
            "Give an adapter; `autobidet devices` lists them.",
        ));
    };
    let model = ModelConfig {
        name: args.model.parse::<ModelName>()?,
        method: args.method.parse::<Method>()?,
        classes: scenes::CLASSES.iter().map(|c| c.to_string()).collect(),
        ..Default::default()
    };
    let config = RunConfig { model, ..Default::default() };
    let detector = Detector::new(&config.model)?;
    let (plan, net) = training_plan(&detector, &config, gpu.limits(), args.batch)?;
    let order = plan.steps_of(&["clear"])?.into_iter().chain(plan.steps_of(net.segments(true))?);
    let order: Vec<usize> = order.collect();
    let mut e = GpuExecutor::new(gpu, Arc::new(plan))?;
    first_weights(&mut e, config.train.seed)?;
    let (images, targets) = batch(&detector, args.batch as usize);
    let scalars = Scalars::default();
    feed(&mut e, &net, &scalars, &images, &targets)?;
    e.wait()?;
    let tolerance = Tolerance { floats: args.tolerance, ..Default::default() };
    let traced = trace(&mut e, &order, tolerance, &mut |s| {
        if args.all || !s.agrees {
            println!("{s}");
        }
        s.agrees || args.keep_going
    })?;
    match traced.first_difference() {
        None => {
            println!("{} steps agree with the twins within {:.0e}", traced.steps.len(), args.tolerance);
            Ok(())
        }
        Some(s) => {
            say("the first step that differs is named above; please report it with the output of `autobidet devices`");
            Err(Error::Shader {
                name: s.label.clone(),
                problem: "differs from its CPU twin on this device".to_string(),
            })
        }
    }
}

/// Each layer of a network beside the reference's.
fn layers(args: &Args, weights: &Path, against: &Path) -> Result<()> {
    let (detector, weights) = trained_or_foreign(weights)?;
    let reference = WeightFile::read(against)?;
    let image = args.image.as_ref().map(|p| image_file::read(p, None)).transpose()?;
    let device = args.device.open()?;
    let share = |v: f64| format!("{:.4} %", 100.0 * v);
    let whole = if image.is_some() { "  from the image: error   equal signs" } else { "" };
    println!("{:<20} {:>12} {:>14}{whole}", "layer", "error/spread", "equal signs");
    let line = |name: &str, a: &Agreement| format!("{name:<20} {:>12.1e} {:>14}", a.error, share(a.equal_signs));
    let image = image.map(|d| d.image);
    let mut wrong = Vec::new();
    let found = parity(&detector, &weights, &reference, image.as_ref(), &device, &mut |l| {
        let chained = l.chained.map(|c| format!("{:>23.1e} {:>13}", c.error, share(c.equal_signs)));
        let mark = if l.own.holds() { "" } else { "  DIFFERS" };
        println!("{}{}{mark}", line(&l.name, &l.own), chained.unwrap_or_default());
        if !l.own.holds() {
            wrong.push(l.name.clone());
        }
    })?;
    if let Some(p) = found.priors {
        println!("{}", line("priors", &p));
    }
    for (name, a) in &found.whole {
        println!("{}", line(&format!("image: {name}"), a));
    }
    if wrong.is_empty() {
        let n = found.layers.len();
        println!(
            "{n} layers agree within {TOLERANCE:.0e} of their outputs' spread, and in every sign but of values below it"
        );
        return Ok(());
    }
    Err(Error::format(
        against,
        format!(
            "{} of {} layers differ by more than {TOLERANCE:.0e} ({}, ...)",
            wrong.len(),
            found.layers.len(),
            wrong[0]
        ),
        "Is it of these weights and of the same network? If so, `autobidet selftest` and `trace` without --against tell \
         whether the device computes right.",
    ))
}

/// The first scenes as a network's input, and their targets.
pub(super) fn batch(detector: &Detector, n: usize) -> (Vec<f32>, Vec<Targets>) {
    let size = detector.preprocess.size;
    let spec = SceneSpec { seed: super::open::SCENE_SEED, width: size, height: size };
    let matcher = Matcher::new(&detector.priors, 0.5, VARIANCES);
    let (mut images, mut targets) = (Vec::new(), Vec::new());
    for index in 0..n as u64 {
        let (image, objects) = scenes::draw(&spec, index);
        images.extend(detector.preprocess.eval(&image));
        let scale = |v: f32| v / size as f32;
        let boxes: Vec<_> = objects
            .iter()
            .map(|o| {
                let b = o.bbox;
                crate::detect::BBox::new(scale(b.xmin), scale(b.ymin), scale(b.xmax), scale(b.ymax))
            })
            .collect();
        let labels: Vec<usize> = objects.iter().map(|o| o.class % detector.config.classes.len()).collect();
        targets.push(crate::train::targets_of(&matcher, detector.config.classes.len(), &boxes, &labels));
    }
    (images, targets)
}
