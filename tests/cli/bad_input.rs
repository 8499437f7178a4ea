//! Everything that may be wrong with what is given: a clear error with the place and the way out, and nothing made.

use std::path::{Path, PathBuf};

use autobidet::weights::WeightFile;

use super::{arg, call, fails, small, trained, works};

/// `train` on these data fails before anything is made.
#[track_caller]
fn untrainable(data: &Path, code: i32, parts: &[&str]) {
    let out = data.parent().unwrap().join("out");
    let args = [
        "train",
        "--data",
        arg(data),
        "--steps",
        "1",
        "--batch",
        "1",
        "--out",
        arg(&out),
        "--test-split",
        "",
        "--device",
        "cpu",
    ];
    fails(&args, code, parts);
    assert!(!out.exists(), "a folder was made");
}

/// A VOC folder of one image with this annotation.
fn voc(dir: &Path, name: &str, xml: &str) -> PathBuf {
    let root = dir.join(name);
    for d in ["Annotations", "JPEGImages", "ImageSets/Main"] {
        std::fs::create_dir_all(root.join(d)).unwrap();
    }
    image::RgbImage::new(60, 50).save(root.join("JPEGImages/a.png")).unwrap();
    std::fs::write(root.join("Annotations/a.xml"), xml).unwrap();
    std::fs::write(root.join("ImageSets/Main/trainval.txt"), "a\n").unwrap();
    root
}

fn annotation(object: &str) -> String {
    format!(
        "<annotation><filename>a.png</filename><size><width>60</width><height>50</height></size>\n{object}</annotation>"
    )
}

const OBJECT: &str =
    "<object><name>cat</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>40</xmax><ymax>40</ymax></bndbox></object>\n";

#[test]
fn folders_without_data() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    untrainable(&d.join("nowhere"), 1, &["nowhere"]);
    std::fs::create_dir(d.join("empty")).unwrap();
    untrainable(&d.join("empty"), 1, &["empty"]);
    // Half of a VOC folder, each half.
    let half = voc(d, "half", &annotation(OBJECT));
    std::fs::remove_dir_all(half.join("JPEGImages")).unwrap();
    untrainable(&half, 1, &["half"]);
    let half = voc(d, "other", &annotation(OBJECT));
    std::fs::remove_dir_all(half.join("Annotations")).unwrap();
    untrainable(&half, 1, &["other"]);
    // A list of images that are not there; an empty list; no boxes.
    let half = voc(d, "list", &annotation(OBJECT));
    std::fs::write(half.join("ImageSets/Main/trainval.txt"), "").unwrap();
    untrainable(&half, 1, &["list"]);
    untrainable(&voc(d, "boxless", &annotation("")), 1, &["boxless"]);
    // Fewer images than a batch.
    let one = voc(d, "one", &annotation(OBJECT));
    let out = d.join("out");
    let args =
        ["train", "--data", arg(&one), "--steps", "1", "--out", arg(&out), "--test-split", "", "--device", "cpu"];
    fails(&args, 2, &["--batch: is 16, but there are 1 training images"]);
    fails(&[&args[..], &["--train-split", "dawn"]].concat(), 1, &["dawn", "trainval"]);
    assert!(!out.exists());
}

#[test]
fn broken_and_hostile_annotations() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let deep = "<a>".repeat(100_000);
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>";
    for (name, xml) in [
        ("cut", annotation(OBJECT)[..120].to_string()),
        ("deep", annotation(&deep)),
        ("bomb", format!("{bomb}{}", annotation(&OBJECT.replace("cat", "&b;")))),
        ("html", "<html><body>404</body></html>".to_string()),
        ("binary", "\u{0}\u{1}\u{2}".to_string()),
        ("huge", annotation(&OBJECT.replace(">40<", ">1e400<"))),
        ("words", annotation(&OBJECT.replace(">40<", ">forty<"))),
    ] {
        untrainable(&voc(d, name, &xml), 1, &["a.xml"]);
    }
    let json = d.join("instances_train.json");
    let one = r#"{"images": [{"id": 1, "file_name": "1.jpg", "width": 10, "height": 10}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}]}"#;
    for text in [
        one[..100].to_string(),
        "[".repeat(200_000),
        r#"{"name": "a package", "version": "1.0"}"#.to_string(),
        "[1, 2, 3]".to_string(),
        one.replace("[1, 1, 5, 5]", "[1, 1, 5]"),
        one.replace("[1, 1, 5, 5]", "[1, 1, 1e999, 5]"),
        one.replace("\"id\": 1", "\"id\": 1e300"),
        String::new(),
    ] {
        std::fs::write(&json, &text).unwrap();
        untrainable(&json, 1, &["instances_train.json"]);
    }
}

