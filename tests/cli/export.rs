//! `autobidet export`, and what opens what it writes.

use serde_json::Value;

use super::{arg, fails, scenes, trained, works};

#[test]
fn a_run_becomes_a_file_that_detects() {
    let dir = tempfile::tempdir().unwrap();
    let image = std::fs::read_dir(scenes().join("JPEGImages")).unwrap().next().unwrap().unwrap().path();
    for precision in ["exact", "float"] {
        let file = dir.path().join(format!("{precision}.safetensors"));
        let out = ["export", arg(trained()), "--precision", precision, "--out", arg(&file), "--device", "cpu"];
        let p = works(&out);
        assert!(p.out.contains("974592 as bits") && p.out.contains("MB"), "{p:?}");
        // The file names no folder of this machine.
        let bytes = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(20_000)]).to_string();
        assert!(!text.contains(arg(dir.path())) && !text.contains(env!("CARGO_MANIFEST_DIR")));
        let json: Value =
            serde_json::from_str(&works(&["info", arg(&file), "--json", "--require-packed"]).out).unwrap();
        assert_eq!((json["deploy"].as_u64(), json["precision"].as_str()), (Some(1), Some(precision)));
        assert_eq!(json["bytes"].as_u64().unwrap(), bytes.len() as u64);
        let kinds: Vec<&str> =
            json["layers"].as_array().unwrap().iter().filter_map(|l| l["computed_in"].as_str()).collect();
        let count = |kind: &str| kinds.iter().filter(|k| **k == kind).count();
        assert_eq!(
            (count("bits"), count("floats") == 0, count("bytes") == 0),
            (9, precision == "exact", precision == "float")
        );
        let plain = works(&["info", arg(&file)]);
        assert!(plain.out.contains("deploy file") && plain.out.contains("binary_conv2d_fused"), "{plain:?}");
        let out = dir.path().join(format!("found-{precision}"));
        let p = works(&["detect", "--weights", arg(&file), arg(&image), "--out", arg(&out), "--device", "cpu"]);
        assert!(p.err.contains("1 images"), "{p:?}");
        let data = arg(scenes());
        let p = works(&["eval", "--weights", arg(&file), "--data", data, "--json", "--device", "cpu"]);
        assert!(serde_json::from_str::<Value>(&p.out).unwrap()["map"].is_number(), "{p:?}");
        let p = works(&["compare", arg(trained()), arg(&file), "--data", data, "--device", "cpu"]);
        assert!(p.out.contains("mAP"), "{p:?}");
        // It is no run: nothing to train on.
        fails(&["train", "--resume", arg(&file)], 2, &["not the folder of a run"]);
    }
}

#[test]
fn impossible_exports_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (run, out) = (arg(trained()), dir.path().join("d.safetensors"));
    fails(&["export", run, "--precision", "half", "--out", arg(&out)], 2, &["--precision", "float or exact"]);
    let copy = dir.path().join("w.safetensors");
    std::fs::copy(trained().join("last.safetensors"), &copy).unwrap();
    fails(&["export", arg(&copy), "--out", arg(&copy)], 2, &["is the file to read"]);
    fails(&["export", arg(&copy), "--out", arg(&out), "--device", "cpu"], 2, &["--data", "An exact file needs"]);
    works(&[
        "export",
        arg(&copy),
        "--data",
        "scenes",
        "--split",
        "train",
        "--calibration-images",
        "2",
        "--out",
        arg(&out),
        "--device",
        "cpu",
    ]);
    fails(&["export", arg(&out), "--out", arg(&dir.path().join("again.safetensors"))], 1, &["deploy file"]);
    fails(&["info", "tiny", "--method", "float", "--require-packed"], 2, &["--require-packed", "0 layers"]);
    assert!(!dir.path().join("again.safetensors").exists());
}
