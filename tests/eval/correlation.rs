//! Correlations, ranks and spreads, by hand.

use autobidet::eval::correlation::{clip_above, fisher, order_agreement, pearson, ranks, spearman};
use autobidet::eval::spread::student;
use autobidet::eval::{Correlation, Spread};

use super::close;

const X: [f64; 5] = [1.0, 2.0, 3.0, 4.0, 5.0];
const Y: [f64; 5] = [2.0, 1.0, 4.0, 3.0, 5.0];

#[test]
fn coefficients_by_hand() {
    // Sums of products of deviations: 8, squares 10 and 10.
    close(pearson(&X, &Y).unwrap(), 0.8, "r");
    close(spearman(&X.map(f64::exp), &Y).unwrap(), 0.8, "rho does not mind the scale");
    assert_eq!(ranks(&[10.0, 20.0, 20.0, 5.0]), [2.0, 3.5, 3.5, 1.0]);
    assert_eq!((pearson(&X, &[1.0; 5]), pearson(&[1.0], &[1.0])), (None, None));
    // tanh(atanh 0.8 ± 1.959964 / sqrt 2)
    let [low, high] = fisher(0.8, 5).unwrap();
    assert!((low + 0.279_636).abs() < 1e-5 && (high - 0.986_196).abs() < 1e-5, "{low} {high}");
    assert_eq!((fisher(0.8, 3), fisher(1.0, 9)), (None, Some([1.0, 1.0])));
}

#[test]
fn intervals_cover_the_number_and_depend_on_the_seed_alone() {
    let x: Vec<f64> = (0..200).map(f64::from).collect();
    let y: Vec<f64> = x.iter().map(|v| v + 80.0 * (v * 1.7).sin()).collect();
    let run = |seed, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Correlation::of(&x, &y, 300, seed))
    };
    let c = run(1, 1);
    let inside = |v: Option<f64>, i: Option<[f64; 2]>| i.unwrap()[0] < v.unwrap() && v.unwrap() < i.unwrap()[1];
    assert!(inside(c.pearson, c.pearson_interval) && inside(c.spearman, c.spearman_interval), "{c:?}");
    // Of a nearly normal pair both intervals are about the same width.
    let width = |i: Option<[f64; 2]>| i.unwrap()[1] - i.unwrap()[0];
    assert!((width(c.pearson_interval) / width(c.spearman_interval) - 1.0).abs() < 0.5, "{c:?}");
    assert_eq!(c, run(1, 3));
    assert_ne!(c.spearman_interval, run(2, 1).spearman_interval);
    let gap = Correlation::of(&[1.0, f64::NAN, 3.0], &[1.0, 2.0, f64::INFINITY], 10, 1);
    assert_eq!((gap.n, gap.pearson, gap.spearman, gap.spearman_interval), (1, None, None, None));
}

#[test]
fn clipping_is_at_the_quantile() {
    let values: Vec<f64> = (0..=100).map(f64::from).collect();
    let clipped = clip_above(&values, 0.99);
    assert_eq!((clipped[98], clipped[99], clipped[100]), (98.0, 99.0, 99.0));
    // Half way between the third and the fourth of four.
    assert_eq!(clip_above(&[4.0, 1.0, 3.0, 2.0], 5.0 / 6.0), [3.5, 1.0, 3.0, 2.0]);
    assert!(clip_above(&[f64::NAN], 0.5)[0].is_nan() && clip_above(&[], 0.5).is_empty());
}

#[test]
fn order_against_the_papers() {
    // Two of ten pairs are the other way round.
    let o = order_agreement(&X, &Y);
    assert_eq!((o.rows, o.same, o.pairs, o.agrees), (5, 8, 10, false));
    close(o.kendall.unwrap(), 0.6, "tau");
    close(o.spearman.unwrap(), 0.8, "rho");
    let three = |ours: [f64; 3]| order_agreement(&[1.0, 2.0, 3.0], &ours).by_chance.unwrap();
    // Of the six orders one has rho 1, two 0.5, two -0.5, one -1.
    close(three([7.0, 8.0, 9.0]), 1.0 / 6.0, "as the paper");
    close(three([7.0, 9.0, 8.0]), 0.5, "one exchange");
    close(three([9.0, 8.0, 7.0]), 1.0, "reversed");
    let tied = order_agreement(&[1.0, 2.0, 2.0], &[1.0, 2.0, 3.0]);
    assert_eq!((tied.same, tied.pairs, tied.agrees), (2, 2, true));
    close(tied.kendall.unwrap(), 2.0 / 6f64.sqrt(), "tau-b");
    let level = order_agreement(&[1.0, 2.0], &[5.0, 5.0]);
    assert_eq!((level.spearman, level.kendall, level.agrees, level.by_chance), (None, None, false, None));
}

#[test]
fn spread_over_seeds() {
    let s = Spread::of([1.0, 2.0, 3.0, 4.0]).unwrap();
    let deviation = (5.0f64 / 3.0).sqrt();
    close(s.mean, 2.5, "mean");
    close(s.deviation.unwrap(), deviation, "deviation");
    let [low, high] = s.interval.unwrap();
    close(high - low, 2.0 * 3.1824 * deviation / 2.0, "interval");
    close((low + high) / 2.0, 2.5, "its middle");
    let one = Spread::of([f64::NAN, 0.5]).unwrap();
    assert_eq!((one.n, one.mean, one.deviation, one.interval), (1, 0.5, None, None));
    assert_eq!(Spread::of([]), None);
    for (degrees, t) in [(1, 12.7062), (30, 2.0423), (31, 2.0395), (40, 2.0211), (120, 1.9799)] {
        assert!((student(degrees) - t).abs() < 1e-4, "{degrees}: {}", student(degrees));
    }
}
