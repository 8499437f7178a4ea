//! `autobidet trace`

use super::open::DeviceArgs;
use super::say;
use crate::config::{Method, ModelConfig, ModelName, RunConfig};
use crate::data::scenes::{self, SceneSpec};
use crate::detect::matching::Matcher;
use crate::device::Device;
use crate::gpu::{DeviceChoice, GpuExecutor};
use crate::models::Detector;
use crate::plan::Executor;
use crate::predict::VARIANCES;
use crate::testing::trace::{Tolerance, trace};
use crate::train::{Scalars, Targets, feed, first_weights, training_plan};
use crate::{Error, Result};
use std::sync::Arc;

/// Run every step of a network on a device and on the CPU twins, and name the first that differs.
///
/// One whole training step is traced: forward, losses, backward, optimizer. Each twin is given the device's own inputs of
/// its step, so that one rounding before a sign does not blame later kernels.
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
    #[command(flatten)]
    device: DeviceArgs,
}

/// Traces.
pub fn run(args: Args) -> Result<()> {
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
