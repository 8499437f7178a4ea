//! COCO folders and their traps.

use super::{noted, picture, says};
use autobidet::data::{ImageSource, find, open, open_with};
use autobidet::detect::BBox;
use std::path::Path;
use tempfile::TempDir;

const CATEGORIES: &str = r#"[{"id":7,"name":"dog","supercategory":"animal"},{"id":3,"name":"cat"}]"#;

/// `annotations/instances_SPLIT.json` and images in `SPLIT/`.
fn coco(split: &str, images: &str, annotations: &str, files: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("annotations")).unwrap();
    std::fs::create_dir_all(dir.path().join(split)).unwrap();
    for file in files {
        picture(40, 30, 1).save(dir.path().join(split).join(file)).unwrap();
    }
    let json = format!(r#"{{"images":{images},"annotations":{annotations},"categories":{CATEGORIES}}}"#);
    std::fs::write(json_of(dir.path(), split), json).unwrap();
    dir
}

fn json_of(dir: &Path, split: &str) -> std::path::PathBuf {
    dir.join(format!("annotations/instances_{split}.json"))
}

#[test]
fn reads_boxes_classes_and_splits_without_info() {
    let dir = coco(
        "train2017",
        r#"[{"id":5,"file_name":"x.jpg","width":40,"height":30}]"#,
        r#"[{"id":1,"image_id":5,"category_id":7,"bbox":[1.5,2,10,20],"area":99.5,"iscrowd":0,
             "segmentation":[[[[1,2],{"deep":[1e999]}]]]},
            {"id":2,"image_id":5,"category_id":3,"bbox":[0,0,40,30],"iscrowd":1}]"#,
        &["x.jpg"],
    );
    for asked in ["train", "train2017"] {
        let set = open(dir.path(), asked).unwrap();
        assert_eq!((set.classes.clone(), set.category_ids.clone()), (vec!["cat".into(), "dog".into()], vec![3, 7]));
        assert_eq!((set.origin, set.split.as_str()), (0.0, asked));
        let image = &set.images[0];
        assert_eq!((image.id.as_str(), image.width, image.height), ("5", 40, 30));
        assert_eq!(image.source, ImageSource::File(dir.path().join("train2017/x.jpg")));
        assert_eq!(image.objects[0].bbox, BBox::new(1.5, 2.0, 11.5, 22.0));
        assert_eq!((image.objects[0].area, image.objects[0].crowd, image.objects[0].class), (99.5, false, 1));
        assert_eq!((image.objects[1].area, image.objects[1].crowd), (1200.0, true));
        assert_eq!(noted(&set.notes, "crowd box"), 1);
        assert_eq!(set.notes.len(), 1, "{:?}", set.notes);
    }
    assert_eq!(find::splits(dir.path()).unwrap(), ["train2017"]);
    assert_eq!(noted(&open(dir.path(), "trainval").unwrap().notes, "`train2017` is used"), 1);
    says(open(dir.path(), "val"), &["no split `val`, only train2017"]);
    // A json may be named itself.
    let set = open(&json_of(dir.path(), "train2017"), "train").unwrap();
    assert!(set.notes.iter().all(|n| n.what.contains("crowd")));
}

