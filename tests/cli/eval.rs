//! `eval`

use autobidet::eval::COCO_NAMES;
use serde_json::{Value, json};

use super::{arg, call, fails, scenes, trained, works};

#[test]
fn a_run_is_measured_as_its_training_measured_it() {
    let run = trained();
    let want: Value = serde_json::from_slice(&std::fs::read(run.join("evaluation.json")).unwrap()).unwrap();
    // The run's own data; and the same images as a VOC folder, where boxes are whole pixels counted from one.
    let own: Value =
        serde_json::from_str(&works(&["eval", "--weights", arg(run), "--json", "--device", "cpu"]).out).unwrap();
    assert_eq!(own, want);
    for key in ["metric", "iou", "map", "per_class"] {
        assert!(!own[key].is_null(), "{key} in {own}");
    }
    assert_eq!((&own["metric"], &own["iou"]), (&json!("voc"), &json!(0.5)));
    assert_eq!(own["per_class"].as_object().unwrap().len(), 6);
    let file = run.join("best.safetensors");
    let args = ["eval", "--weights", arg(&file), "--data", arg(scenes()), "--json", "--device", "cpu", "--batch", "2"];
    let voc: Value = serde_json::from_str(&works(&args).out).unwrap();
    assert!((voc["map"].as_f64().unwrap() - want["map"].as_f64().unwrap()).abs() < 0.05, "{voc} {want}");
    let coco: Value = serde_json::from_str(&works(&[&args[..], &["--metric", "coco"]].concat()).out).unwrap();
    for name in COCO_NAMES {
        assert!(coco[name].is_number(), "{name} in {coco}");
    }
    assert_eq!(coco["AP"], coco["map"]);
    assert!(works(&args[..5]).out.contains("mAP"));
}

