//! A full disk: what was saved before stays whole.
#![cfg(unix)]

use super::{PROGRAM, Printed, arg, is_failure, scenes, small, trained, works};

#[test]
fn a_full_disk_leaves_the_last_checkpoint_whole() {
    let dir = tempfile::tempdir().unwrap();
    let config = small(dir.path(), "checkpoint_every = 1\nsteps = 4");
    let (run, whole) = (dir.path().join("run"), dir.path().join("whole"));
    let base = ["train", "--config", arg(&config), "--test-split", "", "--device", "cpu", "--out"];
    works(&[&base[..], &[arg(&whole)]].concat());
    works(&[&base[..], &[arg(&run), "--pause-after", "0.67"]].concat());
    let checkpoint = run.join("checkpoint.safetensors");
    let before = std::fs::read(&checkpoint).unwrap();
    assert!(before.len() > 8 << 20);
    // No file may grow over 6 MB (or so): the weights fit, the checkpoint does not.
    let text = format!("trap '' XFSZ; ulimit -f 12000; exec {PROGRAM} train --resume {} --device cpu", run.display());
    let p: Printed = std::process::Command::new("sh").args(["-c", &text]).output().unwrap().into();
    is_failure(&p, 1, &["checkpoint.safetensors: cannot write", "disk is full", "saved before is whole"]);
    assert!(std::fs::read(&checkpoint).unwrap() == before);
    assert!(!run.join("checkpoint.safetensors.new").exists());
    works(&["train", "--resume", arg(&run), "--device", "cpu"]);
    let last = |p: &std::path::Path| std::fs::read(p.join("last.safetensors")).unwrap();
    assert!(last(&run) == last(&whole));
}

#[test]
fn results_that_cannot_be_written_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let images = scenes().join("JPEGImages");
    let base = ["detect", "--weights", arg(trained()), arg(&images), "--device", "cpu", "--out"];
    if std::path::Path::new("/dev/full").exists() {
        let out = dir.path().join("out");
        let p = super::call(&[&base[..], &[arg(&out), "--json", "/dev/full"]].concat());
        is_failure(&p, 1, &["/dev/full: cannot write", "disk is full"]);
        assert!(!std::path::Path::new("/dev/full.new").exists());
    }
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    is_failure(&super::call(&[&base[..], &[arg(&file)]].concat()), 1, &["file: cannot create"]);
    // A picture is never drawn over the image it was made from.
    let own = images.join("own");
    std::fs::create_dir_all(&own).unwrap();
    image::RgbImage::new(40, 40).save(own.join("a.png")).unwrap();
    let p = super::call(&["detect", "--weights", arg(trained()), arg(&own), "--device", "cpu", "--out", arg(&own)]);
    is_failure(&p, 2, &["--out", "would be replaced"]);
}
