//! `import`, and what opens its result: `info`, `detect`, `train --backbone`, `trace --against`.

use std::path::{Path, PathBuf};

use autobidet::config::{ModelConfig, ModelName};
use autobidet::data::labels;
use autobidet::models::Detector;
use autobidet::plan::{Builder, Mode, PlanLimits};
use autobidet::weights::{FileTensor, WeightFile};
use serde_json::Value;

use super::{arg, call, fails, scenes, trained, works};
use crate::foreign::shared;
use crate::foreign::torch_file::{Array, legacy, records, state_dict, with_keys, zip, zipped};

/// All arrays of a BiDet-SSD300 of a 64th of the channels with first values, under the names of official checkpoints.
fn bidet(classes: usize) -> Vec<Array> {
    let config = ModelConfig {
        name: ModelName::Ssd300Vgg16,
        channel_divisor: 64,
        classes: (0..classes).map(|i| i.to_string()).collect(),
        ..Default::default()
    };
    let d = Detector::new(&config).unwrap();
    let (plan, _) = Builder::build("t", Mode::Eval, PlanLimits::HOST, 1, |b| d.network(b)).unwrap();
    let mut out = Vec::new();
    for p in &plan.params {
        let shape = plan.info(p.tensor).shape;
        for ((name, dims), values) in p.files(shape).into_iter().zip(p.initial(shape, 3)) {
            let dims: Vec<i64> = dims.iter().map(|d| *d as i64).collect();
            if let Some(norm) = name.strip_suffix("running_var") {
                out.push(Array::counter(&format!("{norm}num_batches_tracked"), 5));
            }
            out.push(Array::floats(&name, &dims, &values));
        }
    }
    out
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn image() -> PathBuf {
    let entries = scenes().join("JPEGImages").read_dir().unwrap().flatten().map(|e| e.path());
    entries.filter(|p| p.is_file()).min().unwrap()
}

#[test]
fn a_bidet_checkpoint_becomes_a_weight_file() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    // As DataParallel saves it, in a dictionary, with one tensor more and two in half precision.
    let mut arrays = bidet(20);
    let half = |v: &[u8]| half::f16::from_f32(f32::from_le_bytes(v.try_into().unwrap())).to_le_bytes();
    for a in arrays.iter_mut().filter(|a| a.name.starts_with("loc.0.")) {
        (a.class, a.bytes) = ("HalfStorage", a.bytes.chunks(4).flat_map(half).collect());
    }
    arrays.push(Array::floats("priors", &[2], &[1.0, 2.0]));
    for a in &mut arrays {
        a.name = format!("module.{}", a.name);
    }
    let arrays = with_keys(&arrays);
    let file = write(d, "bidet.pth", &zip(&records(&state_dict(&arrays, 2, &["state_dict"], false), &arrays)));
    let out = d.join("bidet.safetensors");
    let p = works(&["import", arg(&file), "--out", arg(&out), "--json"]);
    let json: Value = serde_json::from_str(&p.out).unwrap();
    let n = arrays.iter().filter(|a| a.class != "LongStorage").count() - 1;
    assert_eq!(json["matched"].as_array().unwrap().len(), n, "{json}");
    assert_eq!(json["converted"], serde_json::json!({ "float16": 2, "float32": n - 2 }));
    assert_eq!((json["counters"].as_u64(), json["prefix"].as_str()), (Some(31), Some("module.")));
    assert_eq!(
        (&json["unknown"], &json["inside"]),
        (&serde_json::json!(["priors"]), &serde_json::json!(["state_dict"]))
    );
    assert_eq!(json["beside"], serde_json::json!(["epoch"]));
    assert_eq!((json["opens"].as_bool(), &json["missing"]), (Some(true), &serde_json::json!([])));
    assert_eq!(json["model"]["channel_divisor"], 64);
    let classes: Vec<&str> = json["model"]["classes"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    assert_eq!(classes, labels::VOC);
    let weights = WeightFile::read(&out).unwrap();
    assert_eq!(weights.tensors.len(), n);
    let same = arrays.iter().find(|a| a.name.ends_with("extras.4.weight")).unwrap();
    let words: Vec<u32> = same.bytes.chunks(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(weights.tensors["extras.4.weight"].words, words);

    // It opens like one of our own, and gives raw outputs and pictures.
    assert!(works(&["info", arg(&out)]).out.contains("ssd300-vgg16/64 bidet-sc (20 classes) at 300x300, 8732 priors"));
    let (raw, pictures, photo) = (d.join("raw.safetensors"), d.join("found"), image());
    let detect = ["detect", "--weights", arg(&out), arg(&photo), "--device", "cpu"];
    works(&[&detect[..], &["--raw", arg(&raw)]].concat());
    works(&[&detect[..], &["--out", arg(&pictures)]].concat());
    let found = WeightFile::read(&raw).unwrap();
    assert_eq!(found.tensors.keys().collect::<Vec<_>>(), ["conf", "loc"]);
    assert_eq!(found.tensors["loc"].shape, [1, 8732, 8]);
    assert_eq!(found.tensors["conf"].shape, [1, 8732, 21]);
    assert!(found.tensors.values().all(|t| t.to_f32().iter().all(|v| v.is_finite())));
    // A width that there is not, or that is not the tensors'.
    for (width, code, part) in [("3", 2, "model.channel_divisor: is 3"), ("0", 2, "is 0"), ("32", 1, "another model")] {
        let metadata = weights.metadata.replace("\"channel_divisor\":64", &format!("\"channel_divisor\":{width}"));
        assert_ne!(metadata, weights.metadata);
        let other = d.join("other.safetensors");
        WeightFile { metadata, ..weights.clone() }.write(&other).unwrap();
        fails(&["info", arg(&other)], code, &[part]);
    }
    // The text form of the report, from the older form of the file: the same weights.
    let other = write(d, "old.pth", &legacy(&arrays));
    let out2 = d.join("old.safetensors");
    let p = works(&["import", arg(&other), "--out", arg(&out2)]);
    for part in ["older form", "BiDet-SSD300 with 1/64", "31 counters", "2 float16", "unknown      priors"] {
        assert!(p.out.contains(part), "`{part}` is not in: {}", p.out);
    }
    assert_eq!(WeightFile::read(&out2).unwrap().tensors, weights.tensors);
}

#[test]
fn classes_are_told_or_found() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let import = |n: usize, more: &[&str]| -> Value {
        let file = write(d, "c.pth", &zipped(&bidet(n)));
        let out = d.join("c.safetensors");
        let p = works(&[&["import", arg(&file), "--out", arg(&out), "--json"], more].concat());
        serde_json::from_str::<Value>(&p.out).unwrap()["model"].clone()
    };
    let coco = import(80, &[]);
    assert_eq!((coco["classes"][79].as_str(), coco["priors"].as_str()), (Some("toothbrush"), Some("coco")));
    assert_eq!((&coco["category_ids"][0], &coco["category_ids"][79]), (&1.into(), &90.into()));
    assert_eq!(labels::coco_ids().len(), labels::COCO.len());
    let two = import(2, &[]);
    assert_eq!(two["classes"], serde_json::json!(["class-1", "class-2"]));
    assert_eq!(import(2, &["--classes", "cat,dog", "--priors", "coco"])["classes"], serde_json::json!(["cat", "dog"]));
    let names = autobidet::data::open_annotations(scenes(), "trainval").unwrap().classes;
    let from = import(names.len(), &["--classes-from", arg(scenes())]);
    assert_eq!(from["classes"], serde_json::json!(names));

    let file = write(d, "c.pth", &zipped(&bidet(2)));
    let out = d.join("never.safetensors");
    let bad = |more: &[&str], code, parts: &[&str]| {
        fails(&[&["import", arg(&file), "--out", arg(&out)], more].concat(), code, parts);
        assert!(!out.exists());
    };
    bad(&["--classes", "a,b,c"], 2, &["--classes: names 3, but the class heads have 2"]);
    bad(&["--classes", "a,a"], 2, &["\"a\" twice"]);
    bad(&["--classes", "a,"], 2, &["--classes"]);
    bad(&["--method", "float"], 2, &["--method: is float", "shortcuts"]);
    bad(&["--method", "nonsense"], 2, &["--method"]);
    bad(&["--model", "nonsense"], 2, &["--model"]);
    bad(&["--model", "tiny"], 1, &["c.pth: ", "class head"]);
    bad(&["--classes-from", arg(&d.join("nowhere"))], 1, &["nowhere"]);
    fails(&["import", arg(&file), "--out", arg(&file)], 2, &["--out: is the file to read"]);
}

#[test]
fn checkpoints_that_do_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let out = d.join("never.safetensors");
    let bad = |change: &dyn Fn(&mut Vec<Array>), parts: &[&str]| {
        let mut arrays = bidet(2);
        change(&mut arrays);
        let file = write(d, "bad.pth", &zipped(&arrays));
        fails(&["import", arg(&file), "--out", arg(&out)], 1, &[parts, &["bad.pth: "]].concat());
        assert!(!out.exists());
    };
    fn find<'a>(a: &'a mut [Array], name: &str) -> &'a mut Array {
        a.iter_mut().find(|a| a.name == name).unwrap()
    }
    bad(&|a| a.retain(|t| !t.name.starts_with("extras.2")), &["lacks 1 tensors (extras.2.weight", "BiDet-SSD300"]);
    bad(
        &|a| *find(a, "L2Norm.weight") = Array::floats("L2Norm.weight", &[2, 4], &[20.0; 8]),
        &["1 tensors of another shape", "L2Norm.weight is [2, 4], expected [8]"],
    );
    bad(&|a| a.retain(|t| t.name != "conf.3.bias"), &["holds no conf.3.bias"]);
    bad(
        &|a| *find(a, "conf.2.bias") = Array::floats("conf.2.bias", &[24], &[0.0; 24]),
        &["has 4 classes with the background in head 2 and 3 in those before it"],
    );
    bad(
        &|a| *find(a, "conf.0.bias") = Array::floats("conf.0.bias", &[13], &[0.0; 13]),
        &["13 outputs in class head 0"],
    );
    bad(
        &|a| find(a, "vgg.layers.22.bias").bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes()),
        &["vgg.layers.22.bias holds NaN at place 0"],
    );
    bad(
        &|a| {
            let t = find(a, "loc.1.bias");
            (t.class, t.bytes) = ("LongStorage", vec![0; t.bytes.len() * 2]);
        },
        &["loc.1.bias", "int64"],
    );
    bad(
        &|a| a.iter_mut().for_each(|t| t.name = format!("x.{}", t.name)),
        &["the names of no network known here", "BiDet-SSD300, VGG16"],
    );
    fails(&["import", arg(&d.join("nowhere.pth")), "--out", arg(&out)], 1, &["nowhere.pth", "cannot read"]);
    // Weights of this program's own names, with its model named; a checkpoint where a weight file is wanted.
    let own = trained().join("best.safetensors");
    let p = works(&["import", arg(&own), "--out", arg(&out), "--model", "tiny", "--method", "bidet-sc"]);
    assert!(p.out.contains("it is tiny bidet-sc (6 classes)") && p.err.contains("numbers for names"), "{p:?}");
    let ours = WeightFile::read(&own).unwrap().tensors;
    assert_eq!(WeightFile::read(&out).unwrap().tensors, ours);
    let file = write(d, "bidet.pth", &zipped(&bidet(2)));
    let p = fails(&["info", arg(&file)], 1, &["PyTorch checkpoint", "autobidet import"]);
    assert!(p.out.is_empty());
}

