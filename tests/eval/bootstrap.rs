//! The error of the mean.

use autobidet::eval::bootstrap::{RESAMPLES, resampled, resampled_sums};
use autobidet::eval::{Bootstrap, EvalOptions, Metric, Paired, bootstrap, evaluate};

use super::{dataset, found, object};

const BOX: [f64; 4] = [10., 10., 60., 60.];

/// `n` images of one object each, of which every `miss`-th is not found and has a false positive elsewhere.
fn set_of(n: usize, miss: usize) -> (autobidet::data::Dataset, Vec<autobidet::eval::Candidate>) {
    let ids: Vec<String> = (0..n).map(|i| i.to_string()).collect();
    let mut set = dataset(&["a", "b"], &ids.iter().map(String::as_str).collect::<Vec<_>>());
    let mut list = Vec::new();
    for i in 0..n {
        set.images[i].objects.push(object(0, BOX.map(|v| v as f32)));
        let score = ((i * 7919) % n) as f64 / n as f64;
        let at = if i % miss == 0 { BOX.map(|v| v + 200.0) } else { BOX };
        list.push(found(i as u32, 0, score, at));
    }
    (set, list)
}

#[test]
fn agrees_with_the_binomial_error() {
    // Every image is found or missed, mistakes spread evenly over the scores: recall at all is k/n, precision is level,
    // so AP is about (k/n)² and its error about 2(k/n)·sqrt(k/n(1-k/n)/n) to first order.
    let (set, list) = set_of(400, 4);
    let options = EvalOptions::default();
    let got = bootstrap(&set, &list, &options, RESAMPLES, 0).unwrap().unwrap();
    let map = evaluate(&set, &list, &options).unwrap().map.unwrap();
    assert!((map - 0.5625).abs() < 0.02, "{map}");
    let want = 2.0 * 0.75 * (0.75f64 * 0.25 / 400.0).sqrt();
    assert!((got.standard_error / want - 1.0).abs() < 0.25, "{got:?}, about {want}");
    assert!(got.low < map && map < got.high && got.resamples == RESAMPLES);
}

#[test]
fn shrinks_with_the_root_of_the_images_and_is_zero_where_all_is_right() {
    let error = |n, miss| {
        let (set, list) = set_of(n, miss);
        bootstrap(&set, &list, &EvalOptions::default(), RESAMPLES, 1).unwrap().unwrap().standard_error
    };
    let ratio = error(100, 4) / error(1600, 4);
    assert!((3.0..5.5).contains(&ratio), "{ratio}");
    let (set, _) = set_of(50, 4);
    let right: Vec<_> = (0..50).map(|i| found(i, 0, 0.5, BOX)).collect();
    for metric in [Metric::Voc07, Metric::Voc, Metric::Coco] {
        let got = bootstrap(&set, &right, &EvalOptions::of(metric), 50, 1).unwrap().unwrap();
        assert!(got.standard_error < 1e-9 && (got.low - 1.0).abs() < 1e-9, "{got:?}");
    }
}

#[test]
fn depends_on_the_seed_alone() {
    let (set, list) = set_of(60, 3);
    let run = |seed, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| bootstrap(&set, &list, &EvalOptions::of(Metric::Coco), 40, seed).unwrap().unwrap())
    };
    assert_eq!(run(5, 1), run(5, 3));
    assert_ne!(run(5, 1), run(6, 1));
}

#[test]
fn nothing_to_measure() {
    for set in [dataset(&[], &[]), dataset(&["a"], &["x"])] {
        assert_eq!(bootstrap(&set, &[], &EvalOptions::default(), 20, 0).unwrap(), None);
    }
    let (set, list) = set_of(5, 2);
    assert_eq!(bootstrap(&set, &list, &EvalOptions::default(), 0, 0).unwrap(), None);
}

#[test]
fn differences_are_paired() {
    let p =
        Paired::of(&[Some(0.1), Some(0.2), None, Some(0.3)], &[Some(0.2), Some(0.2), Some(0.9), Some(0.0)]).unwrap();
    // 0.1, 0 and -0.3: one above, one half.
    assert_eq!((p.spread.resamples, p.above), (3, 0.5));
    assert!((p.spread.low + 0.3).abs() < 1e-12 && (p.spread.high - 0.1).abs() < 1e-12, "{p:?}");
    assert_eq!(Paired::of(&[Some(0.1), None], &[Some(0.2), Some(0.1)]), None);

    // B misses what A misses, and every eighth image more: the difference varies far less than either, because both see
    // the same images.
    let options = EvalOptions::default();
    let (set, a) = set_of(200, 4);
    let (_, c) = set_of(200, 8);
    let all = |list: &[_]| resampled(&set, list, &options, 300, 3).unwrap();
    let (ra, rc) = (all(&a), all(&c));
    let own = bootstrap(&set, &a, &options, 300, 3).unwrap().unwrap();
    assert_eq!(Bootstrap::of(ra.iter().copied().flatten()), Some(own));
    let map = |list: &[_]| evaluate(&set, list, &options).unwrap().map.unwrap();
    let p = Paired::of(&ra, &rc).unwrap();
    let d = map(&c) - map(&a);
    assert!(p.spread.low < d && d < p.spread.high && p.above == 1.0 && p.spread.low > 0.0, "{p:?} {d}");
    let other = Bootstrap::of(rc.iter().copied().flatten()).unwrap();
    assert!(p.spread.standard_error < 0.8 * own.standard_error.hypot(other.standard_error), "{p:?}");
    let level = Paired::of(&ra, &ra).unwrap();
    assert_eq!((level.spread.standard_error, level.above), (0.0, 0.5));
    assert!(resampled_sums(&[1.0; 200], 20, 3).iter().all(|s| *s == 200.0));
}
