//! Notes and names that both formats share.

use super::{Voc, noted};
use autobidet::data::find;

#[test]
fn a_note_keeps_the_count_and_only_the_first_places() {
    let voc = Voc::new();
    let boxes = [("dog", [5.0, 5.0, 5.0, 9.0]); 20];
    voc.image("a", 20, 20, &boxes).list("train", &["a"]);
    let set = voc.open("train").unwrap();
    assert_eq!(noted(&set.notes, "zero-area"), 20);
    assert_eq!(set.notes[0].examples.len(), 5);
    assert!(set.notes[0].to_string().ends_with(", ...)"), "{}", set.notes[0]);
}

#[test]
fn lists_of_one_class_are_no_splits_but_can_be_asked_for() {
    let voc = Voc::new();
    for id in ["a", "b"] {
        voc.image(id, 20, 20, &[("dog", [1.0, 1.0, 9.0, 9.0])]);
    }
    voc.list("train", &["a", "b"]).list("dog_train", &["a -1", "b  1"]);
    assert_eq!(find::splits(voc.path()).unwrap(), ["train"]);
    let dogs = voc.open("dog_train").unwrap();
    assert_eq!(dogs.images.iter().map(|i| i.id.as_str()).collect::<Vec<_>>(), ["b"], "-1 says that there is none");
    assert!(voc.open("../Main/train").is_err());
}
