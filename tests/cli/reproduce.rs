//! `reproduce`: the grid, what is kept of it, and the page.

use std::path::Path;

use serde_json::Value;

use super::{Printed, arg, call, fails, small};

/// The commands on six training and three test scenes; two steps a run.
fn reproduce(dir: &Path, target: &str, more: &[&str]) -> Printed {
    let config = small(dir, "");
    let out = dir.join("grid");
    let base =
        ["reproduce", target, "--data", "scenes", "--config", arg(&config), "--out", arg(&out), "--device", "cpu"];
    call(&[&base[..], more].concat())
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_grid_is_trained_continued_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let grid = dir.path().join("grid");
    let p = reproduce(dir.path(), "table4", &["--seeds", "1", "--steps-per-run", "2"]);
    assert_eq!(p.code, Some(0), "{p:?}");
    assert!(p.err.contains("run 1 of 7: Bi-Real-Net (bireal), seed 1") && p.err.contains("run 7 of 7"), "{p:?}");
    assert!(p.out.contains("table4.json") && p.out.contains("table4.html"), "{p:?}");

    let table = json(&grid.join("table4.json"));
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 7);
    assert_eq!((&table["steps"], &table["images_seen"], &table["seeds"]), (&2.into(), &4.into(), &1.into()));
    for row in rows {
        // What stands in the table is what the run's own folder says.
        let name = row["name"].as_str().unwrap();
        let own = json(&grid.join(format!("runs/{name}-seed1/evaluation.json")));
        assert_eq!((&row["seeds"][0], &row["map"]["mean"]), (&own["map"], &own["map"]), "{name}");
        let result = json(&grid.join(format!("results/{name}-seed1.json")));
        assert_eq!(result["config"]["train"]["steps"], 2);
        assert_eq!(row["difference"].is_null(), name == "bireal");
    }
    assert_eq!((rows[6]["paper"].as_f64(), rows[6]["difference"]["paper"].is_number()), (Some(0.675), true));
    let order = &table["order"];
    assert_eq!((&order["rows"], &order["pairs"]), (&7.into(), &21.into()));
    assert_eq!(order["agrees"].as_bool().unwrap(), order["same"] == 21);
    let page = std::fs::read_to_string(grid.join("table4.html")).unwrap();
    for part in ["Table 4", "AutoBiDet (SC)", "67.5", "95 %", "nothing is shared", "--steps-per-run 2", "</html>"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("http") && !page.contains(dir.path().to_str().unwrap()), "the page stands alone");

    // Without one result only that run is looked at again, from its checkpoint, and nothing changes but the time.
    let result = grid.join("results/bireal+ib-seed1.json");
    std::fs::remove_file(&result).unwrap();
    let untouched =
        std::fs::metadata(grid.join("runs/bireal-seed1/checkpoint.safetensors")).unwrap().modified().unwrap();
    let p = reproduce(dir.path(), "table4", &["--seeds", "1"]);
    assert_eq!(p.code, Some(0), "{p:?}");
    assert_eq!(p.err.matches("run 7 of 7: + IB").count(), 1, "{p:?}");
    assert_eq!(p.err.matches("\nrun ").count(), 1, "{p:?}");
    assert!(result.is_file());
    let after = std::fs::metadata(grid.join("runs/bireal-seed1/checkpoint.safetensors")).unwrap().modified().unwrap();
    assert_eq!(untouched, after);
    let again = json(&grid.join("table4.json"));
    assert_eq!((&again["rows"][1]["map"], &again["order"]), (&rows[1]["map"], order));

    // What does not fit the grid is refused.
    let refused = |more: &[&str], parts: &[&str]| super::is_failure(&reproduce(dir.path(), "table4", more), 2, parts);
    refused(&["--steps-per-run", "3"], &["--steps-per-run: is 3", "there are 2 in the grid"]);
    refused(&["--minutes-per-run", "1"], &["--minutes-per-run: is 1", "2 steps"]);
    refused(&["--model", "ssd300-vgg16"], &["--model or --config", "ssd300-vgg16"]);
    let scenes = super::scenes();
    let config = small(dir.path(), "");
    let out = ["--config", arg(&config), "--out", arg(&grid), "--device", "cpu"];
    let args = [&["reproduce", "table4", "--data", arg(scenes)], &out[..]].concat();
    fails(&args, 2, &["--data: is not the data"]);
    std::fs::write(&result, "{").unwrap();
    let p = reproduce(dir.path(), "table4", &["--seeds", "1"]);
    super::is_failure(&p, 1, &["bireal+ib-seed1.json", "is no result of a run"]);
}