#[test]
fn images_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut claims = Vec::new();
    image::RgbImage::new(1, 1).write_to(&mut std::io::Cursor::new(&mut claims), image::ImageFormat::Png).unwrap();
    for at in [16, 20] {
        claims[at..at + 4].copy_from_slice(&19_000u32.to_be_bytes());
    }
    for (name, bytes) in [("text", &b"no image at all"[..]), ("empty", b""), ("claims", &claims)] {
        let root = voc(dir.path(), name, &annotation(OBJECT));
        std::fs::write(root.join("JPEGImages/a.png"), bytes).unwrap();
        let out = dir.path().join(format!("{name}-out"));
        let mut args = vec!["train", "--data", arg(&root), "--steps", "1", "--batch", "1", "--out", arg(&out)];
        args.extend(["--test-split", "", "--device", "cpu"]);
        fails(&args, 1, &["a.png"]);
    }
}

#[test]
fn one_bad_image_is_told_once_with_its_count() {
    let dir = tempfile::tempdir().unwrap();
    let root = voc(dir.path(), "data", &annotation(OBJECT));
    for id in ["b", "c"] {
        let xml = annotation(OBJECT).replace("a.png", &format!("{id}.png"));
        std::fs::write(root.join(format!("Annotations/{id}.xml")), xml).unwrap();
        std::fs::write(root.join(format!("JPEGImages/{id}.png")), "no image").unwrap();
    }
    let zero = OBJECT.replace("<xmax>40</xmax>", "<xmax>5</xmax>");
    std::fs::write(root.join("Annotations/a.xml"), annotation(&format!("{OBJECT}{zero}"))).unwrap();
    std::fs::write(root.join("ImageSets/Main/trainval.txt"), "a\nb\nc\n").unwrap();
    std::fs::write(root.join("ImageSets/Main/test.txt"), "a\nb\n").unwrap();
    let out = dir.path().join("out");
    let args = ["train", "--data", arg(&root), "--steps", "6", "--batch", "1", "--out", arg(&out), "--device", "cpu"];
    let p = works(&args);
    for (once, times) in
        [("note: trainval: zero-area box", 1), ("note: trainval: image that cannot be decoded", 1), ("zero-area", 2)]
    {
        assert_eq!(p.err.matches(once).count(), times, "{once}: {}", p.err);
    }
    assert!(p.err.contains("counts as missed in evaluation: 2 (") || p.err.contains("in evaluation: 2 ("), "{}", p.err);
    assert!(p.err.contains("note: test: image that cannot be decoded"), "{}", p.err);
    assert_eq!(p.err.matches("warning").count(), 0, "{}", p.err);
    let p = works(&["eval", "--weights", arg(&out), "--data", arg(&root), "--device", "cpu"]);
    assert_eq!(p.err.matches("note: image that cannot be decoded").count(), 1, "{}", p.err);
}