#[test]
fn bodies_of_classification_networks() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let out = d.join("body.safetensors");
    let import = |arrays: &[Array]| -> Value {
        let file = write(d, "body.pth", &zipped(arrays));
        serde_json::from_str(&works(&["import", arg(&file), "--out", arg(&out), "--json"]).out).unwrap()
    };
    let zeros =
        |name: &str, shape: &[i64]| Array::floats(name, shape, &vec![0.5; shape.iter().product::<i64>() as usize]);
    // VGG16 with its first and last convolution alone, and a classifier.
    let vgg = [
        zeros("features.0.weight", &[64, 3, 3, 3]),
        zeros("features.0.bias", &[64]),
        zeros("features.28.weight", &[512, 512, 3, 3]),
        zeros("features.2.bias", &[32]),
        zeros("classifier.6.bias", &[1000]),
    ];
    let json = import(&vgg);
    assert_eq!((json["network"].as_str(), json["opens"].as_bool()), (Some("VGG16"), Some(false)));
    assert!(json["note"].as_str().unwrap().contains("--backbone"));
    assert_eq!(json["matched"].as_array().unwrap().len(), 3);
    assert_eq!(json["missing"].as_array().unwrap().len(), 26 - 4);
    assert_eq!(json["other_shape"][0]["name"], "features.2.bias");
    assert_eq!(json["unknown"], serde_json::json!(["classifier.6.bias"]));
    assert_eq!(WeightFile::read(&out).unwrap().tensors.len(), 3);
    // What is no detector opens in nothing that wants one.
    fails(&["info", arg(&out)], 1, &["does not say which network it is for"]);
    let p = call(&["trace", "--weights", arg(&d.join("body.pth")), "--against", arg(&out), "--device", "cpu"]);
    assert!(p.code == Some(1) && p.err.contains("VGG16, which is no detector"), "{p:?}");
    for (name, arrays) in [
        (
            "ResNet-18",
            vec![
                zeros("layer1.0.conv2.weight", &[64, 64, 3, 3]),
                zeros("layer4.1.conv2.weight", &[512, 512, 3, 3]),
                zeros("layer2.0.downsample.0.weight", &[128, 64, 1, 1]),
            ],
        ),
        (
            "MobileNetV2",
            vec![
                zeros("features.0.0.weight", &[32, 3, 3, 3]),
                zeros("features.1.conv.0.0.weight", &[32, 1, 3, 3]),
                zeros("features.17.conv.2.weight", &[320, 960, 1, 1]),
            ],
        ),
        (
            "MobileNetV1",
            vec![
                zeros("model.0.0.weight", &[32, 3, 3, 3]),
                zeros("model.1.3.weight", &[64, 32, 1, 1]),
                zeros("model.13.4.running_var", &[1024]),
            ],
        ),
        (
            "ShuffleNetV2",
            vec![
                zeros("stage2.0.branch1.2.weight", &[58, 24, 1, 1]),
                zeros("stage4.3.branch2.5.weight", &[232, 232, 1, 1]),
                zeros("conv5.0.weight", &[1024, 464, 1, 1]),
            ],
        ),
    ] {
        let json = import(&arrays);
        assert!(json["network"].as_str().unwrap().starts_with(name), "{json}");
        assert_eq!(json["matched"].as_array().unwrap().len(), 3, "{json}");
        assert!(json["note"].as_str().unwrap().contains("no network here uses it yet"));
    }
}

