//! `autobidet export`

use std::path::{Path, PathBuf};

use super::open::{DeviceArgs, bar, dataset, tell_notes, trained_or_foreign};
use super::say;
use crate::config::{DataConfig, RunConfig};
use crate::data::{Dataset, pixels};
use crate::deploy::{Kind, Precision, Program, export};
use crate::device::Device;
use crate::models::Detector;
use crate::train::RunFolder;
use crate::{Error, Result};

/// Write a trained detector as one small file: packed signs, batch norms drawn in, everything needed to run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folder (its best weights are taken; name RUN/last.safetensors for the last ones), or a weight file.
    #[arg(value_name = "RUN|FILE")]
    run: PathBuf,
    /// The file to write.
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// float, or exact: integers throughout, the same boxes bit for bit on every device.
    #[arg(long, default_value = "exact")]
    precision: String,
    /// Images that the ranges of numbers are taken from, for exact: a run's own training images where it is not given.
    #[arg(long, value_name = "DIR|FILE|scenes")]
    data: Option<String>,
    /// Their split.
    #[arg(long, default_value = "trainval")]
    split: String,
    /// How many of them.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=256))]
    calibration_images: u32,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Exports.
pub fn run(args: Args) -> Result<()> {
    let precision: Precision = args.precision.parse()?;
    let same =
        |a: &Path, b: &Path| std::fs::canonicalize(a).is_ok_and(|a| std::fs::canonicalize(b).is_ok_and(|b| a == b));
    if same(&args.run, &args.out) {
        return Err(Error::config("--out", "is the file to read", "Choose another name."));
    }
    let (detector, weights) = trained_or_foreign(&args.run)?;
    let (images, device) = match precision {
        Precision::Float => (Vec::new(), Device::Cpu),
        Precision::Exact => {
            let set = calibration_set(&args, &detector)?;
            (images(&set, &detector, args.calibration_images as usize)?, args.device.open()?)
        }
    };
    let progress = bar(images.len() as u64, "images");
    let done = |n: usize| progress.set_position(n as u64);
    let mut file = export(&detector, &weights, precision, &images, &device, done)?;
    progress.finish_and_clear();
    (file.record.step, file.record.config) = trained_by(&args.run, &weights.metadata);
    let name = detector.name();
    let (bits, values) = counts(&Program::of(&detector)?);
    file.write(&args.out)?;
    let bytes = std::fs::metadata(&args.out).map_err(|e| Error::io("read", &args.out, e))?.len();
    println!("network      {name}, {}", precision.as_str());
    println!("weights      {bits} as bits, {values} others");
    if precision == Precision::Exact {
        println!(
            "integers     {} bits of fraction, {} in the heads; ranges from {} images",
            file.numbers.fraction,
            file.numbers.head_fractions.iter().map(u32::to_string).collect::<Vec<_>>().join(", "),
            file.record.calibration_images
        );
    }
    println!("written      {}, {:.2} MB", args.out.display(), bytes as f64 / 1e6);
    println!(
        "next         autobidet detect --weights {out} IMAGE --out DIR; autobidet eval --weights {out} --data DATA",
        out = args.out.display()
    );
    Ok(())
}

/// Weights stored as bits, and others.
fn counts(program: &Program) -> (u64, u64) {
    let (mut bits, mut others) = (0, 0);
    for s in &program.stages {
        let (c, o) = (program.values[s.x].shape.c as u64, program.outputs(s) as u64);
        match &s.kind {
            Kind::Binary { op, .. } => bits += c * o * (op.kernel[0] * op.kernel[1]) as u64,
            Kind::Conv { op, .. } => others += c * o * (op.kernel[0] * op.kernel[1]) as u64,
            _ => {}
        }
    }
    (bits, others)
}

/// Steps and settings of the run that the weights are of.
fn trained_by(run: &Path, metadata: &str) -> (u64, String) {
    let json: serde_json::Value = serde_json::from_str(metadata).unwrap_or_default();
    let folder = if run.is_dir() { Some(run) } else { run.parent() };
    // A run's settings name folders of the machine that it was trained on, which are nobody's concern.
    let config = folder.and_then(|f| RunFolder::open(f).ok()).and_then(|(_, mut c)| {
        c.data = DataConfig { path: String::new(), ..c.data };
        c.model.backbone = String::new();
        c.to_toml().ok()
    });
    (json["step"].as_u64().unwrap_or(0), config.unwrap_or_default())
}

fn calibration_set(args: &Args, detector: &Detector) -> Result<std::sync::Arc<Dataset>> {
    let (config, split) = match &args.data {
        Some(path) => {
            let data = DataConfig { path: path.clone(), ..Default::default() };
            (RunConfig { data, ..Default::default() }, args.split.clone())
        }
        None => {
            let folder = if args.run.is_dir() { Some(args.run.as_path()) } else { args.run.parent() };
            let config = folder.and_then(|f| RunFolder::open(f).ok()).map(|f| f.1).ok_or_else(|| {
                Error::config(
                    "--data",
                    "is not given, and the weights are in no run's folder",
                    "An exact file needs some images like those that it will see: give a data set.",
                )
            })?;
            let split = config.data.train.clone();
            (config, split)
        }
    };
    let set = dataset(&config, &split, Some(&detector.config.classes))?;
    tell_notes(&set.notes);
    Ok(set)
}

/// `most` images, evenly over the set, as the network's input.
fn images(set: &Dataset, detector: &Detector, most: usize) -> Result<Vec<Vec<f32>>> {
    let n = most.min(set.images.len());
    let mut out = Vec::with_capacity(n);
    for i in 0..n {
        match pixels(&set.images[i * set.images.len() / n]) {
            Ok(image) => out.push(detector.preprocess.eval(&image)),
            Err(e) => say(format!("note: {e}")),
        }
    }
    Ok(out)
}
