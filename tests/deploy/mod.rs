//! Deploy files: what is exported computes what was trained, in integers the same bits everywhere.

mod files;
mod hashes;
mod program;

use std::path::PathBuf;
use std::sync::Arc;

use autobidet::config::{Method, ModelConfig, ModelName};
use autobidet::data::scenes::{self, SceneSpec};
use autobidet::deploy::{DeployFile, Precision};
use autobidet::device::Device;
use autobidet::models::Detector;
use autobidet::plan::{Builder, Mode, PlanLimits, Role};
use autobidet::predict::{Model, Predictor};
use autobidet::rng::Counter;
use autobidet::weights::{FileTensor, WeightFile};

pub fn detector(model: &str, method: &str, divisor: u32) -> Detector {
    let config = ModelConfig {
        name: model.parse::<ModelName>().unwrap(),
        method: method.parse::<Method>().unwrap(),
        classes: ["disc", "ring", "box"].map(String::from).to_vec(),
        channel_divisor: divisor,
        ..Default::default()
    };
    Detector::new(&config).unwrap()
}

/// Weights as after some training: batch norms that do something.
pub fn weights(detector: &Detector) -> WeightFile {
    let (plan, _) = Builder::build("t", Mode::Eval, PlanLimits::HOST, 1, |b| detector.network(b)).unwrap();
    let mut file = WeightFile { path: PathBuf::from("made.safetensors"), ..Default::default() };
    file.metadata = serde_json::json!({ "step": 7, "model": detector.config }).to_string();
    for p in &plan.params {
        assert!(matches!(plan.info(p.tensor).role, Role::Param | Role::State));
        for (name, dims) in p.files(plan.info(p.tensor).shape) {
            let rng = Counter::named(11, &name);
            let len: usize = dims.iter().product();
            let fan: usize = dims.iter().skip(1).product::<usize>().max(1);
            let value = |i: u32| {
                let v = rng.normal(i);
                match name.rsplit('.').next().unwrap() {
                    "running_var" => {
                        0.5 + v * v + if name.contains("body") || name.contains("vgg") { 20.0 } else { 1.0 }
                    }
                    "running_mean" => 0.5 * v,
                    "bias" => 0.3 * v,
                    "weight" if dims.len() == 1 => 1.0 + 0.3 * v,
                    _ => v / (fan as f32).sqrt(),
                }
            };
            let data: Vec<f32> = (0..len as u32).map(value).collect();
            file.tensors.insert(name, FileTensor::floats(dims, &data));
        }
    }
    file
}

/// Drawn scenes as the network's input.
pub fn images(detector: &Detector, n: u64) -> Vec<Vec<f32>> {
    let spec = SceneSpec { seed: 3, width: detector.preprocess.size, height: detector.preprocess.size };
    (0..n).map(|i| detector.preprocess.eval(&scenes::draw(&spec, i).0)).collect()
}

pub fn export(detector: &Detector, weights: &WeightFile, precision: Precision) -> DeployFile {
    autobidet::deploy::export(detector, weights, precision, &images(detector, 3), &Device::Cpu, |_| ()).unwrap()
}

/// The same through a file on the disk.
pub fn reread(file: &DeployFile) -> DeployFile {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.safetensors");
    file.write(&path).unwrap();
    DeployFile::read(&path).unwrap()
}

pub fn outputs(model: Model, device: &Device, images: &[Vec<f32>]) -> (Vec<f32>, Vec<f32>) {
    let mut p = Predictor::of(model, device, images.len()).unwrap();
    let raw = p.forward(&images.concat(), images.len()).unwrap();
    let means = raw.locations.chunks_exact(8).flat_map(|l| l[4..].to_vec()).collect();
    (means, raw.logits)
}

pub fn gpu() -> Option<Device> {
    match autobidet::testing::test_gpu().unwrap() {
        Some(autobidet::testing::TestDevice::Gpu(g)) => Some(Device::Gpu(Arc::clone(&g))),
        _ => None,
    }
}
