//! A kill at any instant leaves a whole run.

use std::time::Duration;

use autobidet::train::{Checkpoint, RunFolder};
use autobidet::weights::WeightFile;

use super::{Printed, arg, program, small, works};

#[test]
fn a_kill_at_any_instant_leaves_a_run_that_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = small(dir.path(), "checkpoint_every = 1\nsteps = 12");
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    let fresh = |out| ["train", "--config", arg(&config), "--test-split", "", "--device", "cpu", "--out", out];
    let folder = RunFolder(killed.clone());
    let mut steps = Vec::new();
    // The instants are spread over the first seconds of a session and over the steps.
    for round in 0..14u64 {
        let mut c = match folder.config().exists() {
            true => program(&["train", "--resume", arg(&killed), "--device", "cpu"]),
            false => program(&fresh(arg(&killed))),
        };
        let mut child = c.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(30 + round * 7919 % 1500));
        let _ = child.kill();
        let _ = child.wait();
        for f in [folder.checkpoint(), folder.last()] {
            if f.exists() {
                WeightFile::read(&f).unwrap();
            }
        }
        if folder.checkpoint().exists() {
            steps.push(Checkpoint::open(&folder.checkpoint()).unwrap().0.step);
        }
    }
    assert!(steps.is_sorted(), "{steps:?}");
    match folder.config().exists() {
        true => works(&["train", "--resume", arg(&killed), "--device", "cpu"]),
        false => works(&fresh(arg(&killed))),
    };
    works(&fresh(arg(&whole)));
    let read = |p: &std::path::Path| std::fs::read(p.join("last.safetensors")).unwrap();
    assert!(read(&whole) == read(&killed), "killed after {steps:?}");
    // The log has every step once.
    let log = autobidet::report::log_reader::read_log(folder.log()).unwrap();
    assert_eq!((log.last_step, log.losses[0].points.len()), (12, 12));
}

#[test]
#[cfg(unix)]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = small(dir.path(), "steps = 100000");
    let run = dir.path().join("run");
    let args = ["train", "--config", arg(&config), "--test-split", "", "--device", "cpu", "--out", arg(&run)];
    let child =
        program(&args).stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let log = RunFolder(run.clone()).log();
    let begun = || std::fs::read_to_string(&log).is_ok_and(|t| t.contains("\"type\":\"step\""));
    for _ in 0..600 {
        if begun() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(begun());
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let p: Printed = child.wait_with_output().unwrap().into();
    super::is_failure(&p, 130, &["interrupted"]);
    assert!(p.err.contains(&format!("autobidet train --resume {}", run.display())), "{p:?}");
    assert!(Checkpoint::open(&RunFolder(run).checkpoint()).unwrap().0.step > 0);
}
