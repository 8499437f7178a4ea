//! Training through the library: sixty steps of a small binarized detector on drawn scenes, about 20 seconds
//! on two cores.
//!
//! `cargo run --release --example 03_train_tiny [FOLDER]`
//!
//! What `autobidet train` does is this and no more: a configuration, a data set, a device, listeners.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use autobidet::config::{DataConfig, ModelConfig, RunConfig, TrainConfig};
use autobidet::data::scenes::{self, SceneSpec};
use autobidet::device::Device;
use autobidet::gpu::{DeviceChoice, LimitsChoice};
use autobidet::report::jsonl::JsonLog;
use autobidet::report::progress::Progress;
use autobidet::train::{Job, RunFolder, train, write_report};

fn main() -> autobidet::Result<()> {
    let path = std::env::args_os().nth(1).map(PathBuf::from);
    let path = path.unwrap_or_else(|| std::env::temp_dir().join("autobidet-example-run"));

    // Everything that is not named keeps its default: `tiny`, `bidet-sc`, light augmentation, the short schedule.
    let config = RunConfig {
        model: ModelConfig { method: "bidet-sc".parse()?, ..Default::default() },
        data: DataConfig { scenes_train: 1000, scenes_test: 40, ..Default::default() },
        // `epochs` or `minutes` would do too. One evaluation, at the end.
        train: TrainConfig { steps: 60, eval_every: 60, ..Default::default() },
        ..Default::default()
    };

    // Data are values: any `Dataset` will do (`autobidet::data::open` reads VOC folders and COCO jsons).
    let spec = SceneSpec { seed: 1, ..Default::default() };
    let (training, test) = (
        Arc::new(scenes::train(&spec, config.data.scenes_train)),
        Arc::new(scenes::test(&spec, config.data.scenes_test)),
    );

    let (device, note) = Device::open(&DeviceChoice::Auto, LimitsChoice::Adapter)?;
    if let Some(note) = note {
        println!("{note}");
    }
    println!("device: {}", device.name());

    // Made anew each time (`true`); what is not a file of a run is left alone.
    let folder = RunFolder::create(&path, &config, true)?;
    let outcome = train(Job {
        folder: folder.clone(),
        config,
        device,
        train: training.clone(),
        test: Some(test.clone()),
        resume: false,
        pause_after: None,
        // Set it to true from another thread and the run is saved and ends.
        stop: Arc::new(AtomicBool::new(false)),
        // The loop tells what happens; who listens is up to you.
        listeners: vec![Box::new(JsonLog::create(folder.log())?), Box::new(Progress::stderr())],
    })?;
    write_report(&folder, &outcome, &training, Some(&test))?;

    if let Some((evaluation, _)) = &outcome.evaluation {
        println!("{evaluation}");
    }
    println!(
        "{} steps in {:.0} s (three minutes make a detector of it: `cargo run --release`)",
        outcome.step, outcome.seconds
    );
    println!("weights {}", folder.best().display());
    println!("report  {}", folder.report().display());
    Ok(())
}
