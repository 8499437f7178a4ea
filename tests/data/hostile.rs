//! Broken and hostile annotation files: an error with file and line, quickly, and never a panic.

use super::{Voc, annotation, says};
use autobidet::data::open;
use std::time::Instant;

fn voc_with(xml: &str) -> Voc {
    let voc = Voc::new();
    voc.picture("a.jpg", 20, 20).xml("a", xml).list("train", &["a"]);
    voc
}

#[test]
fn broken_or_foreign_xml_names_file_and_line() {
    let object = "<object><name>a</name></object>";
    let cases: Vec<(String, &[&str])> = vec![
        ("".into(), &["a.xml:1", "no XML element"]),
        ("just text\n".into(), &["a.xml:2", "no XML element"]),
        ("\n<!DOCTYPE html>\n<html></html>".into(), &["a.xml:2", "DOCTYPE"]),
        ("<html><body></body></html>".into(), &["a.xml:1", "outermost element is <html>"]),
        ("<annotation>\n<object>\n</annotation>".into(), &["a.xml:3", "broken XML"]),
        ("<annotation>\n<object>\n<name>x".into(), &["a.xml:3", "ends inside <name>"]),
        (format!("<annotation>{object}</annotation>\n<annotation/>"), &["a.xml:2", "second outermost"]),
        ("<annotation>\n<object><name>&evil;</name></object></annotation>".into(), &["a.xml:2", "entity &evil;"]),
        ("<annotation>\n<a attr=\"".into(), &["a.xml:", "broken XML"]),
        (
            "<?xml version=\"1.0\"?>\n<!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;\">]>\n<annotation>&lol2;</annotation>".into(),
            &["a.xml:2", "DOCTYPE"],
        ),
        (format!("<annotation>{}", "<x>".repeat(100_000)), &["a.xml:1", "nested more than 64 deep"]),
        ("\u{feff}{\"a\": 1}".into(), &["a.xml", "no XML element"]),
    ];
    for (xml, parts) in cases {
        let start = Instant::now();
        says(voc_with(&xml).open("train"), parts);
        says(voc_with(&xml).open("train"), &["Expected a PASCAL VOC annotation"]);
        assert!(start.elapsed().as_secs() < 5, "{} took {:?}", &xml[..xml.len().min(60)], start.elapsed());
    }
    let voc = voc_with("");
    std::fs::write(voc.path().join("Annotations/a.xml"), b"<annotation>\n<folder>M\xfcller</folder></annotation>")
        .unwrap();
    says(voc.open("train"), &["a.xml:2", "not UTF-8"]);
    std::fs::write(voc.path().join("Annotations/a.xml"), vec![b' '; 5 << 20]).unwrap();
    says(voc.open("train"), &["a.xml", "5242880 bytes", "up to 4194304"]);
}

#[test]
fn what_xml_allows_is_read() {
    let xml = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<!-- hi -->\r\n<annotation verified=\"no\">\r\n<size>\
               <width> 20 </width><height>-5</height></size><object><name><![CDATA[R&]]>&amp;&#66;&lt;é</name><bndbox>\
               <ymax>9.5</ymax><xmax>8</xmax><ymin>2</ymin><xmin>+1</xmin></bndbox></object></annotation>";
    let set = voc_with(xml).open("train").unwrap();
    assert_eq!(set.classes, ["R&&B<é"]);
    assert_eq!((set.images[0].width, set.images[0].height), (0, 0), "a size of 20 x -5 is no size");
    let b = set.images[0].objects[0].bbox;
    assert_eq!([b.xmin, b.ymin, b.xmax, b.ymax], [1.0, 2.0, 8.0, 9.5]);
}

