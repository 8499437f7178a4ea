//! VOC folders and their traps.

use super::{Voc, annotation, noted, object, says};
use autobidet::data::{ImageSource, find, open, open_with};
use autobidet::detect::BBox;

#[test]
fn reads_boxes_classes_and_splits() {
    let voc = Voc::new();
    voc.image("a", 40, 30, &[("dog", [1.0, 2.0, 11.0, 12.5])])
        .image("b", 20, 20, &[("cat", [3.0, 3.0, 9.0, 9.0]), ("dog", [1.0, 1.0, 20.0, 20.0])])
        .list("train", &["a", "", "  "])
        .list("val", &["b"]);
    let train = voc.open("train").unwrap();
    // The classes are those of all splits, so that train and test agree on the indices.
    assert_eq!(train.classes, ["cat", "dog"]);
    assert_eq!(train.category_ids, [1, 2]);
    assert_eq!((train.split.as_str(), train.origin, train.images.len()), ("train", 1.0, 1));
    let image = &train.images[0];
    assert_eq!((image.id.as_str(), image.width, image.height), ("a", 40, 30));
    assert_eq!(image.source, ImageSource::File(voc.path().join("JPEGImages/a.jpg")));
    assert_eq!(image.objects[0].bbox, BBox::new(1.0, 2.0, 11.0, 12.5));
    assert_eq!((image.objects[0].class, image.objects[0].target, image.objects[0].area), (1, true, 105.0));
    assert!(train.notes.is_empty(), "{:?}", train.notes);
    assert_eq!(find::splits(voc.path()).unwrap(), ["train", "val"]);
    // `trainval` is made of the two lists, and says so.
    let both = voc.open("trainval").unwrap();
    assert_eq!(both.images.iter().map(|i| i.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(noted(&both.notes, "`train and val` is used"), 1);
    assert_eq!(noted(&voc.open("test").unwrap().notes, "no split `test`: `val` is used"), 1);
    assert_eq!(voc.open("all").unwrap().images.len(), 2);
    says(voc.open("minival"), &["no split `minival`", "train, val, all"]);
}

#[test]
fn is_found_below_its_parent_but_never_guessed_between_two() {
    let outer = tempfile::tempdir().unwrap();
    let make = |name: &str| {
        let voc = Voc::new();
        voc.image("a", 20, 20, &[("dog", [1.0, 2.0, 11.0, 12.0])]).list("train", &["a"]);
        let to = outer.path().join("devkit").join(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::rename(voc.path(), to).unwrap();
        std::fs::create_dir_all(voc.path()).unwrap();
    };
    make("VOC2007");
    assert_eq!(open(outer.path(), "train").unwrap().name, "VOC2007");
    make("VOC2012");
    says(open(outer.path(), "train"), &["several data sets", "VOC2007", "VOC2012"]);
    let sets = ["VOC2007", "VOC2012"].map(|n| open(&outer.path().join("devkit").join(n), "train").unwrap());
    let joined = find::join(sets.to_vec()).unwrap();
    assert_eq!((joined.images.len(), joined.name.as_str()), (2, "VOC2007+VOC2012"));
}

#[test]
fn odd_boxes_are_counted_and_named_and_the_image_stays() {
    let voc = Voc::new();
    voc.image(
        "a",
        40,
        30,
        &[
            ("dog", [5.0, 5.0, 5.0, 20.0]),    // zero area
            ("dog", [30.0, 20.0, 60.0, 25.0]), // partly outside
            ("dog", [50.0, 2.0, 60.0, 9.0]),   // wholly outside
            ("dog", [20.0, 20.0, 10.0, 10.0]), // corners swapped
            ("dog", [1.0, 1.0, 40.0, 30.0]),   // the whole image, as VOC counts
        ],
    )
    .image("b", 20, 20, &[])
    .list("train", &["a", "b", "a"]);
    let set = voc.open("train").unwrap();
    assert_eq!(set.images.len(), 2);
    let targets: Vec<bool> = set.images[0].objects.iter().map(|o| o.target).collect();
    assert_eq!(targets, [false, true, false, true, true]);
    assert_eq!(set.images[0].objects[3].bbox, BBox::new(10.0, 10.0, 20.0, 20.0));
    for what in ["zero-area", "partly outside", "wholly outside", "wrong order", "without boxes", "listed twice"] {
        assert_eq!(noted(&set.notes, what), 1, "{what}: {:?}", set.notes);
    }
    let zero = set.notes.iter().find(|n| n.what.contains("zero-area")).unwrap();
    assert_eq!(zero.examples, ["a.xml:4"]);
    assert_eq!(zero.to_string(), "zero-area box: left out of the targets, the image is kept: 1 (a.xml:4)");
}

#[test]
fn coordinates_that_are_no_numbers_leave_the_object_out() {
    let voc = Voc::new();
    let good = ["1", "2", "9", "9"].map(String::from);
    let mut objects = object("dog", &good);
    for bad in ["NaN", "inf", "1e400", "", "abc", "9999999999"] {
        objects += &object("dog", &["1".into(), "2".into(), bad.into(), "9".into()]);
    }
    objects += "<object><name>dog</name></object><object/>";
    objects += "<object><name>dog</name><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>";
    voc.picture("a.jpg", 20, 20).xml("a", &annotation("a.jpg", 20, 20, &objects)).list("train", &["a"]);
    let set = voc.open("train").unwrap();
    assert_eq!(set.images[0].objects.len(), 1);
    assert_eq!(noted(&set.notes, "not numeric coordinate"), 8);
    assert_eq!(set.classes, ["dog"], "a part's name is no class");
}

#[test]
fn files_are_found_by_the_id_in_any_case_and_extension() {
    let voc = Voc::new();
    let boxes = object("dog", &["1", "2", "9", "9"].map(String::from));
    for (id, file) in [("A1", "a1.jpg"), ("b", "b.JPEG"), ("c", "c.PNG"), ("d.e", "d.e.jpg")] {
        voc.picture(file, 20, 20).xml(id, &annotation("IMG.JPG", 20, 20, &boxes));
    }
    voc.list("train", &["A1", "b.jpg", "c", "d.e"]);
    let set = voc.open("train").unwrap();
    let names: Vec<String> = set
        .images
        .iter()
        .map(|i| match &i.source {
            ImageSource::File(p) => p.file_name().unwrap().to_string_lossy().into_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["a1.jpg", "b.JPEG", "c.PNG", "d.e.jpg"]);
    assert_eq!(noted(&set.notes, "<filename> names another file"), 4);
}

#[test]
fn missing_files_are_noted_until_half_of_them_are_missing() {
    let voc = Voc::new();
    for id in ["a", "b", "c", "d"] {
        voc.image(id, 20, 20, &[("dog", [1.0, 2.0, 9.0, 9.0])]);
    }
    voc.list("train", &["a", "b", "c", "d"]);
    std::fs::remove_file(voc.path().join("JPEGImages/a.jpg")).unwrap();
    std::fs::remove_file(voc.path().join("Annotations/b.xml")).unwrap();
    let set = voc.open("train").unwrap();
    // No annotation: what the image shows is not known. No image: its objects are known, and missed.
    assert_eq!(set.images.iter().map(|i| i.id.as_str()).collect::<Vec<_>>(), ["a", "c", "d"]);
    assert_eq!((noted(&set.notes, "no annotation file"), noted(&set.notes, "image file missing")), (1, 1));
    for id in ["c", "d"] {
        std::fs::remove_file(voc.path().join(format!("JPEGImages/{id}.jpg"))).unwrap();
    }
    says(
        voc.open("train"),
        &["3 of the 4 images of split `train` have no image", "a.jpg", "a.png", "unpacked in full"],
    );
    std::fs::remove_dir_all(voc.path().join("Annotations")).unwrap();
    std::fs::create_dir(voc.path().join("Annotations")).unwrap();
    says(voc.open("train"), &["4 of the 4", "have no annotation", "a.xml"]);
    std::fs::remove_dir_all(voc.path().join("JPEGImages")).unwrap();
    says(voc.open("train"), &["no image folder", "JPEGImages"]);
}

#[test]
fn unusable_sets_are_errors_with_a_way_out() {
    let voc = Voc::new();
    voc.image("a", 20, 20, &[]).list("train", &[]).list("val", &["a"]);
    says(voc.open("train"), &["split `train` is empty"]);
    says(voc.open("val"), &["no annotation holds an object"]);
    let empty = tempfile::tempdir().unwrap();
    says(open(empty.path(), "train"), &["no VOC folder", "no COCO json", &empty.path().display().to_string()]);
    says(open(&empty.path().join("nowhere"), "train"), &["nowhere", "cannot be opened", "Check the path"]);
}

#[test]
fn a_fixed_class_list_orders_and_restricts() {
    let voc = Voc::new();
    voc.image(
        "a",
        20,
        20,
        &[("dog", [1.0, 2.0, 9.0, 9.0]), ("cat", [1.0, 2.0, 9.0, 9.0]), ("cow", [1.0, 2.0, 9.0, 9.0])],
    )
    .list("test", &["a"]);
    let classes = ["person", "dog", "cat"].map(String::from);
    let set = open_with(voc.path(), "test", Some(&classes)).unwrap();
    assert_eq!(set.classes, classes);
    assert_eq!(set.images[0].objects.iter().map(|o| o.class).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(noted(&set.notes, "unknown class"), 1);
    assert!(set.notes.iter().any(|n| n.examples[0].contains("`cow`")), "{:?}", set.notes);
    says(
        open_with(voc.path(), "test", Some(&["bus".into()])),
        &["none of its objects", "bus", "Was this model trained on other data?"],
    );
}
