//! `autobidet` without a command: the main job in a few minutes.

use std::path::PathBuf;

use super::open::{DeviceArgs, on_interrupt};
use super::say;
use super::train::{Start, session, summary};
use crate::Result;
use crate::config::{DataConfig, RunConfig, TrainConfig};

/// The main job in a few minutes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Minutes of training.
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Trains `tiny` with `bidet-sc` on the embedded scenes.
pub fn run(args: Args) -> Result<()> {
    let config = RunConfig {
        train: TrainConfig { minutes: args.minutes, ..Default::default() },
        data: DataConfig::default(),
        ..Default::default()
    };
    config.check()?;
    say("autobidet: training a binarized detector on drawn scenes (your own data: `autobidet train --help`)");
    let device = args.device.open()?;
    let start = Start::Numbered { parent: PathBuf::from("runs"), base: "quickstart" };
    let (folder, outcome) = session(start, config, device, None, on_interrupt()?)?;
    summary(&folder, &outcome);
    println!("next     autobidet detect --weights {} IMAGE --out found", folder.0.display());
    Ok(())
}
