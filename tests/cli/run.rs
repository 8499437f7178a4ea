//! Runs: what a folder holds, what is allowed with it, and the subcommands that only print.

use autobidet::train::Checkpoint;
use serde_json::Value;

use super::{arg, call, fails, program, scenes, small, trained, works};

const COMMANDS: [&str; 14] = [
    "train",
    "eval",
    "compare",
    "reproduce",
    "detect",
    "import",
    "devices",
    "info",
    "trace",
    "selftest",
    "serve",
    "shaders",
    "scenes",
    "bench",
];

#[test]
fn help_is_there_for_every_command() {
    let all = works(&["--help"]).out;
    for c in COMMANDS {
        assert!(all.contains(&format!("  {c} ")), "{c} is not in: {all}");
        let p = works(&[c, "--help"]);
        assert!(p.out.contains("Usage: autobidet"), "{p:?}");
    }
    for wrong in [&["nonsense"][..], &["train", "--nonsense"], &["--minutes", "1", "devices"], &["info"]] {
        let p = call(wrong);
        assert!(p.code == Some(2) && p.err.contains("error: "), "{wrong:?}: {p:?}");
    }
}

#[test]
fn a_wrong_device_is_named_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let (run, out) = (trained(), dir.path().join("out"));
    let image = scenes().join("JPEGImages");
    for args in [
        &["train", "--data", "scenes", "--steps", "1", "--out", arg(&out)][..],
        &["eval", "--weights", arg(run), "--data", "scenes", "--scenes-test", "1"],
        &["detect", "--weights", arg(run), arg(&image), "--out", arg(&out)],
        &["trace"],
        &["bench", "kernels"],
        &["--minutes", "1"],
    ] {
        let args: Vec<&str> = args.iter().copied().chain(["--device", "no such thing"]).collect();
        let mut c = program(&args);
        let p = c.current_dir(dir.path()).output().unwrap().into();
        super::is_failure(&p, 1, &["device no such thing: ", "--device cpu"]);
    }
    assert!(!out.exists() && !dir.path().join("runs").exists(), "nothing is made before the device is there");
    fails(&["trace", "--device", " "], 2, &["--device: is empty"]);
}

#[test]
fn a_run_folder_holds_everything() {
    let run = trained();
    for f in ["config.toml", "checkpoint.safetensors", "last.safetensors", "best.safetensors", "log.jsonl"] {
        assert!(run.join(f).is_file(), "{f}");
    }
    let config = std::fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(config.contains("steps = 2") && config.contains("scenes_train = 6"), "{config}");
    assert_eq!(Checkpoint::open(&run.join("checkpoint.safetensors")).unwrap().0.step, 2);
    let latest = image::open(run.join("latest.jpg")).unwrap();
    assert!(latest.width() > 3 * 280 && latest.height() < 2 * 280, "three test images in a row");
    let report = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(report.contains("</html>"));
    assert!(report.contains("chosen on test itself, so no unbiased figure"), "what `best` was chosen on is said");
    let result: Value = serde_json::from_slice(&std::fs::read(run.join("evaluation.json")).unwrap()).unwrap();
    assert!(result["map"].is_number());
    for f in ["last.safetensors", "best.safetensors"] {
        let bytes = std::fs::read(run.join(f)).unwrap();
        let header = String::from_utf8_lossy(&bytes[8..20_000]);
        assert!(!header.contains("scenes") && !header.contains(env!("CARGO_TARGET_TMPDIR")), "a path in {f}");
    }
}

#[test]
fn threads_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = small(dir.path(), "steps = 2");
    let weights = [("1", "1"), ("3", "2")].map(|(compute, load)| {
        let out = dir.path().join(compute);
        let mut args = vec!["train", "--config", arg(&config), "--test-split", "", "--threads", load];
        args.extend(["--device", "cpu", "--out", arg(&out)]);
        let o = program(&args).env("RAYON_NUM_THREADS", compute).output().unwrap();
        assert!(o.status.success(), "{o:?}");
        std::fs::read(out.join("last.safetensors")).unwrap()
    });
    assert!(weights[0] == weights[1]);
}

