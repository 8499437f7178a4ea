//! Result files: there and back, and everything that may be wrong with them.

use std::path::Path;

use autobidet::Error;
use autobidet::data::Dataset;
use autobidet::eval::files::{
    CocoRow, Detections, image_id, read_coco_results, read_detections, read_devkit, write_coco_results,
    write_coco_rows, write_devkit,
};
use autobidet::eval::{Candidate, EvalOptions, candidates, evaluate};

use super::{dataset, found, object};

fn cells() -> Dataset {
    let mut set = dataset(&["RBC", "bear", "teddy_bear", "potted plant"], &["000001", "42", "a-b"]);
    set.category_ids = vec![1, 5, 90, 7];
    set.images[1].objects.push(object(0, [10., 10., 20., 20.]));
    set
}

fn read_text(text: &str, set: &Dataset) -> Result<Detections, Error> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("found.json");
    std::fs::write(&path, text).unwrap();
    read_coco_results(&path, set)
}

fn read_lines(name: &str, text: &[u8], set: &Dataset) -> Result<Detections, Error> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(name), text).unwrap();
    read_devkit(dir.path(), set)
}

/// Detections as a network gives them: f32.
fn some() -> Vec<Candidate> {
    let mut out = vec![
        found(1, 0, 0.7f32.into(), [10.25, 11.5, 20.125, 1.0f32 as f64 / 3.0]),
        found(0, 3, 1.0, [0.0, 0.0, 5.0, 5.0]),
        found(2, 2, 1e-7, [1.5, 2.5, 3.5, 4.5]),
    ];
    out[0].bbox = autobidet::detect::BBox::new(10.1, 11.2, 20.3, 33.4).into();
    out
}

#[test]
fn coco_results_there_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("found.json");
    for origin in [0.0, 1.0] {
        let set = Dataset { origin, ..cells() };
        write_coco_results(&path, &set, &some()).unwrap();
        let back = read_detections(&path, &set).unwrap();
        assert!(back.notes.is_empty());
        for (a, b) in some().iter().zip(&back.found) {
            assert_eq!((a.image, a.class, a.score), (b.image, b.class, b.score));
            for (x, y) in [(a.bbox.x, b.bbox.x), (a.bbox.xmax, b.bbox.xmax), (a.bbox.h, b.bbox.h)] {
                assert!((x - y).abs() < 1e-12, "{x} {y}");
            }
        }
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        // A number where the id is one and reads back the same, else the text.
        assert_eq!(json[0]["image_id"], 42);
        assert_eq!(json[1]["image_id"], "000001");
        assert_eq!(json[1]["category_id"], 7);
        assert_eq!(json[1]["label"], "potted plant");
        assert_eq!(json[1]["bbox"], serde_json::json!([-origin, -origin, 5.0, 5.0].map(f64::from)));
        write_coco_results(&path, &set, &[]).unwrap();
        assert_eq!(read_coco_results(&path, &set).unwrap(), Detections::default());
    }
    assert!(write_coco_results(&path, &cells(), &[found(0, 9, 0.5, [0.; 4])]).is_err());
    assert!(write_coco_results(&dir.path().join("no/such"), &cells(), &[]).unwrap_err().to_string().contains("create"));
    let nan = CocoRow { image_id: "1", category_id: 1, label: "a", bbox: [f64::NAN, 0., 1., 1.], score: 0.5 };
    assert!(write_coco_rows(&mut Vec::new(), [nan]).is_err());
}

