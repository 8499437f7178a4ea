//! `bench`: what it prints, in small.

use serde_json::Value;

use super::{arg, call, fails, scenes, trained, works};

fn json(args: &[&str]) -> Value {
    let p = works(&[&["bench"], args, &["--device", "cpu", "--json"]].concat());
    serde_json::from_str(&p.out).unwrap_or_else(|e| panic!("{e}: {p:?}"))
}

fn positive(v: &Value, keys: &[&str]) {
    for key in keys {
        assert!(v[key].as_f64().is_some_and(|n| n > 0.0 && n.is_finite()), "{key}: {v}");
    }
}

#[test]
fn inference_is_measured_as_a_whole_in_parts_and_by_layers() {
    let v = json(&["infer", "--runs", "2", "--batch", "2", "--classes", "6", "--layers"]);
    positive(&v, &["median_seconds", "forward_seconds", "readback_seconds", "decode_seconds", "images_per_second"]);
    positive(&v["best"], &["seconds", "forward_seconds", "readback_seconds", "decode_seconds"]);
    assert!(v["best"]["seconds"].as_f64() <= v["median_seconds"].as_f64());
    assert_eq!((&v["batch"], &v["classes"], &v["runs"]), (&2.into(), &6.into(), &2.into()));
    assert!(v["memory_bytes"].as_u64().unwrap() > 1 << 20 && v["detections"].is_u64());

    // The layers are those of `info`, all of them, with their work; float and bit operations stand apart.
    let info = works(&["info", "tiny", "--classes", "6", "--json"]);
    let info: Value = serde_json::from_str(&info.out).unwrap();
    let (of_info, layers) = (info["layers"].as_array().unwrap(), v["layers"].as_array().unwrap());
    for l in layers {
        positive(l, &["seconds", "steps"]);
        let same = of_info.iter().find(|i| i["name"] == l["name"]).unwrap_or_else(|| panic!("{l}"));
        assert_eq!(same["operation"], l["operation"]);
        for (macs, gops) in [("macs", "float_gops"), ("binary_macs", "binary_gops")] {
            assert_eq!(2 * same[macs].as_u64().unwrap(), l[macs].as_u64().unwrap(), "{l}");
            let want = 2.0 * l[macs].as_u64().unwrap() as f64 / l["seconds"].as_f64().unwrap() / 1e9;
            assert!(want == 0.0 && l[gops].is_null() || (l[gops].as_f64().unwrap() / want - 1.0).abs() < 1e-6, "{l}");
        }
    }
    let with_work = |list: &[Value]| list.iter().filter(|l| l["macs"] != 0 || l["binary_macs"] != 0).count();
    assert_eq!(with_work(layers), with_work(of_info));

    let text = works(&["bench", "infer", "--runs", "1", "--layers", "--device", "cpu"]).out;
    for part in ["tiny bidet-sc", "run, median", "forward", "readback", "decode", " binary", " float"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn inference_of_a_run_or_a_weight_file_is_measured_with_its_own_network() {
    for path in [trained().to_path_buf(), trained().join("last.safetensors")] {
        let v = json(&["infer", "--model", arg(&path), "--runs", "1"]);
        positive(&v, &["median_seconds"]);
        assert_eq!((&v["classes"], &v["method"]), (&6.into(), &"bidet-sc".into()));
        assert!(v["layers"].as_array().unwrap().is_empty());
    }
    fails(&["bench", "infer", "--model", "nonsense"], 2, &["--model", "neither a model nor a file", "ssd300-vgg16"]);
    fails(&["bench", "infer", "--score", "2"], 2, &["--score: is 2"]);
    fails(&["bench", "infer", "--method", "xnor", "--no-batch-norm"], 2, &["--no-batch-norm", "tiny xnor"]);
}

#[test]
fn a_training_step_is_measured() {
    let v = json(&["train", "--batch", "2", "--steps", "1", "--classes", "3", "--steps-apart"]);
    positive(&v, &["median_seconds", "best_seconds", "images_per_second", "memory_bytes", "ready_seconds"]);
    assert_eq!((&v["batch"], &v["classes"]), (&2.into(), &3.into()));
    assert!(v["kernels"].as_array().unwrap().iter().any(|k| k["kernel"] == "binary_conv2d"));
}

#[test]
fn the_loader_is_measured_by_itself_and_beside_training() {
    let small = ["--batch", "2", "--batches", "3", "--threads", "1"];
    let v = json(&[&["loader"], &small[..], &["--steps", "1"]].concat());
    positive(&v, &["images_per_second", "images_per_second_from_memory", "threads"]);
    positive(&v["step"], &["median_seconds", "images_per_second"]);
    assert!((0.0..=1.0).contains(&v["step"]["wait_share"].as_f64().unwrap()), "{v}");
    assert_eq!((&v["images"], &v["model"]), (&6.into(), &"tiny".into()));

    // A data set of four images; without a step no device is asked for.
    let data = ["loader", "--data", arg(scenes()), "--steps", "0"];
    let v = json(&[&data[..], &small[..]].concat());
    assert_eq!((&v["images"], &v["step"]), (&4.into(), &Value::Null));
    let text = works(&[&["bench"], &data[..], &small[..]].concat()).out;
    assert!(text.contains("decoding each image") && text.contains("from memory"), "{text}");
    fails(&["bench", "loader", "--data", arg(scenes())], 2, &["--batch: is 16, but there are 4 images in trainval"]);
}

#[test]
fn growth_is_measured_and_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let small = ["--batches", "1,2", "--classes", "2,4", "--images", "4,8", "--steps", "1", "--device", "cpu"];
    let p = works(&[&["bench", "growth", "--out", arg(&out)], &small[..]].concat());
    assert_eq!(p.out.lines().count(), 10, "{p:?}");
    let v: Value = serde_json::from_slice(&std::fs::read(out.join("growth.json")).unwrap()).unwrap();
    let curves = v["curves"].as_array().unwrap();
    let names: Vec<_> = curves.iter().map(|c| (c["what"].as_str().unwrap(), c["against"].as_str().unwrap())).collect();
    let (step, inference) = ("training step", "inference");
    let want = [(step, "batch"), (inference, "batch"), (step, "classes"), (inference, "classes")];
    assert_eq!(names[..4], want);
    assert_eq!(names[4], ("loader, one pass", "images"));
    for c in curves {
        for p in c["points"].as_array().unwrap() {
            positive(p, &["x", "seconds", "bytes"]);
        }
        // Memory has no noise: through two points there is one line.
        assert!(c["lines"]["memory"]["largest_deviation"].as_f64().unwrap() < 1e-6, "{c}");
        positive(&c["lines"]["memory"], &["each"]);
    }
    let html = std::fs::read_to_string(out.join("growth.html")).unwrap();
    assert_eq!(html.matches("<svg").count(), 10);
    assert!(html.contains("training step: memory") && html.contains("</html>"));
    let p = call(&["bench", "growth", "--out", arg(&out), "--batches", "0"]);
    assert!(p.code == Some(2) && p.err.contains("--batches"), "{p:?}");
}