#[test]
fn a_folder_is_never_overwritten_without_being_told() {
    let dir = tempfile::tempdir().unwrap();
    let config = small(dir.path(), "steps = 1");
    let base = ["train", "--config", arg(&config), "--test-split", "", "--device", "cpu", "--out"];
    let train = |out: &str, more: &[&'static str]| call(&[&base[..], &[out], more].concat());
    let (run, file, other) = (dir.path().join("run"), dir.path().join("file"), dir.path().join("other"));
    assert_eq!(train(arg(&run), &[]).code, Some(0));
    let last = std::fs::read(run.join("last.safetensors")).unwrap();
    super::is_failure(&train(arg(&run), &[]), 2, &["--out", "holds another run", "--resume", "--overwrite"]);
    assert!(std::fs::read(run.join("last.safetensors")).unwrap() == last);

    std::fs::write(&file, "x").unwrap();
    super::is_failure(&train(arg(&file), &["--overwrite"]), 2, &["is a file, expected a folder"]);
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("config.toml"), "[server]\nport = 80\n").unwrap();
    super::is_failure(&train(arg(&other), &["--overwrite"]), 2, &["is not empty, and what it holds is no run"]);
    assert!(other.join("config.toml").is_file());

    // Told so, the run is replaced, and what is not its own stays.
    std::fs::write(run.join("mine.txt"), "x").unwrap();
    assert_eq!(train(arg(&run), &["--overwrite", "--seed", "2"]).code, Some(0));
    assert!(run.join("mine.txt").exists() && std::fs::read(run.join("last.safetensors")).unwrap() != last);
    let log = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
    assert_eq!(log.matches("run_started").count(), 1);
}

#[test]
fn what_is_no_run_cannot_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    fails(&["train", "--resume", arg(&nowhere)], 2, &["nowhere: does not exist"]);
    fails(&["train", "--resume", arg(dir.path())], 2, &["is not a run: it has no config.toml"]);
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    fails(&["train", "--resume", arg(&file)], 2, &["is a file, not the folder of a run"]);
    // What belongs to a run from its beginning is refused rather than passed over.
    let p = call(&["train", "--resume", arg(trained()), "--lr", "0.1"]);
    assert!(p.code == Some(2) && p.err.contains("--lr"), "{p:?}");
    fails(&["train", "--resume", arg(trained()), "--steps", "1", "--device", "cpu"], 2, &["has done 2 already"]);
}

#[test]
fn a_run_goes_on_from_another_folder() {
    // The data were named by a relative path.
    let dir = tempfile::tempdir().unwrap();
    let config = small(dir.path(), "");
    let data = scenes();
    let out = dir.path().join("run");
    let (parent, name) = (data.parent().unwrap(), data.file_name().unwrap().to_str().unwrap());
    let args =
        ["train", "--config", arg(&config), "--data", name, "--steps", "2", "--out", arg(&out), "--device", "cpu"];
    let p: super::Printed =
        program(&[&args[..], &["--pause-after", "0.5"]].concat()).current_dir(parent).output().unwrap().into();
    assert_eq!(p.code, Some(0), "{p:?}");
    assert!(p.err.contains("stopped (paused) after step 1") && p.err.contains("train --resume"), "{p:?}");
    let p: super::Printed =
        program(&["train", "--resume", "run", "--device", "cpu"]).current_dir(dir.path()).output().unwrap().into();
    assert_eq!(p.code, Some(0), "{p:?}");
    assert!(p.err.contains("resumed after step 1") && p.out.contains("best mAP"), "{p:?}");
}

