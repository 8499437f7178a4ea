//! Real data sets, with the counts that their own descriptions give.

use super::{noted, shared};
use autobidet::data::{Augment, Dataset, Loader, LoaderOptions, Normalization, Preprocess, Sample, open, open_with};
use std::sync::Arc;

fn count(set: &Dataset, class: &str) -> usize {
    let class = set.classes.iter().position(|c| c == class).unwrap();
    set.images.iter().flat_map(|i| &i.objects).filter(|o| o.class == class).count()
}

/// Decodes everything; returns the loader's notes.
fn decode_all(set: Dataset) -> Vec<autobidet::data::Note> {
    let options = LoaderOptions { cache_mb: 0, ..LoaderOptions::default() };
    let input = Preprocess { size: 32, normalization: Normalization::SymmetricUnit };
    let mut loader = Loader::eval(Arc::new(set), input, options, |_: &Sample| ()).unwrap();
    for batch in loader.by_ref() {
        assert!(batch.unwrap().readable.iter().all(|&r| r));
    }
    loader.notes()
}

#[test]
fn bccd() {
    let Some(path) = shared("data/bccd") else { return };
    let (train, test) = (open(&path, "trainval").unwrap(), open(&path, "test").unwrap());
    assert_eq!((train.images.len(), test.images.len()), (250, 59));
    assert_eq!(train.classes, ["Platelets", "RBC", "WBC"]);
    assert_eq!(train.classes, test.classes);
    let all = open(&path, "all").unwrap();
    assert_eq!([count(&all, "RBC"), count(&all, "WBC"), count(&all, "Platelets")], [3523, 316, 307]);
    let zero = all.notes.iter().find(|n| n.what.contains("zero-area")).unwrap();
    assert_eq!(zero.count, 2);
    assert!(zero.examples[0].contains("BloodImage_00338") && zero.examples[1].contains("BloodImage_00343"), "{zero}");
    assert!(decode_all(test).is_empty());
    // Augmented training over all of it.
    let input = Preprocess { size: 160, normalization: Normalization::SymmetricUnit };
    let mut loader =
        Loader::train(Arc::new(train), input, Augment::ssd(), LoaderOptions::default(), 0, |s: &Sample| s.boxes.len())
            .unwrap();
    let boxes: usize = loader.by_ref().take(15).map(|b| b.unwrap().targets.iter().sum::<usize>()).sum();
    assert!(boxes > 800, "{boxes}");
}

#[test]
fn cards() {
    let Some(path) = shared("data/cards") else { return };
    let (train, test) = (open(&path, "trainval").unwrap(), open(&path, "test").unwrap());
    assert_eq!((train.images.len(), test.images.len()), (248, 61));
    let all = open(&path, "all").unwrap();
    assert_eq!(all.classes, ["ace", "jack", "king", "nine", "queen", "ten"]);
    assert_eq!(all.classes.iter().map(|c| count(&all, c)).collect::<Vec<_>>(), [99, 102, 96, 97, 97, 85]);
    assert_eq!(noted(&all.notes, "<filename> names another file"), 264);
    assert!(decode_all(test).is_empty());
}

#[test]
fn voc2012_mini() {
    let Some(path) = shared("data/voc2012-mini") else { return };
    let all = open(&path, "all").unwrap();
    assert_eq!((all.images.len(), all.classes.len()), (100, 20));
    let objects: Vec<_> = all.images.iter().flat_map(|i| &i.objects).collect();
    assert_eq!((objects.len(), objects.iter().filter(|o| o.difficult).count()), (273, 38));
    assert_eq!((count(&all, "person"), count(&all, "tvmonitor"), all.classes[19].as_str()), (91, 9, "tvmonitor"));
    assert_eq!(open(&path, "trainval").unwrap().images.len(), 75);
    assert!(decode_all(all).is_empty());
}

#[test]
fn voc2007_one() {
    let Some(path) = shared("data/voc2007-one") else { return };
    let set = open(&path, "trainval").unwrap();
    assert_eq!((set.images.len(), set.classes.as_slice()), (1, ["dog", "person"].map(String::from).as_slice()));
    assert_eq!(set.images[0].id, "000001");
}

#[test]
fn coco_tiny() {
    let Some(path) = shared("data/coco-tiny") else { return };
    for (split, boxes, crowd, persons) in [("train", 705, 6, 143), ("val", 815, 11, 216)] {
        let set = open(&path, split).unwrap();
        assert_eq!((set.images.len(), set.classes.len()), (80, 80));
        assert_eq!((set.category_ids[0], set.category_ids[79]), (1, 90));
        let objects: Vec<_> = set.images.iter().flat_map(|i| &i.objects).collect();
        assert_eq!((objects.len(), objects.iter().filter(|o| o.crowd).count()), (boxes, crowd));
        assert_eq!(noted(&set.notes, "crowd box"), crowd);
        assert_eq!(count(&set, "person"), persons);
        assert!(decode_all(set).iter().all(|n| !n.what.contains("another size")));
    }
    assert_eq!(noted(&open(&path, "test").unwrap().notes, "`val2017` is used"), 1);
    let set = open_with(&path, "val", Some(&["person".to_owned()])).unwrap();
    assert_eq!(set.images.iter().map(|i| i.objects.len()).sum::<usize>(), 216);
}
