//! How two lists of numbers go together, and how sure that is.
//!
//! ```text
//! Pearson   r = Σ (x - mx)(y - my) / sqrt(Σ (x - mx)² Σ (y - my)²)
//!           interval tanh(atanh r ± 1.96 / √(n - 3))                    (Fisher 1921; n >= 4)
//! Spearman  Pearson of the ranks, equal values sharing the mean of their ranks; interval by bootstrap over the pairs
//! Kendall   (pairs in the same order - pairs in the opposite order) / √(pairs untied in x · pairs untied in y)    (tau-b)
//! ```

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::bootstrap::{Bootstrap, draw};
use super::spread::NORMAL_975;

/// Both correlations of two lists with their 95 % intervals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Correlation {
    /// Pairs.
    pub n: usize,
    /// Pearson's r; none where a list does not vary.
    pub pearson: Option<f64>,
    /// Its interval.
    pub pearson_interval: Option<[f64; 2]>,
    /// Spearman's rho.
    pub spearman: Option<f64>,
    /// Its interval, from resampled pairs.
    pub spearman_interval: Option<[f64; 2]>,
}

impl Correlation {
    /// Of the pairs of which both numbers are finite. `resamples` and `seed` are those of the bootstrap; the result depends
    /// on nothing else.
    pub fn of(x: &[f64], y: &[f64], resamples: usize, seed: u64) -> Correlation {
        let finite = |(a, b): &(&f64, &f64)| a.is_finite() && b.is_finite();
        let (x, y): (Vec<f64>, Vec<f64>) = x.iter().zip(y).filter(finite).map(|(a, b)| (*a, *b)).unzip();
        let n = x.len();
        let pearson = pearson(&x, &y);
        let rho = spearman(&x, &y);
        let resampled = (0..resamples as u64).into_par_iter().map(|r| {
            let weights = draw(n as u32, seed, r);
            let again = |v: &[f64]| -> Vec<f64> {
                v.iter().zip(&weights).flat_map(|(v, w)| std::iter::repeat_n(*v, *w as usize)).collect()
            };
            spearman(&again(&x), &again(&y)).unwrap_or(f64::NAN)
        });
        let resampled: Vec<f64> = resampled.collect();
        Correlation {
            n,
            pearson,
            pearson_interval: pearson.and_then(|r| fisher(r, n)),
            spearman: rho,
            spearman_interval: rho.and(Bootstrap::of(resampled)).map(|b| [b.low, b.high]),
        }
    }
}

/// Pearson's correlation of lists of one length; none of fewer than two pairs, or where a list does not vary.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    let n = x.len().min(y.len());
    if n < 2 {
        return None;
    }
    let mean = |v: &[f64]| v[..n].iter().sum::<f64>() / n as f64;
    let (mx, my) = (mean(x), mean(y));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        let (a, b) = (a - mx, b - my);
        (xx, yy, xy) = (xx + a * a, yy + b * b, xy + a * b);
    }
    (xx > 0.0 && yy > 0.0).then(|| (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0))
}

/// Spearman's rank correlation; none as [`pearson`].
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    pearson(&ranks(x), &ranks(y))
}

/// Fisher's 95 % interval of a Pearson correlation of `n` pairs; none of fewer than four.
pub fn fisher(r: f64, n: usize) -> Option<[f64; 2]> {
    let half = NORMAL_975 / (n.checked_sub(3).filter(|d| *d > 0)? as f64).sqrt();
    // At r = 1 the interval is that one number.
    Some([-half, half].map(|d| (r.atanh() + d).tanh()))
}

/// Ranks from 1, equal values sharing the mean of theirs.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut out = vec![0.0; values.len()];
    let mut first = 0;
    for same in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = first as f64 + (same.len() + 1) as f64 / 2.0;
        same.iter().for_each(|i| out[*i] = rank);
        first += same.len();
    }
    out
}

/// The values with those above their quantile `q` (in 0..=1, linear between ranks) set to it. Not finite ones stay, and
/// do not count.
pub fn clip_above(values: &[f64], q: f64) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    if sorted.is_empty() {
        return values.to_vec();
    }
    let at = q.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    let top = low + (high - low) * at.fract();
    values.iter().map(|v| if v.is_finite() { v.min(top) } else { *v }).collect()
}

/// How well an order of ours agrees with a published one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OrderAgreement {
    /// Rows compared.
    pub rows: usize,
    /// Spearman's rho; none where either list does not vary.
    pub spearman: Option<f64>,
    /// Kendall's tau-b.
    pub kendall: Option<f64>,
    /// Pairs of rows that differ in the paper and stand in the same order here.
    pub same: usize,
    /// Pairs of rows that differ in the paper.
    pub pairs: usize,
    /// Whether all of those pairs stand in the same order here.
    pub agrees: bool,
    /// Share of all orders of our numbers whose rho is at least this: what chance would do. None of more than nine rows.
    pub by_chance: Option<f64>,
}

/// Compares our numbers with the paper's, row by row.
pub fn order_agreement(paper: &[f64], ours: &[f64]) -> OrderAgreement {
    let n = paper.len().min(ours.len());
    let (paper, ours) = (&paper[..n], &ours[..n]);
    let (mut same, mut opposite, mut pairs, mut untied) = (0usize, 0usize, 0usize, 0usize);
    for i in 0..n {
        for j in 0..i {
            let (a, b) = (paper[i] - paper[j], ours[i] - ours[j]);
            pairs += usize::from(a != 0.0);
            untied += usize::from(b != 0.0);
            same += usize::from(a * b > 0.0);
            opposite += usize::from(a * b < 0.0);
        }
    }
    let rho = spearman(paper, ours);
    let both = (pairs * untied) as f64;
    OrderAgreement {
        rows: n,
        spearman: rho,
        kendall: (both > 0.0).then(|| (same as f64 - opposite as f64) / both.sqrt()),
        same,
        pairs,
        agrees: pairs > 0 && same == pairs,
        by_chance: rho.filter(|_| n <= 9).map(|rho| share_of_orders(&ranks(paper), ranks(ours), rho)),
    }
}

/// The share of permutations of `ours` with a correlation of at least `rho`.
fn share_of_orders(paper: &[f64], mut ours: Vec<f64>, rho: f64) -> f64 {
    let (mut reached, mut all) = (0u64, 0u64);
    let mut look = |order: &[f64]| {
        all += 1;
        // A rounding below is the same number.
        reached += u64::from(pearson(paper, order).is_some_and(|r| r >= rho - 1e-9));
    };
    // Heap's algorithm: every permutation by one exchange from the last.
    let n = ours.len();
    let mut counter = vec![0; n];
    look(&ours);
    let mut i = 1;
    while i < n {
        if counter[i] < i {
            ours.swap(if i % 2 == 0 { 0 } else { counter[i] }, i);
            look(&ours);
            counter[i] += 1;
            i = 1;
        } else {
            counter[i] = 0;
            i += 1;
        }
    }
    reached as f64 / all as f64
}
