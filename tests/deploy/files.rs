//! Deploy files on the disk: sizes, versions, damage.

use autobidet::deploy::{DeployFile, Precision};
use autobidet::device::Device;
use autobidet::predict::{Model, Predictor};
use autobidet::weights::WeightFile;

use super::{detector, export, weights};

/// Writes metadata changed by `change`, with a true checksum.
fn changed(file: &DeployFile, change: impl Fn(&mut serde_json::Value)) -> WeightFile {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.safetensors");
    file.write(&path).unwrap();
    let mut w = WeightFile::read(&path).unwrap();
    let mut json = serde_json::from_str(&w.metadata).unwrap();
    change(&mut json);
    w.metadata = json.to_string();
    w
}

fn refused(file: WeightFile, part: &str) {
    let opened = DeployFile::open(file).and_then(|f| Predictor::of(Model::Deployed(Box::new(f)), &Device::Cpu, 1));
    let message = opened.map(|_| ()).unwrap_err().to_string();
    assert!(message.contains(part), "`{part}` is not in: {message}");
}

#[test]
fn files_that_do_not_fit_are_refused() {
    let d = detector("tiny", "bidet-sc", 1);
    let w = weights(&d);
    let file = export(&d, &w, Precision::Exact);
    refused(changed(&file, |j| j["deploy"] = 2.into()), "version 2");
    refused(changed(&file, |j| j["precision"] = "half".into()), "half");
    refused(changed(&file, |j| j["model"]["classes"] = serde_json::json!([])), "no classes");
    // Labels of the wrong number: the heads have another size.
    refused(changed(&file, |j| j["model"]["classes"] = serde_json::json!(["a", "b"])), "elements, expected");
    refused(changed(&file, |j| j["preprocess"]["size"] = 161.into()), "another input");
    refused(changed(&file, |j| j["head_fractions"] = serde_json::json!([16])), "fixed points");
    refused(changed(&file, |j| j["fraction"] = 31.into()), "30 bits");
    refused(changed(&file, |j| j["nms"]["iou_threshold"] = (-1.0).into()), "thresholds");
    refused(changed(&file, |j| j["surprise"] = 1.into()), "surprise");
    refused(changed(&file, |j| j["model"]["channel_divisor"] = 3.into()), "channel_divisor");
    let without = |name: &str| {
        let mut f = changed(&file, |_| ());
        f.tensors.remove(name).unwrap();
        f
    };
    refused(without("body.2.conv.words"), "body.2.conv.words");
    refused(without("images.pad"), "images.pad");
    let with = |name: &str, words: Vec<u32>| {
        let mut f = changed(&file, |_| ());
        let t = f.tensors.get_mut(name).unwrap();
        t.words = words;
        t.shape = vec![t.words.len()];
        f
    };
    refused(with("body.2.conv.affine", vec![0; 5]), "has 5 elements");
    let mut open = changed(&file, |_| ());
    open.sealed = false;
    refused(open, "no checksum");
    refused(changed(&file, |j| j["model"]["method"] = "float".into()), "no binary layers");
    refused(changed(&file, |j| j["record"]["version"] = "\u{1b}[2J".into()), "control characters");
    let plane = |at: usize, value: i32| {
        let mut words = file.numbers.tensors["body.5.conv.affine"].words.clone();
        words[at] = value as u32;
        with("body.5.conv.affine", words)
    };
    for (at, value) in [(0, 1 << 15), (0, i32::MIN), (128, 47), (128, i32::MAX), (256, 1 << 30)] {
        refused(plane(at, value), "out of range");
    }
    let mut floats = changed(&file, |_| ());
    floats.tensors.get_mut("body.5.conv.affine").unwrap().float = true;
    refused(floats, "holds floats");
    let bytes = file.numbers.tensors.keys().find(|k| k.ends_with(".bytes")).unwrap();
    refused(with(bytes, vec![1 << 15, 3, 0]), "out of range");
    refused(with(bytes, vec![i32::MIN as u32, 3, 0]), "out of range");
    let big = file.numbers.tensors["head.0.weight"].words.len();
    refused(with("head.0.weight", vec![200; big]), "-127 to 127");
}

/// Sixty prefixes and sixty altered bytes are errors.
#[test]
fn cut_and_altered_files_are_errors() {
    let d = detector("tiny", "bidet", 1);
    let file = export(&d, &weights(&d), Precision::Exact);
    let bytes = file.to_bytes().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.safetensors");
    let try_open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        DeployFile::read(&path).map(|_| ())
    };
    try_open(&bytes).unwrap();
    for i in 0..60 {
        try_open(&bytes[..i * bytes.len() / 60]).unwrap_err();
        let mut altered = bytes.clone();
        altered[i * bytes.len() / 60 + 3] ^= 1 << (i % 8);
        try_open(&altered).unwrap_err();
    }
}

/// The promised sizes, of a network with VOC's classes.
#[test]
fn ssd300_for_voc_is_a_few_megabytes() {
    let mut d = detector("ssd300-vgg16", "bidet-sc", 1);
    d.config.classes = (0..20).map(|i| format!("class {i}")).collect();
    let w = weights(&d);
    for (precision, most) in [(Precision::Float, 14_000_000), (Precision::Exact, 10_000_000)] {
        let file = match precision {
            Precision::Float => export(&d, &w, precision),
            // A size needs no images.
            Precision::Exact => {
                use autobidet::deploy::{Program, Record, Seen, exact, fold};
                let program = Program::of(&d).unwrap();
                let folded = fold(&program, &w).unwrap();
                let seen = Seen { largest: 4.0, sample: vec![-1.0, 0.5, 4.0] };
                let seen = vec![Some(seen); program.values.len()];
                let numbers = exact(&program, &folded, d.preprocess.normalization, &seen).unwrap();
                DeployFile { detector: d.clone(), numbers, nms: Default::default(), record: Record::default() }
            }
        };
        let bytes = file.to_bytes().unwrap().len();
        println!("{}: {bytes} bytes", precision.as_str());
        assert!(bytes <= most, "{precision:?}: {bytes}");
    }
}