#[test]
fn real_bodies() {
    let Some(dir) = shared("weights") else { return };
    let out = tempfile::tempdir().unwrap();
    let out = out.path().join("x.safetensors");
    for (file, network, matched, prefix) in [
        ("shufflenetv2-x0.5-yolofastestv2/backbone.pth", "ShuffleNetV2 (stage 2 of 48", 275, ""),
        (
            "shufflenetv2-x0.5-yolofastestv2/coco2017-0.241078ap-model.pth",
            "ShuffleNetV2 (stage 2 of 48",
            275,
            "backbone.",
        ),
        ("vgg16-conv-hed/vgg16_conv_f16.safetensors", "VGG16", 26, ""),
    ] {
        let p = works(&["import", arg(&dir.join(file)), "--out", arg(&out), "--json"]);
        let json: Value = serde_json::from_str(&p.out).unwrap();
        assert!(json["network"].as_str().unwrap().starts_with(network), "{json}");
        assert_eq!(json["matched"].as_array().unwrap().len(), matched, "{json}");
        assert_eq!((&json["missing"], &json["other_shape"]), (&serde_json::json!([]), &serde_json::json!([])));
        assert_eq!(json["prefix"], prefix);
    }
}

#[test]
fn raw_outputs_of_every_network() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let (raw, photo) = (d.join("raw.safetensors"), image());
    let tiny = ["detect", "--weights", arg(trained()), "--device", "cpu", "--raw", arg(&raw)];
    works(&[&tiny[..], &[arg(&photo)]].concat());
    let read = |path: &Path| WeightFile::read(path).unwrap();
    let priors = (20 * 20 + 10 * 10 + 5 * 5 + 3 * 3) * 4;
    assert_eq!(read(&raw).tensors["loc"].shape, [1, priors, 8]);
    assert_eq!(read(&raw).tensors["conf"].shape, [1, priors, 7]);
    fails(&[&tiny[..], &[arg(&photo), arg(&photo)]].concat(), 2, &["--raw: is for one image, not for 2"]);
    fails(&[&tiny[..5], &["--raw", arg(&photo), arg(&photo)]].concat(), 2, &["--raw: is a file to read"]);
    let p = call(&["detect", "--weights", arg(trained()), arg(&photo)]);
    assert!(p.code == Some(2) && p.err.contains("--out"), "{p:?}");
    // Float networks, with first values for weights: tiny and a narrow SSD300.
    for (name, divisor, priors) in [(ModelName::Tiny, 1, priors), (ModelName::Ssd300Vgg16, 64, 8732)] {
        let config = ModelConfig {
            name,
            method: "float".parse().unwrap(),
            channel_divisor: divisor,
            classes: vec!["one".into()],
            ..Default::default()
        };
        let detector = Detector::new(&config).unwrap();
        let (plan, _) = Builder::build("t", Mode::Eval, PlanLimits::HOST, 1, |b| detector.network(b)).unwrap();
        let mut tensors = std::collections::BTreeMap::new();
        for p in &plan.params {
            let shape = plan.info(p.tensor).shape;
            for ((name, dims), values) in p.files(shape).into_iter().zip(p.initial(shape, 3)) {
                tensors.insert(name, FileTensor::floats(dims, &values));
            }
        }
        let metadata = serde_json::json!({ "model": config }).to_string();
        let weights = d.join("float.safetensors");
        WeightFile { tensors, metadata, ..Default::default() }.write(&weights).unwrap();
        works(&["detect", "--weights", arg(&weights), "--device", "cpu", "--raw", arg(&raw), arg(&photo)]);
        assert_eq!(read(&raw).tensors["loc"].shape, [1, priors, 8]);
        assert_eq!(read(&raw).tensors["conf"].shape, [1, priors, 2]);
    }
}

