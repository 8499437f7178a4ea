//! `detect`

use std::collections::BTreeSet;

use autobidet::data::scenes::{self, SceneSpec};
use autobidet::detect::decode::DecodeOptions;
use autobidet::device::Device;
use autobidet::predict::Predictor;
use serde_json::{Value, json};

use super::{arg, call, fails, scenes as scenes_folder, trained, works};

#[test]
fn pictures_and_json() {
    let dir = tempfile::tempdir().unwrap();
    let (out, json) = (dir.path().join("out"), dir.path().join("found.json"));
    let images = scenes_folder().join("JPEGImages");
    let mut files: Vec<_> =
        std::fs::read_dir(&images).unwrap().flatten().map(|e| e.path()).filter(|p| p.is_file()).collect();
    files.sort();
    assert_eq!(files.len(), 7);
    // A second file of a name, one of the name that the second would get, one in other letter case.
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let stem = files[0].file_stem().unwrap().to_str().unwrap();
    for name in [stem.to_string(), format!("{stem}-2"), stem.to_uppercase()] {
        image::RgbImage::from_pixel(90, 60, image::Rgb([200, 30, 40])).save(other.join(format!("{name}.png"))).unwrap();
    }
    std::fs::write(other.join("note.txt"), "no image").unwrap();
    std::fs::write(other.join("broken.jpg"), "no image").unwrap();
    let p = works(&[
        "detect",
        "--weights",
        arg(trained()),
        arg(&files[0]),
        arg(&images),
        arg(&other),
        "--out",
        arg(&out),
        "--json",
        arg(&json),
        "--score",
        "0",
        "--device",
        "cpu",
    ]);
    assert!(p.err.contains("broken.jpg: this is no image that is known here"), "{p:?}");
    assert!(p.err.contains("objects in 11 images"), "{p:?}");
    let pictures: BTreeSet<String> =
        std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(pictures.len(), 11, "{pictures:?}");
    let lower: BTreeSet<String> = pictures.iter().map(|p| p.to_lowercase()).collect();
    assert_eq!(lower.len(), 11, "{pictures:?}");

    let rows: Vec<Value> = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert!(!rows.is_empty());
    for r in &rows {
        let class = r["category_id"].as_u64().unwrap() as usize;
        assert_eq!(r["label"], scenes::CLASSES[class - 1]);
        let b: Vec<f64> = r["bbox"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert!(b.len() == 4 && b[0] >= 0.0 && b[2] >= 0.0 && b[0] + b[2] <= 160.001, "{r}");
        assert!((0.0..=1.0).contains(&r["score"].as_f64().unwrap()));
        assert!(pictures.contains(&format!("{}.png", r["image_id"].as_str().unwrap())), "{r}");
    }
    let drawn = image::open(out.join(format!("{stem}.png"))).unwrap();
    assert_eq!((drawn.width(), drawn.height()), (160, 160));
}

/// What pycocotools needs of the file: the data's own category ids and image numbers.
#[test]
fn ids_of_coco_data_are_the_data_s_own() {
    let dir = tempfile::tempdir().unwrap();
    let images = dir.path().join("train2017");
    std::fs::create_dir_all(&images).unwrap();
    let ids = [1u32, 7, 18, 44, 62, 90];
    let categories: Vec<Value> =
        scenes::CLASSES.iter().zip(ids).map(|(name, id)| json!({"id": id, "name": name})).collect();
    let (mut list, mut annotations) = (Vec::new(), Vec::new());
    for (i, number) in [139u32, 285].into_iter().enumerate() {
        let (picture, objects) = scenes::draw(&SceneSpec { seed: 1, width: 160, height: 160 }, i as u64);
        let file = format!("{number:012}.png");
        picture.save(images.join(&file)).unwrap();
        list.push(json!({"id": number, "file_name": file, "width": 160, "height": 160}));
        for o in objects {
            let b = o.bbox;
            let bbox = [b.xmin, b.ymin, b.width(), b.height()];
            annotations.push(json!({"image_id": number, "category_id": ids[o.class], "bbox": bbox}));
        }
    }
    let truth = dir.path().join("instances_train2017.json");
    let text = json!({"images": list, "annotations": annotations, "categories": categories}).to_string();
    std::fs::write(&truth, text).unwrap();

    let (run, out, found) = (dir.path().join("run"), dir.path().join("out"), dir.path().join("found.json"));
    let train =
        ["train", "--data", arg(&truth), "--test-split", "", "--steps", "1", "--batch", "2", "--out", arg(&run)];
    works(&[&train[..], &["--train-split", "train", "--device", "cpu"]].concat());
    let config = std::fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(config.contains("category_ids = [1, 7, 18, 44, 62, 90]"), "{config}");
    let detect = ["detect", "--weights", arg(&run), arg(&images), "--out", arg(&out), "--json", arg(&found)];
    works(&[&detect[..], &["--score", "0", "--device", "cpu"]].concat());
    let rows: Vec<Value> = serde_json::from_slice(&std::fs::read(&found).unwrap()).unwrap();
    assert!(!rows.is_empty());
    for r in &rows {
        let class = ids.iter().position(|id| r["category_id"] == *id).unwrap_or_else(|| panic!("{r}"));
        assert_eq!(r["label"], scenes::CLASSES[class]);
        assert!(r["image_id"] == 139 || r["image_id"] == 285, "{r}");
    }
    let p = works(&["eval", "--detections", arg(&found), "--ground-truth", arg(&truth), "--metric", "coco", "--json"]);
    let result: Value = serde_json::from_str(&p.out).unwrap();
    assert!(result["map"].is_number() && !p.err.contains("category_id"), "{p:?}");
}

#[test]
fn the_library_opens_what_training_wrote() {
    let (image, _) = scenes::draw(&SceneSpec { seed: 1, width: 90, height: 60 }, scenes::TEST_START);
    let options = DecodeOptions { score_threshold: 0.1, clip: true, ..Default::default() };
    let found = [trained().to_path_buf(), trained().join("best.safetensors")].map(|path| {
        let mut predictor = Predictor::open(&path, &Device::Cpu).unwrap();
        assert_eq!(predictor.detector.config.classes, scenes::CLASSES);
        predictor.image(&image, &options).unwrap()
    });
    assert!(!found[0].is_empty() && found[0] == found[1]);
    assert!(found[0].iter().all(|d| d.bbox.xmax <= 90.0 && d.bbox.ymax <= 60.0), "in the image's own pixels");
    assert!(found[0].windows(2).all(|d| d[0].score >= d[1].score));
    for (path, says) in [("config.toml", "safetensors"), ("checkpoint.safetensors", "which network")] {
        let e = Predictor::open(&trained().join(path), &Device::Cpu).map(|_| ()).unwrap_err().to_string();
        assert!(e.contains(path) && e.contains(says), "{e}");
    }
}

#[test]
fn what_cannot_be_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let (out, w) = (dir.path().join("out"), arg(trained()));
    let detect = |more: &[&str], code, parts: &[&str]| {
        let args = [&["detect", "--weights", w, "--out", arg(&out), "--device", "cpu"], more].concat();
        fails(&args, code, parts);
    };
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    detect(&[arg(&empty)], 1, &["has no .jpg, .jpeg or .png"]);
    detect(&[arg(&dir.path().join("nowhere.jpg"))], 1, &["nowhere.jpg: cannot read"]);
    let text = dir.path().join("a.jpg");
    std::fs::write(&text, "<html>").unwrap();
    detect(&[arg(&text)], 1, &["a.jpg: this is text"]);
    detect(&[arg(&text), arg(&text)], 1, &["no image could be read"]);
    detect(&[arg(&text), "--score", "1.5"], 2, &["--score: is 1.5"]);
    // A PNG that claims 20,000 x 20,000 pixels in a hundred bytes.
    let mut png = Vec::new();
    image::RgbImage::new(1, 1).write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
    for at in [16, 20] {
        png[at..at + 4].copy_from_slice(&20_000u32.to_be_bytes());
    }
    std::fs::write(&text, &png).unwrap();
    detect(&[arg(&text)], 1, &["a.jpg"]);
    let p = call(&["detect", "--weights", w, "--out", arg(&out)]);
    assert_eq!(p.code, Some(2));
}