#[test]
fn a_number_finds_the_image_that_is_named_with_zeros() {
    let row = |id: &str| format!(r#"[{{"image_id":{id},"category_id":5,"bbox":[1,2,3,4],"score":0.5}}]"#);
    let set = cells();
    for id in ["1", r#""1""#, r#""000001""#, "1.0"] {
        assert_eq!(read_text(&row(id), &set).unwrap().found[0].image, 0, "{id}");
    }
    assert_eq!(read_text(&row(r#""0042""#), &set).unwrap().found[0].image, 1);
    // Two images of one number: only the text tells them apart.
    let set = dataset(&["a", "bear"], &["007", "0007", "b"]);
    let set = Dataset { category_ids: vec![1, 5], ..set };
    assert_eq!(read_text(&row(r#""0007""#), &set).unwrap().found[0].image, 1);
    assert!(read_text(&row("7"), &set).unwrap_err().to_string().contains("image id '7' is not in"));
    for (name, id) in [("000000000139", "139"), ("000", "0"), ("", ""), ("7a", "7a"), ("-07", "-07")] {
        assert_eq!(image_id(name), id);
    }
    let long = "0123456789012345678";
    assert_eq!(image_id(long), long, "more digits than every reader holds");
}

#[test]
fn devkit_files_there_and_back() {
    let dir = tempfile::tempdir().unwrap();
    for origin in [0.0, 1.0] {
        let set = Dataset { origin, ..cells() };
        write_devkit(dir.path(), "comp4_det_test", &set, &some()).unwrap();
        let text = std::fs::read_to_string(dir.path().join("comp4_det_test_potted plant.txt")).unwrap();
        let edge = 1.0 - origin;
        assert_eq!(text, format!("000001 1 {} {} {} {}\n", edge, edge, 5.0 + edge, 5.0 + edge));
        let back = read_detections(dir.path(), &set).unwrap();
        assert!(back.notes.is_empty());
        let mut want = some();
        want.sort_by_key(|d| d.class);
        assert_eq!(back.found.len(), 3);
        for (a, b) in want.iter().zip(&back.found) {
            assert_eq!((a.image, a.class, a.score), (b.image, b.class, b.score));
            assert!((a.bbox.xmax - b.bbox.xmax).abs() < 1e-12);
        }
    }
    let slash = dataset(&["../../etc/passwd"], &["x"]);
    let e = write_devkit(dir.path(), "comp4", &slash, &[]).unwrap_err().to_string();
    assert!(e.contains("cannot be a part of a file name"), "{e}");
    let space = dataset(&["a"], &["two words"]);
    assert!(write_devkit(dir.path(), "comp4", &space, &[found(0, 0, 0.5, [0., 0., 1., 1.])]).is_err());
}

#[test]
fn a_network_s_detections_and_their_files_score_the_same() {
    let set = cells();
    let boxes = [[10.3, 10.1, 20.2, 19.7], [9.6, 10.0, 21.1, 20.4], [50.1, 50.0, 60.0, 60.3]];
    let list: Vec<_> = boxes
        .iter()
        .zip([0.5, 0.9, 0.7])
        .map(|(&b, score)| autobidet::detect::Detection { class: 0, score, bbox: b.into() })
        .collect();
    let direct = candidates(&[vec![], list, vec![]]);
    let dir = tempfile::tempdir().unwrap();
    write_coco_results(&dir.path().join("f.json"), &set, &direct).unwrap();
    write_devkit(&dir.path().join("kit"), "x", &set, &direct).unwrap();
    let want = evaluate(&set, &direct, &EvalOptions::default()).unwrap();
    assert_eq!((want.classes[0].tp, want.classes[0].fp), (1, 2));
    for name in ["f.json", "kit"] {
        let read = read_detections(&dir.path().join(name), &set).unwrap();
        assert_eq!(evaluate(&set, &read.found, &EvalOptions::default()).unwrap(), want);
    }
}

#[test]
fn class_names_hold_underscores_and_spaces() {
    let dir = tempfile::tempdir().unwrap();
    for (name, score) in [("bear", 0.1), ("teddy_bear", 0.2), ("potted plant", 0.3), ("zebra", 0.4), ("RBC2", 0.5)] {
        let line = format!("42 {score} 1 2 3 4\n\n");
        std::fs::write(dir.path().join(format!("comp4_det_test_{name}.txt")), line).unwrap();
    }
    std::fs::write(dir.path().join("README.md"), "not a result").unwrap();
    let got = read_devkit(dir.path(), &cells()).unwrap();
    let brief: Vec<(u32, f64)> = got.found.iter().map(|d| (d.class, d.score)).collect();
    assert_eq!(brief, [(1, 0.1), (2, 0.2), (3, 0.3)]);
    assert_eq!((got.notes.len(), got.notes[0].count), (1, 2));
    assert!(got.notes[0].examples.contains(&"comp4_det_test_zebra.txt".to_owned()));

    std::fs::write(dir.path().join("comp3_det_test_bear.txt"), "").unwrap();
    let e = read_devkit(dir.path(), &cells()).unwrap_err().to_string();
    assert!(e.contains("two files hold detections of 'bear'"), "{e}");
}

#[test]
fn devkit_lines_that_are_wrong() {
    let set = cells();
    let say = |text: &[u8]| read_lines("x_RBC.txt", text, &set).unwrap_err().to_string();
    for (text, words) in [
        ("42 0.5 1 2 3\n", "x_RBC.txt:1: no ymax"),
        ("42 0.5 1 2 3 4\n42 0.5 1 2 3 4 5\n", "x_RBC.txt:2: a seventh field '5'"),
        ("42 nan 1 2 3 4", "score is nan, not a finite number"),
        ("42 0.5 1 2 inf 4", "xmax is inf"),
        ("42 1e999 1 2 3 4", "score is 1e999"),
        ("42 0,5 1 2 3 4", "score '0,5' is not a number"),
        ("42 0.5 -1e308 0 1e308 4", "too large"),
        ("0.9 RBC 1 2 3 4", "score 'RBC' is not a number"),
        ("[{\"image_id\": 1}]", "score '1}]' is not a number"),
        (
            "42 0.5 1 2 3 4\r\n\r\n7 0.5 1 2 3 4\r\n8 0.5 1 2 3 4\r\n",
            "image id '7' is not in test set val of 3 images (2",
        ),
        ("\u{1b}[31mred 0.5 1 2 3 4", "'\\u{1b}[31mred'"),
    ] {
        let e = say(text.as_bytes());
        assert!(e.contains(words), "{text:?}: {e}");
    }
    assert!(say(b"\xff\xfe 1 2").contains(":1: bytes that are no text"));
    let long = say(&vec![b'7'; 1 << 20]);
    assert!(long.contains("longer than") && long.len() < 400, "{long}");
    assert!(read_lines("x_RBC.txt", b"", &set).unwrap().found.is_empty());
    let e = read_lines("RBC.text", b"", &set).unwrap_err().to_string();
    assert!(e.contains("no file is named *_<class>.txt") && e.contains("RBC, bear"), "{e}");
    let inverted = read_lines("x_RBC.txt", b"42 0.5 10 10 3 4\n", &set).unwrap();
    assert_eq!((inverted.found.len(), inverted.notes[0].count), (1, 1));
}

#[test]
fn coco_results_that_are_wrong() {
    let set = cells();
    let entry = r#"{"image_id": 42, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}"#;
    for (text, words) in [
        ("", "EOF"),
        ("{\"images\": [], \"annotations\": []}", "expected COCO results: a list"),
        ("[1, 2]", "entry 0: invalid type: integer `1`"),
        ("\"text\"", "expected COCO results"),
        ("null", "expected COCO results"),
        (&format!("[{entry},\n{{\"image_id\": 1}}]"), "found.json:2: entry 1: missing field `category_id`"),
        (&format!("[{entry}"), "EOF"),
        (&format!("[{entry}] x"), "trailing characters"),
        (&entry.replace("0.5", "NaN"), "expected"),
        (&format!("[{}]", entry.replace("0.5", "NaN")), "entry 0: expected value"),
        (&format!("[{}]", entry.replace("0.5", "1e999")), "number out of range"),
        (&format!("[{}]", entry.replace("0.5", "\"0.5\"")), "entry 0: invalid type: string"),
        (&format!("[{}]", entry.replace(", 4]", "]")), "entry 0: invalid length 3"),
        (&format!("[{}]", entry.replace(", 4]", ", 4, 5]")), "entry 0: "),
        (&format!("[{}]", entry.replace("[1, 2, 3, 4]", "[1, 2, 1e300, 1e300]")), "too large"),
        (&format!("[{}]", entry.replace("42", "4.5")), "expected an image id"),
        (&format!("[{}]", entry.replace("42", "null")), "expected an image id"),
        (
            &format!("[{entry}, {}]", entry.replace("42", "43")),
            "image id '43' is not in test set val of 3 images (1 det",
        ),
        (&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), "entry 0"),
        (
            &format!("[{}]", entry.replace("0.5", &format!("0.5, \"x\": {}", "[".repeat(100_000)))),
            "entry 0: expected value",
        ),
    ] {
        let e = read_text(text, &set).unwrap_err().to_string();
        assert!(e.contains(words) && e.contains("found.json"), "{:.200}: {e}", text);
        assert_eq!(e.matches("column").count(), usize::from(!words.contains("image id '43'")), "{e}");
        assert!(e.len() < 800, "{e}");
    }
}

#[test]
fn coco_results_that_are_odd_but_right() {
    let set = cells();
    let text = r#"[
        {"score": 1, "bbox": [1, 2, 3, 4], "category_id": 90, "image_id": "a-b", "segmentation": {"size": [1, 2]}},
        {"image_id": 42.0, "category_id": 1, "bbox": [1.5, -2, 0, 4], "score": -3.25e0, "label": "x"},
        {"image_id": "42", "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 42, "category_id": -7, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 42, "category_id": 7, "bbox": [1, 2, -3, 4], "score": 0.5}
    ]"#;
    let got = read_text(text, &set).unwrap();
    let brief: Vec<(u32, u32, f64)> = got.found.iter().map(|d| (d.image, d.class, d.score)).collect();
    assert_eq!(brief, [(2, 2, 1.0), (1, 0, -3.25), (1, 3, 0.5)]);
    assert_eq!(got.notes.iter().map(|n| n.count).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(got.notes[0].examples, ["category_id 2 (entry 2)", "category_id -7 (entry 3)"]);
}

#[test]
fn paths_that_are_wrong() {
    let set = cells();
    let dir = tempfile::tempdir().unwrap();
    let e = read_detections(&dir.path().join("none.json"), &set).unwrap_err().to_string();
    assert!(e.contains("none.json") && e.contains("Check the path"), "{e}");
    assert!(read_coco_results(dir.path(), &set).is_err());
    assert!(read_devkit(&dir.path().join("none"), &set).is_err());
    assert!(read_detections(dir.path(), &set).unwrap_err().to_string().contains("no file is named"));
    if Path::new("/dev/zero").exists() {
        assert!(read_coco_results(Path::new("/dev/zero"), &set).unwrap_err().to_string().contains("regular file"));
    }
}