#[test]
fn trace_against_a_reference() {
    let Some(dir) = shared("conformance/bidet_ssd_narrow") else { return };
    let file = |f: &str| dir.join(f).to_str().unwrap().to_string();
    let (weights, reference, image) = (file("bidet_ssd_legacy.pth"), file("reference.safetensors"), file("image.png"));
    let args = ["trace", "--weights", &weights, "--against", &reference, "--device", "cpu"];
    let p = works(&[&args[..], &["--image", &image]].concat());
    println!("{}", p.out);
    assert!(p.out.contains("41 layers agree"), "{}", p.out);
    assert!(p.out.contains("image: conf") && p.out.contains("priors"), "{}", p.out);
    // The whole network's outputs are those that `detect --raw` writes.
    let d = tempfile::tempdir().unwrap();
    let (out, raw) = (d.path().join("narrow.safetensors"), d.path().join("raw.safetensors"));
    works(&["import", &weights, "--out", arg(&out)]);
    works(&["detect", "--weights", arg(&out), "--raw", arg(&raw), &image, "--device", "cpu"]);
    let (raw, want) = (WeightFile::read(&raw).unwrap(), WeightFile::read(Path::new(&reference)).unwrap());
    for name in ["loc", "conf"] {
        assert_eq!(raw.tensors[name].shape, want.tensors[name].shape);
        let a = autobidet::testing::parity::Agreement::of(&raw.tensors[name].to_f32(), &want.tensors[name].to_f32());
        println!("{name}: {a:?}");
        assert!(a.equal_signs > 0.9, "{name}: {a:?}");
    }
    // Other weights of the same network.
    let mut altered = WeightFile::read(&out).unwrap();
    altered.tensors.get_mut("L2Norm.weight").unwrap().words[0] ^= 1 << 20;
    altered.write(&out).unwrap();
    let p = call(&["trace", "--weights", arg(&out), "--against", &reference, "--device", "cpu"]);
    assert!(p.code == Some(1) && p.err.contains("1 of 41 layers differ") && p.err.contains("L2Norm"), "{p:?}");
    let p = call(&["trace", "--weights", arg(&out)]);
    assert!(p.code == Some(2) && p.err.contains("--against"), "{p:?}");
}