#[test]
fn test_falls_back_to_val_and_says_so_and_two_years_are_not_guessed_between() {
    let dir = coco("val2017", r#"[{"id":1,"file_name":"x.jpg"}]"#, "[]", &["x.jpg"]);
    let set = open(dir.path(), "test").unwrap();
    assert_eq!(noted(&set.notes, "no split `test`: `val2017` is used"), 1);
    assert_eq!(noted(&set.notes, "width or height of an image missing"), 1);
    assert_eq!((set.images[0].width, set.images[0].height), (0, 0));
    std::fs::copy(json_of(dir.path(), "val2017"), json_of(dir.path(), "val2014")).unwrap();
    says(open(dir.path(), "val"), &["`val` may be val2014 or val2017"]);
    assert_eq!(open(dir.path(), "val2014").unwrap().images.len(), 1);
}

#[test]
fn odd_entries_are_counted_and_named() {
    let dir = coco(
        "train",
        r#"[{"id":1,"file_name":"x.jpg","width":40,"height":30},{"id":1,"file_name":"y.jpg"},
            {"id":2,"file_name":"y.jpg","width":40,"height":30},{"id":3,"file_name":"gone.jpg","width":40,"height":30},
            {"id":4,"file_name":"../train/x.jpg","width":40,"height":30}]"#,
        r#"[{"id":1,"image_id":1,"category_id":7,"bbox":[1,2,0,20]},
            {"id":1,"image_id":1,"category_id":7,"bbox":[1,2,3,20]},
            {"id":2,"image_id":99,"category_id":7,"bbox":[1,2,3,20]},
            {"id":3,"image_id":1,"category_id":55,"bbox":[1,2,3,20]},
            {"id":4,"image_id":1,"category_id":7,"bbox":[1,2,-3,20]},
            {"id":5,"image_id":1,"category_id":7,"bbox":[1,2,3]},
            {"id":6,"image_id":1,"category_id":7},
            {"id":7,"image_id":1,"category_id":7,"bbox":[1,null,3,4]},
            {"id":8,"image_id":1,"category_id":7,"bbox":[1,2,3,1e30]},
            {"id":9,"image_id":1,"category_id":7,"bbox":[30,20,30,5]},
            {"image_id":1,"category_id":3,"bbox":[1,2,30,5],"area":null,"iscrowd":false}]"#,
        &["x.jpg", "y.jpg"],
    );
    let set = open(dir.path(), "train").unwrap();
    assert_eq!(set.images.len(), 4);
    assert_eq!(set.images[0].objects.iter().map(|o| o.target).collect::<Vec<_>>(), [false, true, true]);
    for (what, count) in [
        ("image id occurs twice", 1),
        ("annotation id occurs twice", 1),
        ("not listed", 1),
        ("unknown class", 1),
        ("negative width", 1),
        ("not of four numbers", 4),
        ("zero-area", 1),
        ("partly outside", 1),
        ("without boxes", 3),
        ("image file missing", 1),
        ("leads out of the data set", 1),
    ] {
        assert_eq!(noted(&set.notes, what), count, "{what}: {:#?}", set.notes);
    }
    assert_eq!(set.images[3].source, ImageSource::File(dir.path().join("train/x.jpg")));
}

#[test]
fn a_fixed_class_list_orders_and_restricts() {
    let dir = coco(
        "val",
        r#"[{"id":1,"file_name":"x.jpg","width":40,"height":30}]"#,
        r#"[{"image_id":1,"category_id":7,"bbox":[1,2,5,20]},{"image_id":1,"category_id":3,"bbox":[1,2,5,20]}]"#,
        &["x.jpg"],
    );
    let classes = ["bird", "dog"].map(String::from);
    let set = open_with(dir.path(), "val", Some(&classes)).unwrap();
    assert_eq!((set.classes.as_slice(), set.category_ids.as_slice()), (&classes[..], &[8, 7][..]));
    assert_eq!(set.images[0].objects.len(), 1);
    assert_eq!(set.images[0].objects[0].class, 1);
    assert_eq!(noted(&set.notes, "unknown class"), 1);
}

#[test]
fn other_layouts_and_missing_images() {
    // json and images side by side, one folder a split.
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("valid");
    std::fs::create_dir_all(&folder).unwrap();
    picture(40, 30, 1).save(folder.join("x.jpg")).unwrap();
    let json = r#"{"images":[{"id":"a","file_name":"x.jpg"}],"annotations":[{"image_id":"a","category_id":1,"bbox":[1,2,3,4]}],
        "categories":[{"id":0,"name":"fish"},{"id":1,"name":"fish"}]}"#;
    std::fs::write(folder.join("_annotations.coco.json"), json).unwrap();
    let set = open(dir.path(), "val").unwrap();
    assert_eq!((set.images[0].id.as_str(), set.category_ids.as_slice()), ("a", &[1][..]));
    assert_eq!(noted(&set.notes, "category with another one's name"), 1);
    assert_eq!(set.images[0].source, ImageSource::File(folder.join("x.jpg")));

    let dir = coco("train2017", r#"[{"id":1,"file_name":"nope.jpg"}]"#, "[]", &["x.jpg"]);
    says(open(dir.path(), "train"), &["nope.jpg", "are in none of", "train2017", "images"]);
    let dir = coco("train2017", "[]", "[]", &[]);
    says(open(dir.path(), "train"), &["list of images is empty"]);
}