#[test]
fn many_tiny_objects_are_read_in_linear_time() {
    let objects = "<object/>\n".repeat(300_000);
    let start = Instant::now();
    says(voc_with(&annotation("a.jpg", 9, 9, &objects)).open("train"), &["no annotation holds an object"]);
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

#[test]
fn ids_cannot_leave_the_folder() {
    for id in ["../../etc/passwd", "/etc/passwd", "..", "a\\b"] {
        let voc = Voc::new();
        voc.image("a", 20, 20, &[("dog", [1.0, 1.0, 9.0, 9.0])]).list("train", &["a", id]);
        says(voc.open("train"), &["train.txt:2", "is no image id"]);
    }
}

#[test]
fn broken_or_foreign_json_names_file_and_line() {
    let tail = r#""annotations":[],"categories":[{"id":1,"name":"a"}]}"#;
    let image = |w: &str| format!("{{\"images\":[{{\"id\":1,\"file_name\":\"x.jpg\",\n\"width\":{w}}}],{tail}");
    let annotation = |a: &str| {
        format!(
            "{{\"images\":[{{\"id\":1,\"file_name\":\"x.jpg\"}}],\n\"annotations\":[{a}],\n\"categories\":[{{\"id\":1,\"name\":\"a\"}}]}}"
        )
    };
    let cases: Vec<(String, &[&str])> = vec![
        ("".into(), &["x.json:1", "empty"]),
        ("\n\n[{\"image_id\":1}]".into(), &["x.json:3", "is a list"]),
        ("hello".into(), &["x.json:1", "not json"]),
        ("<html>".into(), &["x.json:1", "not json"]),
        ("{".into(), &["x.json:1", "EOF"]),
        ("\n{\"a\":1}".into(), &["x.json:2", "missing field `images`"]),
        (format!("{{\"images\":3,{tail}"), &["x.json:1", "invalid type"]),
        (image("1e400"), &["x.json:2", "number out of range"]),
        (image("NaN"), &["x.json:2"]),
        (image("\"wide\""), &["x.json:2", "invalid type"]),
        (annotation(r#"{"image_id":1,"category_id":-4,"bbox":[1,2,3,4]}"#), &["x.json:2", "invalid value"]),
        (annotation(r#"{"image_id":1,"category_id":99999999999,"bbox":[1,2,3,4]}"#), &["x.json:2", "invalid value"]),
        (annotation(r#"{"image_id":{},"category_id":1,"bbox":[1,2,3,4]}"#), &["x.json:2", "an id"]),
        (annotation(r#"{"image_id":1,"category_id":1,"bbox":"1 2 3 4"}"#), &["x.json:2", "a box [x, y, width, height]"]),
        (annotation(r#"{"image_id":1,"category_id":1,"bbox":[1,2,3,4e999]}"#), &["x.json:2", "number out of range"]),
        (format!("{{\"info\":{}", "[".repeat(1_000_000)), &["x.json:1", "EOF"]),
        (format!("{{\"images\":{}", "[".repeat(1_000_000)), &["x.json:1"]),
        (r#"{"images":[{"id":1,"file_name":"x.jpg"}],"annotations":[],"categories":[{"id":1,"name":"a"},{"id":1,"name":"b"}]}"#.into(), &["x.json", "category id 1 occurs twice"]),
        (r#"{"images":[{"id":1,"file_name":"x.jpg"}],"annotations":[],"categories":[]}"#.into(), &["x.json", "categories is empty"]),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.json");
    for (json, parts) in cases {
        std::fs::write(&path, &json).unwrap();
        let start = Instant::now();
        says(open(&path, "train"), parts);
        assert!(start.elapsed().as_secs() < 5, "{}", &json[..json.len().min(60)]);
    }
}

#[test]
fn damaged_annotations_never_panic() {
    let good = annotation("a.jpg", 20, 20, &super::object("dog", &["1", "2", "9", "9"].map(String::from)));
    let voc = voc_with(&good);
    let json = r#"{"images":[{"id":1,"file_name":"a.jpg","width":20,"height":20}],
        "annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[1,2,3,4.5],"area":13.5,"iscrowd":0}],
        "categories":[{"id":1,"name":"dog"}]}"#;
    let coco = voc.path().join("JPEGImages/x.json");
    std::fs::write(&coco, json).unwrap();
    assert!(voc.open("train").is_ok() && open(&coco, "x").is_ok());
    let annotation = voc.path().join("Annotations/a.xml");
    for (path, good, is_xml) in [(&annotation, good.as_bytes(), true), (&coco, json.as_bytes(), false)] {
        for at in 0..good.len() {
            for byte in [0, 0xff, b'<', b'-'] {
                let mut damaged = good.to_vec();
                damaged[at] = byte;
                std::fs::write(path, &damaged).unwrap();
                let _ = if is_xml { voc.open("train") } else { open(path, "x") };
            }
            std::fs::write(path, &good[..at]).unwrap();
            assert!(if is_xml { voc.open("train") } else { open(path, "x") }.is_err() || at + 1 == good.len());
        }
    }
}
