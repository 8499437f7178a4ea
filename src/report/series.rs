//! Curves, and how numbers that are not finite go through JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A named sequence of points, in the order of x.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Curve {
    /// What it is: a loss term, a class.
    pub name: String,
    /// (x, y); a y that is not finite is a gap, `null` in JSON.
    #[serde(with = "points_or_null")]
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// A curve from its points.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Curve {
        Curve { name: name.into(), points }
    }
}

fn or_null(v: f64) -> Option<f64> {
    v.is_finite().then_some(v)
}

/// `f64` with NaN and infinities as `null`; `null` reads as NaN.
pub(super) mod number_or_null {
    use super::*;

    pub fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        or_null(*value).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
    }
}

/// The same for maps from names to numbers.
pub(super) mod numbers_or_null {
    use super::*;

    pub fn serialize<S: Serializer>(values: &BTreeMap<String, f64>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(values.iter().map(|(name, v)| (name, or_null(*v))))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, f64>, D::Error> {
        let read = BTreeMap::<String, Option<f64>>::deserialize(from)?;
        Ok(read.into_iter().map(|(name, v)| (name, v.unwrap_or(f64::NAN))).collect())
    }
}

/// The same for points.
pub(super) mod points_or_null {
    use super::*;

    pub fn serialize<S: Serializer>(points: &[(f64, f64)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(points.iter().map(|p| (or_null(p.0), or_null(p.1))))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(f64, f64)>, D::Error> {
        let read = Vec::<(Option<f64>, Option<f64>)>::deserialize(from)?;
        Ok(read.into_iter().map(|(x, y)| (x.unwrap_or(f64::NAN), y.unwrap_or(f64::NAN))).collect())
    }
}
