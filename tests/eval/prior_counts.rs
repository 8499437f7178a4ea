//! Counts over priors, by hand.

use autobidet::eval::PriorScores;
use autobidet::eval::prior_counts::{ClassCounts, TAUS};

use super::close;

/// Two images of four priors and two classes, by their probabilities (background, a, b).
fn scores() -> PriorScores {
    let mut s = PriorScores::new(4, 2);
    let image = |rows: [[f32; 3]; 4]| rows.iter().flatten().map(|p| p.ln()).collect::<Vec<f32>>();
    s.push(&image([[0.9, 0.06, 0.04], [0.2, 0.1, 0.7], [0.5, 0.3, 0.2], [0.97, 0.015, 0.015]]), &[1, 2, 0, 0]).unwrap();
    s.push(&image([[0.96, 0.02, 0.02], [0.3, 0.6, 0.1], [0.94, 0.02, 0.04], [0.99, 0.005, 0.005]]), &[2, 2, 0, 0])
        .unwrap();
    s
}

#[test]
fn counts_by_hand() {
    let s = scores();
    assert_eq!(s.images(), 2);
    let c = s.counts(0.05);
    assert_eq!((c.tp, c.fp, c.tn, c.false_negatives, c.right_class), (3, 1, 3, 1, 2));
    let of = |tp, fp, false_negatives| ClassCounts { tp, fp, false_negatives };
    assert_eq!(c.by_class, [of(1, 1, 0), of(2, 0, 1)]);
    close(c.precision().unwrap(), 0.75, "precision");
    close(c.recall().unwrap(), 0.75, "recall");
    close(c.positives_per_image().unwrap(), 2.0, "positives of an image");
    assert_eq!(c.tenths(), [0.3, 0.1, 0.3, 0.1]);
    assert_eq!(s.per_image(0.05), [[2, 1], [1, 0]]);
    assert_eq!(s.objects_per_image(), [2, 2]);
    let fp = TAUS.map(|t| s.counts(t)).map(|c| (c.tp, c.fp, c.tn, c.false_negatives));
    assert_eq!(fp, [(4, 3, 1, 0), (3, 2, 2, 1), (3, 1, 3, 1)]);
    let json = c.to_json(&["a".into(), "b".into()]);
    assert_eq!(
        (&json["fn"], &json["per_class"]["b"]["fn"], &json["tenths"]["tp"]),
        (&1.into(), &1.into(), &0.3.into())
    );
    let empty = PriorScores::new(4, 2).counts(0.05);
    assert_eq!((empty.precision(), empty.recall(), empty.positives_per_image()), (None, None, None));
}

#[test]
fn false_positives_at_equal_recall() {
    let s = scores();
    let curve = s.curve(usize::MAX);
    assert_eq!((curve.positives, curve.tp.as_slice(), curve.fp.as_slice()), (4, &[1, 2, 3, 4][..], &[0, 0, 1, 2][..]));
    let mut other = s.counts(0.05);
    let at = |c: &autobidet::eval::PriorCounts| curve.at_recall_of(c);
    let found = at(&other).unwrap();
    assert_eq!((found.tp, found.fp), (3, 1));
    assert!((found.threshold - 0.06).abs() < 1e-6 && found.recall == 0.75);
    // A third of another detector's three: two of four are the fewest that reach it.
    (other.tp, other.false_negatives) = (1, 2);
    assert_eq!(at(&other).map(|a| (a.tp, a.fp)), Some((2, 0)));
    other.tp = 0;
    assert_eq!(at(&other).map(|a| (a.tp, a.fp, a.threshold)), Some((0, 0, f32::INFINITY)));
    other.false_negatives = 0;
    assert_eq!(at(&other), None);
    assert_eq!(s.curve(2).tp, [1, 4]);

    // Equal scores stand or fall together.
    let mut level = PriorScores::new(3, 1);
    level.push(&[0.0; 6], &[1, 1, 0]).unwrap();
    let curve = level.curve(10);
    assert_eq!((curve.tp, curve.fp, curve.threshold), (vec![2], vec![1], vec![0.5]));
}

#[test]
fn what_is_not_a_number_is_no_positive() {
    let mut s = PriorScores::new(2, 1);
    s.push(&[f32::NAN, 0.0, f32::INFINITY, 0.0], &[1, 0]).unwrap();
    let c = s.counts(0.01);
    assert_eq!((c.tp, c.fp, c.tn, c.false_negatives), (0, 0, 1, 1));
    assert_eq!(s.curve(10).at_recall_of(&scores().counts(0.05)), None);
    for (logits, labels) in [(&[0.0; 4][..], &[0, 2][..]), (&[0.0; 3], &[0, 1]), (&[0.0; 4], &[0])] {
        assert!(s.push(logits, labels).is_err());
    }
    assert_eq!(s.images(), 1);
}