#[test]
fn detections_from_files() {
    let dir = tempfile::tempdir().unwrap();
    let truth = dir.path().join("instances.json");
    let boxes = [[10.0, 20.0, 30.0, 40.0], [50.0, 50.0, 20.0, 20.0]];
    let annotations: Vec<Value> = boxes
        .iter()
        .enumerate()
        .map(|(i, b)| json!({"id": i + 1, "image_id": 7, "category_id": 3 + i, "bbox": b, "area": b[2] * b[3], "iscrowd": 0}))
        .collect();
    let categories = json!([{"id": 3, "name": "cat"}, {"id": 4, "name": "big dog"}]);
    let images = json!([{"id": 7, "file_name": "7.jpg", "width": 100, "height": 100}]);
    let all = json!({"images": images, "annotations": annotations, "categories": categories});
    std::fs::write(&truth, all.to_string()).unwrap();
    let found = dir.path().join("found.json");
    let row = |category: u32, b: [f64; 4]| json!({"image_id": 7, "category_id": category, "bbox": b, "score": 0.9});
    std::fs::write(&found, json!([row(3, boxes[0]), row(4, [0.0, 0.0, 5.0, 5.0])]).to_string()).unwrap();
    let eval = |metric: &str| -> Value {
        let args = ["eval", "--detections", arg(&found), "--ground-truth", arg(&truth), "--metric", metric, "--json"];
        serde_json::from_str(&works(&args).out).unwrap()
    };
    let near = |v: &Value, want: f64| (v.as_f64().unwrap() - want).abs() < 1e-9;
    for metric in ["voc", "voc07", "coco"] {
        let e = eval(metric);
        let by_class = &e["per_class"];
        assert!(near(&e["map"], 0.5) && near(&by_class["cat"], 1.0) && near(&by_class["big dog"], 0.0), "{e}");
    }
    let e = eval("coco");
    assert!(near(&e["AP50"], 0.5) && near(&e["ARs"], 0.0) && near(&e["APl"], -1.0), "{e}");

    // The kit's files with a VOC folder: its own annotations as detections are perfect.
    let kit = dir.path().join("kit");
    std::fs::create_dir(&kit).unwrap();
    let set = autobidet::data::open(scenes(), "test").unwrap();
    for (k, class) in set.classes.iter().enumerate() {
        let lines: String = set
            .images
            .iter()
            .flat_map(|i| i.objects.iter().filter(|o| o.class == k).map(|o| (&i.id, o.bbox)))
            .map(|(id, b)| format!("{id} 0.5 {} {} {} {}\n", b.xmin, b.ymin, b.xmax, b.ymax))
            .collect();
        std::fs::write(kit.join(format!("comp4_det_test_{class}.txt")), lines).unwrap();
    }
    // Neither images nor pixels are asked for: the annotations are enough.
    let bare = dir.path().join("bare");
    std::fs::create_dir_all(bare.join("ImageSets/Main")).unwrap();
    std::fs::create_dir_all(bare.join("Annotations")).unwrap();
    for folder in ["Annotations", "ImageSets/Main"] {
        for e in std::fs::read_dir(scenes().join(folder)).unwrap().flatten() {
            std::fs::copy(e.path(), bare.join(folder).join(e.file_name())).unwrap();
        }
    }
    for more in [&["--metric", "voc07"][..], &["--pixels", "inclusive"], &["--difficult", "count", "--iou", "0.9"]] {
        let args = [&["eval", "--detections", arg(&kit), "--data", arg(&bare), "--json"], more].concat();
        let e: Value = serde_json::from_str(&works(&args).out).unwrap();
        assert_eq!(e["map"], json!(1.0), "{e}");
    }

    std::fs::write(&found, r#"[{"image_id": 7, "category_id": 3, "bbox": [1, 2, 3], "score": 1}]"#).unwrap();
    let base = ["eval", "--detections", arg(&found), "--ground-truth", arg(&truth)];
    fails(&base, 1, &["found.json:1", "entry 0"]);
    std::fs::write(&found, "[".repeat(100_000)).unwrap();
    fails(&base, 1, &["found.json"]);
    fails(&["eval", "--detections", arg(&found)], 2, &["--data: is missing"]);
    fails(&[&base[..], &["--metric", "mean"]].concat(), 2, &["--metric", "voc07, voc, coco"]);
    fails(&[&base[..], &["--iou", "1.5"]].concat(), 2, &["--iou"]);
    fails(
        &["eval", "--detections", arg(&dir.path().join("no")), "--ground-truth", arg(&truth)],
        1,
        &["no: cannot read"],
    );
    assert_eq!(call(&["eval"]).code, Some(2));
}

#[test]
fn priors_are_counted_and_runs_compared() {
    let run = arg(trained());
    let json = |args: &[&str]| -> Value { serde_json::from_str(&works(args).out).unwrap() };
    let e = json(&["eval", "--weights", run, "--counts", "--tau", "0.2", "--json", "--device", "cpu"]);
    let counts = e["prior_counts"].as_array().unwrap();
    let taus: Vec<f64> = counts.iter().map(|c| c["tau"].as_f64().unwrap()).collect();
    assert_eq!(taus, [0.01, 0.03, 0.05, 0.2]);
    let number = |c: &Value, key: &str| c[key].as_u64().unwrap();
    for c in counts {
        // Labels do not depend on the detector; every prior of the three images is counted once.
        assert_eq!(number(c, "tp") + number(c, "fn"), number(&counts[0], "tp") + number(&counts[0], "fn"));
        assert_eq!(["tp", "fp", "tn", "fn"].map(|k| number(c, k)).iter().sum::<u64>(), 3 * number(c, "priors"));
        let of_classes: u64 = c["per_class"].as_object().unwrap().values().map(|v| number(v, "fp")).sum();
        assert_eq!(of_classes, number(c, "fp"));
        assert_eq!(c["tenths"]["fp"].as_f64().unwrap(), number(c, "fp") as f64 / 10.0);
    }
    assert!(
        number(&counts[0], "tp") + number(&counts[0], "fn") > 0 && number(&counts[0], "fp") >= number(&counts[3], "fp")
    );
    assert!(e["sparsity"]["detections_per_object"].is_number());
    // All else is as without.
    assert_eq!(e["map"], json(&["eval", "--weights", run, "--json", "--device", "cpu"])["map"]);
    let table = works(&["eval", "--weights", run, "--counts", "--device", "cpu"]).out;
    assert!(table.contains("divided by ten") && table.contains("precision %"), "{table}");
    fails(&["eval", "--weights", run, "--counts", "--tau", "2", "--device", "cpu"], 2, &["--tau: is 2"]);

    let last = trained().join("last.safetensors");
    let c = json(&["compare", run, arg(&last), "--json", "--resamples", "50", "--device", "cpu"]);
    assert_eq!((&c["difference"]["map"], &c["difference"]["paired"]["above"]), (&json!(0.0), &json!(0.5)));
    let at = &c["fp_at_equal_recall"]["b_at_recall_of_a"][0];
    assert!(at["other"]["fp"].as_u64() <= at["fp"].as_u64() && at["other"]["fp"].is_u64(), "{c}");
    assert_eq!(c["a"]["prior_counts"][0]["fp"], counts[0]["fp"]);
    let table = works(&["compare", run, arg(&last), "--resamples", "50", "--device", "cpu"]).out;
    assert!(table.contains("B is above A in 50.0 %") && table.contains("at equal recall"), "{table}");
    fails(&["compare", arg(&last), run, "--device", "cpu"], 2, &["--data: is missing"]);
    fails(&["compare", run, "nowhere", "--device", "cpu"], 1, &["nowhere"]);
}
