//! Weight files of others.

use std::sync::Arc;

use autobidet::config::{Method, ModelConfig, ModelName};
use autobidet::cpu::CpuExecutor;
use autobidet::models::Detector;
use autobidet::plan::{Builder, Mode, PlanLimits};
use autobidet::weights::{FileTensor, WeightFile, collect, load_vgg16};

/// VGG16's convolutions as torchvision numbers them: number, input channels, output channels.
const VGG16: [(usize, usize, usize); 13] = [
    (0, 3, 64),
    (2, 64, 64),
    (5, 64, 128),
    (7, 128, 128),
    (10, 128, 256),
    (12, 256, 256),
    (14, 256, 256),
    (17, 256, 512),
    (19, 512, 512),
    (21, 512, 512),
    (24, 512, 512),
    (26, 512, 512),
    (28, 512, 512),
];

fn network(model: ModelName, method: &str) -> CpuExecutor {
    let method = method.parse::<Method>().unwrap();
    let config = ModelConfig { name: model, method, classes: vec!["a".into()], ..Default::default() };
    let d = Detector::new(&config).unwrap();
    let plan = Builder::build(&d.name(), Mode::Eval, PlanLimits::HOST, 1, |b| d.network(b)).unwrap().0;
    CpuExecutor::new(Arc::new(plan)).unwrap()
}

/// A file whose tensors of convolution n are all n + 1 (weights) and -n - 1 (biases).
fn vgg16() -> WeightFile {
    let mut file = WeightFile { path: "vgg16.safetensors".into(), ..Default::default() };
    for (n, inputs, outputs) in VGG16 {
        let (v, weight) = (n as f32 + 1.0, format!("features.{n}.weight"));
        file.tensors.insert(weight, FileTensor::floats(vec![outputs, inputs, 3, 3], &vec![v; 9 * inputs * outputs]));
        file.tensors.insert(format!("features.{n}.bias"), FileTensor::floats(vec![outputs], &vec![-v; outputs]));
    }
    file
}

#[test]
fn a_vgg16_backbone_is_taken_whole() {
    let file = vgg16();
    let mut e = network(ModelName::Ssd300Vgg16, "float");
    let taken = load_vgg16(&mut e, &file).unwrap();
    assert_eq!(taken.len(), 26);
    let weights = collect(&mut e).unwrap();
    for (n, ..) in VGG16 {
        let v = n as f32 + 1.0;
        assert!(weights[&format!("vgg.{n}.weight")].to_f32().iter().all(|w| *w == v), "{n}");
        assert!(weights[&format!("vgg.{n}.bias")].to_f32().iter().all(|w| *w == -v), "{n}");
    }
    assert!(weights["vgg.31.weight"].to_f32().iter().all(|w| *w == 0.0), "fc6 is not in the file");

    let mut e = network(ModelName::Ssd300Vgg16, "bidet-sc");
    assert_eq!(load_vgg16(&mut e, &file).unwrap().len(), 13, "the binarized network has no biases");
    let weights = collect(&mut e).unwrap();
    assert!(weights["vgg.layers.16.conv.weight"].to_f32().iter().all(|w| *w == 29.0));
    assert!(
        weights["vgg.layers.17.conv.weight"].to_f32().iter().all(|w| *w == 0.0),
        "the last of a stage starts fresh"
    );
}

#[test]
fn a_backbone_that_is_not_whole_is_refused_by_the_name_of_what_is_wrong() {
    let mut e = network(ModelName::Ssd300Vgg16, "float");
    let mut refused = |change: &dyn Fn(&mut WeightFile), says: &str| {
        let mut file = vgg16();
        change(&mut file);
        let message = load_vgg16(&mut e, &file).unwrap_err().to_string();
        assert!(message.contains("vgg16.safetensors") && message.contains(says), "`{says}` is not in: {message}");
        assert!(collect(&mut e).unwrap().values().all(|t| t.words.iter().all(|w| *w == 0)), "something was taken");
    };
    let remove = |name: &'static str| move |f: &mut WeightFile| drop(f.tensors.remove(name));
    refused(&remove("features.12.bias"), "has no features.12.bias");
    refused(&remove("features.28.weight"), "has no features.28.weight");
    refused(&|f| f.tensors.clear(), "has no features.0.weight");
    let thin = |f: &mut WeightFile| {
        f.tensors.insert("features.17.weight".into(), FileTensor::floats(vec![512, 256, 1, 1], &[1.0; 512 * 256]));
    };
    refused(&thin, "features.17.weight is [512, 256, 1, 1], expected [512, 256, 3, 3]");
    // fc6 may be missing, but not be something else.
    let fc6 = |f: &mut WeightFile| {
        f.tensors.insert("features.31.weight".into(), FileTensor::floats(vec![2, 2], &[1.0; 4]));
    };
    refused(&fc6, "features.31.weight is [2, 2]");

    let mut tiny = network(ModelName::Tiny, "float");
    let message = load_vgg16(&mut tiny, &vgg16()).unwrap_err().to_string();
    assert!(message.contains("is for ssd300-vgg16, this network is tiny"), "{message}");
}

#[test]
fn a_header_of_any_length_is_read_back() {
    // One whose length begins with 0x80 looks like a pickle at first sight.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let mut lengths = std::collections::BTreeSet::new();
    for n in 0..300 {
        let metadata = format!("\"{}\"", "x".repeat(n));
        let tensors = [("a".to_string(), autobidet::weights::FileTensor::floats(vec![1], &[n as f32]))].into();
        let file = WeightFile { path: path.clone(), tensors, metadata, ..Default::default() };
        file.write(&path).unwrap();
        lengths.insert(std::fs::read(&path).unwrap()[0]);
        assert_eq!(WeightFile::read(&path).unwrap().tensors, file.tensors, "{n}");
    }
    assert!(lengths.contains(&0x80), "{lengths:?}");
}
