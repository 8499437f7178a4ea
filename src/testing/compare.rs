//! Comparing arrays as the conformance cases define it.

/// How far two arrays are apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// max |got - want| / max |want|; absolute where `want` is all zero. NaN counts as infinite unless both have it.
    pub error: f64,
    /// Where the largest difference is.
    pub index: usize,
    /// Value there.
    pub got: f64,
    /// Expected value there.
    pub want: f64,
}

/// The largest difference of two arrays of equal length (an unequal length is an infinite error).
pub fn compare(got: &[f32], want: &[f32]) -> Difference {
    let mut d = Difference { error: 0.0, index: 0, got: 0.0, want: 0.0 };
    if got.len() != want.len() {
        return Difference { error: f64::INFINITY, got: got.len() as f64, want: want.len() as f64, ..d };
    }
    let scale = want.iter().filter(|v| v.is_finite()).fold(0f64, |m, v| m.max(v.abs() as f64));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let (g, w) = (*g as f64, *w as f64);
        let e = if g == w || (g.is_nan() && w.is_nan()) { 0.0 } else { (g - w).abs() };
        let e = if e.is_nan() { f64::INFINITY } else { e };
        if e > d.error {
            d = Difference { error: e, index: i, got: g, want: w };
        }
    }
    if scale > 0.0 {
        d.error /= scale;
    }
    d
}
