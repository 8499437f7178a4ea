//! The exponential function, from additions and multiplications alone: the same bits on every machine, which the system's
//! need not give.

/// e^x to a unit in the last place of f32; 0 far below, infinite far above, NaN of NaN.
///
/// With k = round(x / ln 2) and |r| <= ln 2 / 2, e^x = 2^k e^r; the series of e^r is summed to r^9 in f64.
#[inline]
pub fn exp(x: f32) -> f32 {
    let x = x as f64;
    if x.is_nan() {
        return f32::NAN;
    }
    if x < -104.0 {
        return 0.0;
    }
    if x > 89.0 {
        return f32::INFINITY;
    }
    let k = (x * std::f64::consts::LOG2_E + 0.5).floor();
    let r = x - k * std::f64::consts::LN_2;
    let mut sum = 1.0;
    let mut n = 9.0;
    while n > 0.0 {
        sum = 1.0 + sum * r / n;
        n -= 1.0;
    }
    // k is between -151 and 129: an ordinary exponent of f64.
    (sum * f64::from_bits(((1023 + k as i64) as u64) << 52)) as f32
}

#[cfg(test)]
mod tests {
    #[test]
    fn exp_is_the_exponential() {
        for i in -110_000..95_000 {
            let x = i as f32 * 1e-3;
            let (got, want) = (super::exp(x), (x as f64).exp() as f32);
            assert!(got == want || (got - want).abs() <= 1.2e-7 * want.abs() + 1e-45, "{x}: {got} {want}");
        }
        assert!(super::exp(f32::NAN).is_nan());
        assert_eq!(
            [super::exp(f32::NEG_INFINITY), super::exp(f32::INFINITY), super::exp(0.0)],
            [0.0, f32::INFINITY, 1.0]
        );
    }
}
