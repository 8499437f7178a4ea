//! How detections are spread over objects, by hand.

use autobidet::detect::{BBox, Detection};
use autobidet::eval::sparsity::{entropy, recall_at, sparsity};
use autobidet::eval::{EvalOptions, evaluate};

use super::{close, dataset, found, object};

#[test]
fn measures_by_hand() {
    let mut set = dataset(&["a", "b"], &["1", "2", "3"]);
    let corners = [10.0, 10.0, 50.0, 50.0];
    set.images[0].objects = vec![object(0, corners)];
    set.images[1].objects = vec![object(0, corners), object(0, corners), object(1, corners)];
    set.images[2].objects = vec![object(1, corners)];
    set.images[2].objects[0].difficult = true;
    let of = |list: &[(usize, f32)]| -> Vec<Detection> {
        list.iter().map(|&(class, score)| Detection { class, score, bbox: BBox::from(corners) }).collect()
    };
    let found = [
        of(&[(0, 0.5), (0, 0.25), (0, 0.25), (0, 0.03), (1, 0.9)]), // three count of four; one of a class that is not there
        of(&[(0, 0.4), (0, 0.4)]),                                  // as many as objects; nothing of b
        of(&[(1, 0.9)]),                                            // a difficult object makes no pair
    ];
    let s = sparsity(&set, &found, 0.03);
    assert_eq!((s.pairs, s.found_pairs), (3, 2));
    let first = 0.5 * 2f64.ln() + 0.5 * 4f64.ln();
    close(s.entropy.unwrap(), (first + 2f64.ln()) / 2.0, "entropy");
    close(s.entropy_of_crowded.unwrap(), first, "entropy of more detections than objects");
    close(s.detections_per_object.unwrap(), 5.0 / 4.0, "detections of an object");
    close(s.stray_per_image.unwrap(), 2.0 / 3.0, "stray");
    let none = sparsity(&dataset(&["a"], &[]), &[], 0.03);
    assert_eq!((none.entropy, none.detections_per_object, none.stray_per_image), (None, None, None));
    close(entropy(&[0.3]), 0.0, "of one");
    close(entropy(&[0.2; 8]), 8f64.ln(), "of eight equal ones");
}

#[test]
fn recall_at_a_score() {
    let mut set = dataset(&["a", "b"], &["1"]);
    let at = |x: f64| [x, 10.0, x + 40.0, 50.0];
    for (class, x) in [(0, 0.0), (0, 100.0), (1, 200.0)] {
        set.images[0].objects.push(object(class, at(x).map(|v| v as f32)));
    }
    let list = [
        found(0, 0, 0.9, at(0.0)),
        found(0, 0, 0.5, at(300.0)),
        found(0, 0, 0.2, at(100.0)),
        found(0, 1, 0.3, at(200.0)),
    ];
    let e = evaluate(&set, &list, &EvalOptions::default()).unwrap();
    for (score, found) in [(0.95, 0.0), (0.5, 1.0), (0.25, 2.0), (0.1, 3.0)] {
        close(recall_at(&e, score).unwrap(), found / 3.0, &format!("over {score}"));
    }
    assert_eq!(recall_at(&evaluate(&dataset(&["a"], &["1"]), &[], &EvalOptions::default()).unwrap(), 0.1), None);
}