/// A machine without an adapter is no machine that passed.
#[test]
#[cfg(target_os = "linux")]
fn a_self_test_that_runs_no_shader_does_not_pass() {
    let without = |args: &[&str]| -> super::Printed {
        let mut c = program(args);
        for v in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
            c.env(v, "/nonexistent/driver.json");
        }
        c.output().unwrap().into()
    };
    assert_eq!(without(&["devices", "--json"]).out.trim(), "[]", "the Vulkan loader finds no driver");
    let p = without(&["selftest"]);
    assert_eq!(p.code, Some(3), "{p:?}");
    assert!(p.out.contains("NO SHADER IS TESTED") && p.out.contains(" passed, 0 failed"), "{p:?}");
    assert!(p.err.contains("error: no Vulkan, Metal or DX12 adapter was found"), "{p:?}");
    assert_eq!(without(&["selftest", "--device", "cpu"]).code, Some(0));
}

#[test]
fn devices_and_info_print_json() {
    let list: Value = serde_json::from_str(&works(&["devices", "--json"]).out).unwrap();
    for d in list.as_array().unwrap() {
        assert!(d["name"].is_string() && d["max_binding"].as_u64().unwrap() >= 128 << 20, "{d}");
    }
    assert!(works(&["devices"]).out.contains("cpu  CPU twins"));

    let info: Value = serde_json::from_str(&works(&["info", "tiny", "--classes", "6", "--json"]).out).unwrap();
    let of_run: Value = serde_json::from_str(&works(&["info", arg(trained()), "--json"]).out).unwrap();
    let file = trained().join("last.safetensors");
    let of_file: Value = serde_json::from_str(&works(&["info", arg(&file), "--json"]).out).unwrap();
    assert_eq!(of_run, of_file);
    for i in [&info, &of_run] {
        assert_eq!((&i["model"], &i["method"], &i["input"]), (&"tiny".into(), &"bidet-sc".into(), &160.into()));
        let sum = |key: &str| i["layers"].as_array().unwrap().iter().map(|l| l[key].as_u64().unwrap()).sum::<u64>();
        assert_eq!(i["parameters"], sum("parameters"));
        assert_eq!(i["macs"], sum("macs"));
        assert_eq!(i["binary_macs"], sum("binary_macs"));
        assert!(i["binary_macs"].as_u64().unwrap() > 0 && i["training"]["memory_bytes"].as_u64().unwrap() > 1 << 20);
    }
    assert_eq!(info["parameters"], of_run["parameters"]);
    let plan = works(&["info", "tiny", "--plan"]).out;
    assert!(plan.contains("binary_conv2d") && plan.contains("memory, training"), "{plan}");
    fails(&["info", "nonsense"], 2, &["\"nonsense\" is neither a model nor a file", "ssd300-vgg16"]);
    fails(&["info", "tiny", "--method", "nonsense"], 2, &["--method", "bidet-sc"]);
}

#[test]
fn scenes_are_a_data_set_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let config = small(dir.path(), "");
    let out = dir.path().join("run");
    let data = arg(scenes());
    let p = works(&[
        "train",
        "--config",
        arg(&config),
        "--data",
        data,
        "--steps",
        "2",
        "--out",
        arg(&out),
        "--device",
        "cpu",
    ]);
    assert!(p.err.contains("4 training images, 3 test images"), "{p:?}");
    fails(&["scenes", "--out", data], 1, &[data]);
    fails(&["scenes", "--out", arg(&out.join("x")), "--train", "2000000"], 2, &["--train", "1000000"]);
}

#[test]
#[cfg(unix)]
fn a_reader_that_goes_away_is_no_error() {
    let shell = |text: String| -> super::Printed {
        std::process::Command::new("sh").args(["-c", &text]).output().unwrap().into()
    };
    // More is printed than a pipe holds.
    let p = shell(format!("{} info ssd300-vgg16 --plan | head -n 1", super::PROGRAM));
    assert!(!p.err.contains("panicked") && p.out.lines().count() == 1, "{p:?}");
    if std::path::Path::new("/dev/full").exists() {
        let p = shell(format!("{} info tiny > /dev/full", super::PROGRAM));
        super::is_failure(&p, 1, &["cannot print to stdout"]);
    }
}
