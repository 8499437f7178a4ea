//! Detection through the library: a trained run, eight scenes that it has not seen, one picture.
//!
//! `cargo run --release --example 04_detect_image [RUN] [PICTURE]`
//!
//! Without a run, that of `03_train_tiny` is taken. The picture (PNG, or JPEG by its ending) is a sheet of the scenes
//! with what was found; README.md shows one.

use std::path::PathBuf;

use autobidet::Error;
use autobidet::data::scenes::{self, SceneSpec, TEST_START};
use autobidet::detect::decode::DecodeOptions;
use autobidet::device::Device;
use autobidet::gpu::{DeviceChoice, LimitsChoice};
use autobidet::predict::Predictor;
use autobidet::report::draw::{LabelledBox, Stroke, contact_sheet, draw_boxes_scaled};
use image::imageops::{FilterType, resize};

fn main() -> autobidet::Result<()> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let default = std::env::temp_dir().join("autobidet-example-run");
    let run = args.next().unwrap_or_else(|| default.clone());
    let picture = args.next().unwrap_or_else(|| std::env::temp_dir().join("autobidet-example-found.png"));
    if run == default && !run.exists() {
        let remedy = "Run `cargo run --release --example 03_train_tiny` first, or name the folder of a run.";
        return Err(Error::data(&run, "there is no run here yet", remedy));
    }

    // A run's weights say which network they are for, with which classes.
    let (device, _) = Device::open(&DeviceChoice::Auto, LimitsChoice::Adapter)?;
    let mut predictor = Predictor::open(&run, &device)?;
    let classes = predictor.detector.config.classes.clone();

    // Scenes from TEST_START on are never trained on.
    let spec = SceneSpec { seed: 1, ..Default::default() };
    let options = DecodeOptions { score_threshold: 0.4, clip: true, ..Default::default() };
    let mut pictures = Vec::new();
    for index in 0..8 {
        let (image, objects) = scenes::draw(&spec, TEST_START + index);
        let input = predictor.detector.preprocess.eval(&image);
        // Boxes come in pixels of the size that is named: twice the scene's, to be looked at.
        let size = (2 * image.width(), 2 * image.height());
        let found = predictor.detect(&input, &[size], &options)?.remove(0);
        println!("scene {index}: {} objects drawn, {} found", objects.len(), found.detections.len());
        let boxes: Vec<LabelledBox> = found
            .detections
            .iter()
            .map(|d| LabelledBox { bbox: d.bbox, class: d.class, name: classes[d.class].clone(), score: Some(d.score) })
            .collect();
        let mut picture = resize(&image, size.0, size.1, FilterType::CatmullRom);
        draw_boxes_scaled(&mut picture, &boxes, Stroke::Solid, 1.3);
        pictures.push(picture);
    }
    let sheet = contact_sheet(&pictures, 4, &[]);
    sheet
        .save(&picture)
        .map_err(|e| Error::format(&picture, format!("cannot be written: {e}"), "Name a .png or .jpg"))?;
    println!("picture: {}", picture.display());
    Ok(())
}
