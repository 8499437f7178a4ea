//! Mean and spread of a number over seeds.
//!
//! ```text
//! m = mean of x    s = sqrt(Σ (x - m)² / (n - 1))    interval = m ± t(0.975, n - 1) s / √n     (Student 1908)
//! ```

use serde::{Deserialize, Serialize};

/// Mean, deviation and 95 % interval of the mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// How many numbers.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation (n - 1 in the denominator); none of one number.
    pub deviation: Option<f64>,
    /// The 95 % interval of the mean, where the numbers are drawn from a normal distribution; none of one number.
    pub interval: Option<[f64; 2]>,
}

impl Spread {
    /// Of some numbers; those that are not finite are left out. None of none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        if n == 1 {
            return Some(Spread { n, mean, deviation: None, interval: None });
        }
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64).sqrt();
        let half = student(n - 1) * deviation / (n as f64).sqrt();
        Some(Spread { n, mean, deviation: Some(deviation), interval: Some([mean - half, mean + half]) })
    }
}

/// The 97.5 % quantile of Student's t with `degrees` >= 1 degrees of freedom.
pub fn student(degrees: usize) -> f64 {
    // To four digits after the point; from 31 on the expansion about the normal quantile is as good.
    const TABLE: [f64; 30] = [
        12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788, 2.1604,
        2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518,
        2.0484, 2.0452, 2.0423,
    ];
    match TABLE.get(degrees.max(1) - 1) {
        Some(t) => *t,
        None => {
            let (z, v) = (NORMAL_975, degrees as f64);
            z + (z.powi(3) + z) / (4.0 * v) + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * v * v)
        }
    }
}

/// The 97.5 % quantile of the normal distribution.
pub(super) const NORMAL_975: f64 = 1.959_963_984_540_054;