#[test]
fn counts_and_confidence_of_the_scenes() {
    let dir = tempfile::tempdir().unwrap();
    let grid = dir.path().join("grid");
    let p = reproduce(dir.path(), "table3", &["--seeds", "1", "--steps-per-run", "2"]);
    assert_eq!(p.code, Some(0), "{p:?}");
    let table = json(&grid.join("table3.json"));
    let tau = table["tau"].as_f64().unwrap();
    for row in table["rows"].as_array().unwrap() {
        let counts = row["seeds"][0]["counts"].as_array().unwrap();
        let own = counts.iter().find(|c| c["tau"].as_f64() == Some(tau)).unwrap();
        let tenth = |k: &str| own[k].as_f64().unwrap() / 10.0;
        let [tp, fp, tn, missed] = ["tp", "fp", "tn", "fn"].map(tenth);
        assert_eq!(row["mean"]["counts"], serde_json::json!([tp, fp, tn, missed]));
        assert!((tp + fp + tn + missed - 3.0 * 213.6).abs() < 1e-6, "every prior of the three images: {row}");
    }
    assert_eq!(table["rows"][0]["paper_in_tenths"]["fp"], 375_598);
    assert_eq!(table["false_positives"].as_array().unwrap().len(), 3);
    assert!(std::fs::read_to_string(grid.join("table3.html")).unwrap().contains("375598"));

    // Another target of the same folder takes the runs that it shares from there; one seed is its default.
    let p = reproduce(dir.path(), "figure1", &[]);
    assert_eq!(p.code, Some(0), "{p:?}");
    assert!(p.err.contains("run 2 of 3: BiDet (SC)") && !p.err.contains("(xnor), seed"), "{p:?}");
    let figure = json(&grid.join("figure1.json"));
    let images = figure["images"].as_array().unwrap();
    assert_eq!((images.len(), images[0]["methods"].as_array().unwrap().len()), (3, 3));
    let page = std::fs::read_to_string(grid.join("figure1.html")).unwrap();
    // Annotations, then detections and four maps for each of three methods.
    assert_eq!(page.matches("data:image/jpeg").count(), 3 * (1 + 3 * 5));
}

