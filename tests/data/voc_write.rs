//! What is written as VOC reads back equal.

use super::{picture, says};
use autobidet::data::{Object, VocWriter, image_file, open};
use autobidet::detect::BBox;

fn thing(class: usize, corners: [f32; 4], difficult: bool) -> Object {
    let bbox = BBox::new(corners[0], corners[1], corners[2], corners[3]);
    Object { class, bbox, difficult, crowd: false, area: bbox.area(), target: true }
}

#[test]
fn a_written_folder_reads_back_equal() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("out");
    let classes = ["a & <b>", "c"].map(String::from);
    let sets = [
        ("train", "000", vec![thing(0, [0.0, 1.25, 10.0, 11.5], false), thing(1, [3.0, 3.0, 9.0, 9.0], true)]),
        ("train", "001", vec![]),
        ("test", "002", vec![thing(1, [0.1, 0.2, 39.9, 29.7], false)]),
    ];
    let mut writer = VocWriter::create(&root, &classes).unwrap();
    for (split, id, objects) in &sets {
        writer.add(split, id, &picture(40, 30, 9), objects, 0.0).unwrap();
    }
    says(writer.add("train", "000", &picture(4, 4, 0), &[], 0.0), &["`000` was written before"]);
    says(writer.add("train", "../x", &picture(4, 4, 0), &[], 0.0), &["no plain file name"]);
    says(writer.add("train", "9", &picture(4, 4, 0), &[thing(2, [0.0; 4], false)], 0.0), &["class", "2 of 2"]);
    writer.finish().unwrap();

    for split in ["train", "test"] {
        let read = open(&root, split).unwrap();
        assert_eq!(read.classes, classes);
        assert!(read.notes.iter().all(|n| n.what.contains("without boxes")), "{:?}", read.notes);
        let wanted: Vec<_> = sets.iter().filter(|s| s.0 == split).collect();
        assert_eq!(read.images.len(), wanted.len());
        for (image, (_, id, objects)) in read.images.iter().zip(wanted) {
            assert_eq!((&image.id, image.width, image.height), (&id.to_string(), 40, 30));
            assert_eq!(image.objects.len(), objects.len());
            for (got, want) in image.objects.iter().zip(objects) {
                assert_eq!((got.class, got.difficult), (want.class, want.difficult));
                let (a, b) = (got.bbox, want.bbox);
                for (got, want) in [(a.xmin, b.xmin), (a.ymin, b.ymin), (a.xmax, b.xmax), (a.ymax, b.ymax)] {
                    assert!((got - read.origin - want).abs() < 1e-5, "{got} {want}");
                }
            }
        }
    }
    let stored = image_file::read(&root.join("JPEGImages/000.jpg"), None).unwrap().image;
    let off: u32 = stored.iter().zip(picture(40, 30, 9).iter()).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    assert!(off / (40 * 30 * 3) < 4, "JPEG at quality 95 stays near: {off}");
    says(VocWriter::create(&root, &classes), &["not empty", "it holds", "nothing is overwritten"]);
}
