//! One small file, five lines: what `autobidet export` writes, loaded and asked what is in an image.
//!
//! `cargo run --release --example 05_deploy [FILE IMAGE]`
//!
//! Without arguments, the run of `03_train_tiny` is exported first, and the image is a drawn scene.

use std::path::PathBuf;

use autobidet::Detector;
use autobidet::data::scenes::{self, SceneSpec, TEST_START};

fn main() -> autobidet::Result<()> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (file, image) = match (args.next(), args.next()) {
        (Some(file), Some(image)) => (file, autobidet::data::image_file::read(&image, None)?.image),
        _ => (exported()?, scenes::draw(&SceneSpec { seed: 1, ..Default::default() }, TEST_START).0),
    };

    let mut detector = Detector::load(&file)?;
    for found in detector.detect(&image)? {
        println!("{} {:.2} {:?}", found.label, found.score, found.bbox);
    }
    Ok(())
}

/// The run of `03_train_tiny` as a deploy file.
fn exported() -> autobidet::Result<PathBuf> {
    use autobidet::deploy::{Precision, export};
    use autobidet::device::Device;

    let run = std::env::temp_dir().join("autobidet-example-run");
    if !run.exists() {
        let remedy = "Run `cargo run --release --example 03_train_tiny` first, or name a deploy file and an image.";
        return Err(autobidet::Error::data(&run, "there is no run here yet", remedy));
    }
    let (detector, weights) = autobidet::predict::trained(&run)?;
    let spec = SceneSpec { seed: 1, ..Default::default() };
    let images: Vec<Vec<f32>> = (0..8).map(|i| detector.preprocess.eval(&scenes::draw(&spec, i).0)).collect();
    let file = export(&detector, &weights, Precision::Exact, &images, &Device::Cpu, |_| ())?;
    let path = std::env::temp_dir().join("autobidet-example.safetensors");
    file.write(&path)?;
    println!("{}: {} bytes", path.display(), file.to_bytes()?.len());
    Ok(path)
}