#[test]
fn opinions_of_the_scenes() {
    let dir = tempfile::tempdir().unwrap();
    let grid = dir.path().join("grid");
    let p = reproduce(dir.path(), "figure4", &["--seeds", "1", "--steps-per-run", "2"]);
    assert_eq!(p.code, Some(0), "{p:?}");
    let figure = json(&grid.join("figure4.json"));
    let seed = &figure["seeds_correlations"][0];
    assert_eq!((&seed["images"], &seed["s_with_inverse_complexity"]["n"]), (&6.into(), &6.into()));
    for image in figure["images"].as_array().unwrap() {
        let (s, beta) = (image["s"].as_f64().unwrap(), image["beta"].as_f64().unwrap());
        assert!((0.0..=1.0).contains(&s) && (beta - (10.0 + 5.0 * s.sin())).abs() < 1e-4, "{image}");
        assert!(
            image["complexity"]["class"].as_f64().unwrap() > 0.0 && image["objects"].as_u64().unwrap() > 0,
            "{image}"
        );
    }
    // The other figure is made of the same run.
    let p = reproduce(dir.path(), "figure3", &["--seeds", "1"]);
    assert!(p.code == Some(0) && !p.err.contains("run 1"), "{p:?}");
    let figure = json(&grid.join("figure3.json"));
    let s: Vec<f64> = figure["images"].as_array().unwrap().iter().map(|i| i["s"].as_f64().unwrap()).collect();
    assert!(s.len() == 6 && s.is_sorted(), "{s:?}");
    assert_eq!(figure["thirds"].as_array().unwrap().len(), 3);
    assert!(std::fs::read_to_string(grid.join("figure3.html")).unwrap().contains("data:image/jpeg"));
    // Without weights it says which are missing.
    std::fs::remove_file(grid.join("runs/autobidet-sc-seed1/estimator.safetensors")).unwrap();
    let p = reproduce(dir.path(), "figure3", &["--seeds", "1"]);
    super::is_failure(&p, 1, &["has no estimator.safetensors", "autobidet-sc-seed1.json"]);
}

#[test]
#[cfg(unix)]
fn a_grid_that_is_stopped_in_the_middle_of_a_run_goes_on_there() {
    use autobidet::train::{Checkpoint, RunFolder};

    let dir = tempfile::tempdir().unwrap();
    let config = small(dir.path(), "");
    let out = dir.path().join("grid");
    let args = ["reproduce", "table3", "--data", "scenes", "--config", arg(&config), "--steps-per-run", "100000"];
    let args = [&args[..], &["--out", arg(&out), "--device", "cpu"]].concat();
    let folder = RunFolder(out.join("runs/xnor-seed1"));
    let mut at = 0;
    for session in 0..2 {
        let pipe = std::process::Stdio::piped;
        let child = super::program(&args).stderr(pipe()).stdout(pipe()).spawn().unwrap();
        let steps = || std::fs::read_to_string(folder.log()).map_or(0, |t| t.matches("\"type\":\"step\"").count());
        for _ in 0..600 {
            if steps() as u64 > at {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let id = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let p: Printed = child.wait_with_output().unwrap().into();
        super::is_failure(&p, 130, &["interrupted"]);
        assert!(p.err.contains("the same command goes on with the grid"), "{p:?}");
        assert_eq!(p.err.contains(&format!("resumed after step {at}")), session == 1, "{p:?}");
        let step = Checkpoint::open(&folder.checkpoint()).unwrap().0.step;
        assert!(step > at, "{step} after {at}");
        at = step;
    }
    assert!(!out.join("results").exists(), "nothing is done yet");
}

#[test]
fn what_cannot_be_reproduced_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let of = |target: &'static str, data: &'static str| {
        ["reproduce", target, "--data", data, "--out", arg(&out)].map(String::from)
    };
    let refused = |args: &[String], more: &[&str], code, parts: &[&str]| {
        let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
        fails(&args, code, parts)
    };
    refused(&of("table9", "scenes"), &[], 2, &["knows no \"table9\"", "figure1"]);
    refused(&of("table4", "nowhere"), &[], 1, &["nowhere", "cannot be opened"]);
    refused(&of("table4", "scenes"), &["--model", "x"], 2, &["--model", "ssd300-vgg16"]);
    refused(&of("table4", "scenes"), &["--minutes-per-run", "0"], 2, &["--minutes-per-run"]);
    let ssd = ["--model", "ssd300-vgg16", "--device", "cpu"];
    refused(&of("table4", "scenes"), &ssd, 2, &["--steps-per-run: is missing"]);
    std::fs::write(dir.path().join("file"), "x").unwrap();
    let p = call(&["reproduce", "table4", "--data", "scenes", "--out", arg(dir.path()), "--device", "cpu"]);
    super::is_failure(&p, 2, &["--out", "is no grid"]);
}
