//! Ranges, ticks and numbers as people write them.

use super::usable;

/// How values are spread along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    /// Evenly.
    #[default]
    Linear,
    /// By their logarithm; values at or below 0 are gaps.
    Log,
}

/// A range of values and where they lie in the picture.
pub(super) struct Axis {
    scale: Scale,
    /// In values for a linear axis, in powers of ten for a logarithmic one.
    low: f64,
    high: f64,
    /// Pixel positions of `low` and `high`.
    pub from: f64,
    pub to: f64,
}

impl Axis {
    /// An axis for `values`, or for `fixed` where that is given and is a proper range.
    pub fn new(scale: Scale, values: impl Iterator<Item = f64>, fixed: Option<(f64, f64)>) -> Axis {
        let map = |v: f64| if scale == Scale::Log { v.log10() } else { v };
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for v in values.filter(|&v| usable(v)).map(map).filter(|&v| usable(v)) {
            low = low.min(v);
            high = high.max(v);
        }
        if let Some((a, b)) = fixed.map(|(a, b)| (map(a), map(b)))
            && usable(a)
            && usable(b)
            && a < b
        {
            (low, high) = (a, b);
        } else if low > high {
            (low, high) = (0.0, 1.0);
        } else if high - low <= 1e-9 * high.abs().max(low.abs()) {
            let room = if scale == Scale::Log { 0.5 } else { (0.1 * high.abs()).max(1e-6) };
            (low, high) = (low - room, high + room);
        } else if scale == Scale::Linear {
            // A little air, and the zero line where it is near.
            let span = high - low;
            low = if low >= 0.0 && low < 0.6 * span { 0.0 } else { low - 0.04 * span };
            high += 0.04 * span;
        } else {
            let span = high - low;
            (low, high) = (low - 0.04 * span, high + 0.04 * span);
        }
        Axis { scale, low, high, from: 0.0, to: 1.0 }
    }

    /// Makes the ends exactly the data's, as one wants of steps and epochs.
    pub fn tight(mut self, values: impl Iterator<Item = f64>) -> Axis {
        let (low, high) =
            values.filter(|&v| usable(v)).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        if self.scale == Scale::Linear && low < high {
            let zero = low > 0.0 && low < 0.2 * (high - low);
            (self.low, self.high) = (if zero { 0.0 } else { low }, high);
        }
        self
    }

    /// Pixel position of a value; none where it has no place.
    pub fn at(&self, value: f64) -> Option<f64> {
        let v = if self.scale == Scale::Log { value.log10() } else { value };
        usable(v).then(|| self.from + (v - self.low) / (self.high - self.low) * (self.to - self.from))
    }

    /// Round values inside the range with their labels, about `wanted` of them.
    pub fn ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear => {
                let step = nice_step((self.high - self.low) / wanted.max(1) as f64);
                let first = (self.low / step - 1e-6).ceil();
                (0..=2 * wanted + 2)
                    .map(|i| (first + i as f64) * step)
                    .take_while(|&v| v <= self.high + 1e-6 * step)
                    .map(|v| (v, tick_label(v, step)))
                    .collect()
            }
            Scale::Log => {
                let decades = self.high - self.low;
                // Powers of ten may stand closer than even steps: there are few of them.
                let every = (decades / (2.0 * wanted.max(1) as f64)).ceil().max(1.0) as i64;
                let parts: &[f64] = if decades < 2.2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
                let first = self.low.floor() as i64;
                let mut ticks = Vec::new();
                for k in first..=self.high.ceil() as i64 {
                    if k.rem_euclid(every) != 0 {
                        continue;
                    }
                    for part in parts {
                        let at = k as f64 + part.log10();
                        if at >= self.low - 1e-9 && at <= self.high + 1e-9 {
                            ticks.push((10f64.powi(k as i32) * part, power_label(*part, k)));
                        }
                    }
                }
                ticks
            }
        }
    }
}

/// The step of 1, 2 or 5 times a power of ten that is about `rough`.
fn nice_step(rough: f64) -> f64 {
    let base = 10f64.powf(rough.max(1e-290).log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|m| m * base).find(|&s| s >= rough * 0.7).unwrap_or(10.0 * base)
}

fn power_label(part: f64, k: i64) -> String {
    match k {
        -3..=3 => number(part * 10f64.powi(k as i32)),
        _ => format!("{part}e{k}"),
    }
}

/// A tick's label with as many decimals as its step needs.
fn tick_label(value: f64, step: f64) -> String {
    let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
    let size = value.abs().max(step);
    if value == 0.0 {
        return "0".into();
    }
    for (unit, suffix) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if size >= unit * if unit == 1e3 { 10.0 } else { 1.0 } && size < 1e13 {
            return trimmed(value / unit, decimals(step / unit)) + suffix;
        }
    }
    if size >= 1e13 || step < 1e-5 { format!("{value:.1e}") } else { trimmed(value, decimals(step)) }
}

fn decimals(step: f64) -> usize {
    (-(step * 1.000_001).log10().floor()).clamp(0.0, 8.0) as usize
}

fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    text.to_string()
}

/// A number in three or four significant digits, for legends, tables and headlines: `0.0123`, `1.5`, `12.3k`,
/// `4.2e-7`; `–` where it is not finite.
pub fn number(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if !value.is_finite() => "–".into(),
        0.0 => "0".into(),
        s if !(1e-4..1e13).contains(&s) => format!("{value:.1e}"),
        s if s >= 1e9 => trimmed(value / 1e9, 2) + "G",
        s if s >= 1e6 => trimmed(value / 1e6, 2) + "M",
        s if s >= 1e4 => trimmed(value / 1e3, 1) + "k",
        s => trimmed(value, (2.0 - s.log10().floor()).clamp(0.0, 6.0) as usize),
    }
}
/// A length of time in its two largest units: `4 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "–".into();
    }
    let two = |a: u64, unit: &str, b: u64, small: &str| match b {
        0 => format!("{a} {unit}"),
        _ => format!("{a} {unit} {b} {small}"),
    };
    match seconds.round() as u64 {
        _ if seconds < 9.95 => format!("{} s", number((seconds * 10.0).round() / 10.0)),
        s if s < 60 => format!("{s} s"),
        s if s < 3600 => two(s / 60, "min", s % 60, "s"),
        s if s < 86400 => two(s / 3600, "h", s % 3600 / 60, "min"),
        s => two(s / 86400, "d", s % 86400 / 3600, "h"),
    }
}