#[test]
fn configurations_that_are_impossible() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let base = |config: &Path, code, parts: &[&str]| {
        fails(&["train", "--config", arg(config), "--steps", "1", "--out", arg(&out), "--device", "cpu"], code, parts);
    };
    for (more, line, parts) in [
        ("sped = 3", 8, &["unknown field `sped`", "config.toml"][..]),
        ("lr = \"high\"", 8, &["invalid type: string \"high\""]),
        ("lr = -1.0", 8, &["train.lr is -1, expected 0 to 10"]),
        ("lr = nan", 8, &["train.lr is NaN"]),
        ("seed = -1", 8, &["invalid value: integer `-1`"]),
        ("\nmicro_batch = 3", 9, &["train.micro_batch is 3, which does not divide the batch of 2"]),
        ("max_skipped = 0", 8, &["train.max_skipped is 0"]),
        ("schedule = \"steep\"", 8, &["unknown variant `steep`", "short"]),
        ("[model]\nclasses = [\"cat\", \"cat\"]", 9, &["model.classes has the name \"cat\" twice"]),
        ("[data.augment]\nmirror = 2.0", 9, &["data.augment.mirror"]),
        ("[data.augment]\nmirrors = 2.0", 9, &["unknown field `mirrors`"]),
        ("[model", 8, &["small.toml"]),
        ("batch = 3", 8, &["duplicate key"]),
    ] {
        let config = small(dir.path(), more);
        base(&config, 1, &[&[format!("small.toml:{line}: ").as_str()], parts].concat());
    }
    let config = dir.path().join("big.toml");
    std::fs::write(&config, " ".repeat(2 << 20)).unwrap();
    base(&config, 1, &["big.toml: is 2097152 bytes"]);
    std::fs::write(&config, [0xff, 0xfe, 0x00]).unwrap();
    base(&config, 1, &["big.toml"]);
    base(&dir.path().join("no.toml"), 1, &["no.toml: cannot read", "Check the path"]);
    base(dir.path(), 1, &["cannot read"]);
    assert!(!out.exists());

    let flags = |more: &[&str], code, parts: &[&str]| {
        let args = [&["train", "--data", "scenes", "--out", arg(&out), "--device", "cpu"], more].concat();
        fails(&args, code, parts);
    };
    flags(&["--steps", "1", "--batch", "0"], 2, &["train.batch: is 0"]);
    flags(&["--steps", "1", "--batch", "4", "--micro-batch", "3"], 2, &["train.micro_batch"]);
    flags(&["--steps", "0"], 2, &["--epochs", "--steps"]);
    flags(&["--epochs", "nan"], 2, &["train.epochs"]);
    flags(&["--minutes", "inf"], 2, &["train.minutes"]);
    flags(&["--steps", "1", "--model", "yolo"], 2, &["--model: is \"yolo\"", "ssd300-vgg16"]);
    flags(&["--steps", "1", "--method", "magic"], 2, &["--method: is \"magic\"", "bidet-sc"]);
    flags(&["--steps", "1", "--train-split", "dawn"], 2, &["no split \"dawn\""]);
    flags(&["--steps", "1", "--pause-after", "0"], 2, &["--pause-after"]);
    flags(
        &["--steps", "1", "--backbone", "nowhere.safetensors", "--batch", "2"],
        1,
        &["nowhere.safetensors: cannot read"],
    );
    assert_eq!(call(&["train", "--data", "scenes", "--out", "x", "--steps", "1", "--epochs", "1"]).code, Some(2));
}

#[test]
fn weights_that_do_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let good = trained().join("best.safetensors");
    let eval = |parts: &[&str]| {
        let w = arg(&path);
        fails(&["eval", "--weights", w, "--data", "scenes", "--scenes-test", "1", "--device", "cpu"], 1, parts);
        fails(&["info", w], 1, parts);
        fails(&["detect", "--weights", w, "x.jpg", "--out", "y"], 1, parts);
    };
    let bytes = std::fs::read(&good).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    eval(&["w.safetensors: cannot be read as safetensors", "whole and unaltered"]);
    let mut altered = bytes.clone();
    *altered.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &altered).unwrap();
    eval(&["was altered or damaged", "checksum"]);
    std::fs::write(&path, "no weights").unwrap();
    eval(&["cannot be read as safetensors"]);

    let read = || WeightFile::read(&good).unwrap();
    // The weights of somebody else: no word about the network.
    WeightFile { metadata: String::new(), ..read() }.write(&path).unwrap();
    eval(&["does not say which network it is for", "last.safetensors"]);
    // A list of classes that is not that of the tensors.
    let metadata = read().metadata.replace("\"disc\",", "");
    assert_ne!(metadata, read().metadata);
    WeightFile { metadata, ..read() }.write(&path).unwrap();
    eval(&["weights of another model", "of another shape (conf.0.bias is [28], expected [24]", "5 classes"]);
    let metadata = read().metadata.replace("\"tiny\"", "\"ssd300-vgg16\"");
    assert_ne!(metadata, read().metadata);
    WeightFile { metadata, ..read() }.write(&path).unwrap();
    eval(&["weights of another model"]);
    let mut less = read();
    less.tensors.remove("conf.0.bias");
    less.write(&path).unwrap();
    eval(&["1 tensors missing (conf.0.bias)"]);
    // Values that are no numbers.
    let mut wild = read();
    wild.tensors.get_mut("conf.0.bias").unwrap().words.fill(f32::NAN.to_bits());
    wild.write(&path).unwrap();
    let args = ["eval", "--weights", arg(&path), "--data", "scenes", "--scenes-test", "1", "--device", "cpu"];
    fails(&args, 1, &["w.safetensors: gives values that are not finite"]);
    // A file without an end, and a run without weights.
    if Path::new("/dev/zero").exists() {
        fails(&["info", "/dev/zero"], 1, &["/dev/zero: is not a regular file"]);
    }
    let run = dir.path().join("run");
    std::fs::create_dir(&run).unwrap();
    std::fs::copy(trained().join("config.toml"), run.join("config.toml")).unwrap();
    fails(&["info", arg(&run)], 1, &["has no weights yet"]);
    // A checkpoint is not a file of weights, and says where they are.
    fails(&["info", arg(&trained().join("checkpoint.safetensors"))], 1, &["last.safetensors"]);
}
