//! What several subcommands open: devices, data sets. Trained detectors are opened by [`crate::predict::trained`].

use std::path::Path;
use std::sync::Arc;

use super::say;
use crate::config::RunConfig;
use crate::data::scenes::{self, SceneSpec};
use crate::data::{self, Dataset, Note};
use crate::device::Device;
use crate::gpu::{DeviceChoice, LimitsChoice};
use crate::models::{Detector, tiny};
use crate::predict::trained;
use crate::weights::{Foreign, ImportOptions, WeightFile, import};
use crate::{Error, Result};

/// `--device` and `--limits`, the same everywhere.
#[derive(Debug, Clone, clap::Args)]
pub struct DeviceArgs {
    /// Where to compute: auto, cpu, a number from `autobidet devices`, or a part of a name.
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// Take the largest buffers the adapter offers, or stay on the WebGPU floor of 128 MiB. Never changes results.
    #[arg(long, default_value = "adapter", value_parser = ["adapter", "floor"])]
    pub limits: String,
}

impl DeviceArgs {
    /// Opens the device and says which it is.
    pub fn open(&self) -> Result<Device> {
        let choice: DeviceChoice = self.device.parse()?;
        let limits = if self.limits == "floor" { LimitsChoice::Floor } else { LimitsChoice::Adapter };
        let (device, note) = Device::open(&choice, limits)?;
        if let Some(n) = note {
            say(n);
        }
        say(format!("device: {}", device.name()));
        if let Device::Gpu(g) = &device {
            let l = g.limits();
            let mib = |b: u64| b >> 20;
            say(format!(
                "limits: {} MiB a binding, {} MiB a buffer, {} workgroups a dimension",
                mib(l.max_binding),
                mib(l.max_buffer),
                l.max_groups
            ));
        }
        Ok(device)
    }
}

/// The size of the embedded data set's images.
const SCENE_SIZE: u32 = tiny::SIZE;

/// The seed of the embedded data set: the data are the same in every run.
pub const SCENE_SEED: u64 = 1;

/// A split of a data set, or of the embedded one. `classes` are the model's own, where there is one.
pub fn dataset(config: &RunConfig, split: &str, classes: Option<&[String]>) -> Result<Arc<Dataset>> {
    let d = &config.data;
    if d.path == "scenes" {
        let spec = SceneSpec { seed: SCENE_SEED, width: SCENE_SIZE, height: SCENE_SIZE };
        let set = match split {
            "train" | "trainval" => scenes::train(&spec, d.scenes_train),
            "test" | "val" => scenes::test(&spec, d.scenes_test),
            other => {
                return Err(Error::config(
                    "--split",
                    format!("the embedded scenes have no split {other:?}"),
                    "Give train or test.",
                ));
            }
        };
        return Ok(Arc::new(set));
    }
    Ok(Arc::new(data::open_with(Path::new(&d.path), split, classes)?))
}

/// Says what was met in data.
pub fn tell_notes(notes: &[Note]) {
    for n in notes {
        say(format!("note: {n}"));
    }
}

/// [`trained`], and weights of other programs as `import` makes them without being told anything.
///
/// # Errors
/// Those of [`trained`] and of [`import`].
pub fn trained_or_foreign(path: &Path) -> Result<(Detector, WeightFile)> {
    if path.is_dir() || !Foreign::is_foreign(path)? {
        return trained(path);
    }
    let imported = import(&Foreign::open(path)?, &ImportOptions::default())?;
    match &imported.config {
        Some(c) => Ok((Detector::new(c)?, imported.weights)),
        None => Err(Error::format(
            path,
            format!("is of {}, which is no detector", imported.report.network),
            "Give a detector's weights.",
        )),
    }
}

/// Sets a flag on Ctrl-C; the second one ends the process at once.
pub fn on_interrupt() -> Result<Arc<std::sync::atomic::AtomicBool>> {
    use std::sync::atomic::{AtomicBool, Ordering};
    let flag = Arc::new(AtomicBool::new(false));
    let seen = flag.clone();
    let set = ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after this step; the run is saved (press Ctrl-C again to stop at once)");
    });
    if let Err(e) = set {
        say(format!("note: Ctrl-C cannot be caught ({e}); it ends the program without saving"));
    }
    Ok(flag)
}

/// A progress bar with an estimate of the time left; silent where stderr is no terminal.
pub fn bar(total: u64, unit: &str) -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new(total);
    let style = indicatif::ProgressStyle::with_template(&format!("{{bar:40}} {{pos}}/{{len}} {unit}, {{eta}} left"));
    if let Ok(s) = style {
        bar.set_style(s);
    }
    bar
}
