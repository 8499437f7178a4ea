//! `detect`

use std::collections::BTreeSet;

use serde_json::Value;

use super::{arg, call, fails, scenes, trained, works};

#[test]
fn pictures_and_json() {
    let dir = tempfile::tempdir().unwrap();
    let (out, json) = (dir.path().join("out"), dir.path().join("found.json"));
    let images = scenes().join("JPEGImages");
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
        assert_eq!(r["label"], autobidet::data::scenes::CLASSES[class - 1]);
        let b: Vec<f64> = r["bbox"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert!(b.len() == 4 && b[0] >= 0.0 && b[2] >= 0.0 && b[0] + b[2] <= 160.001, "{r}");
        assert!((0.0..=1.0).contains(&r["score"].as_f64().unwrap()));
        assert!(pictures.contains(&format!("{}.png", r["image_id"].as_str().unwrap())), "{r}");
    }
    let drawn = image::open(out.join(format!("{stem}.png"))).unwrap();
    assert_eq!((drawn.width(), drawn.height()), (160, 160));
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
