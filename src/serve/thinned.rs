//! A curve in bounded memory.

use std::collections::BTreeMap;

/// Buckets of a curve; each gives at most two points.
const BUCKETS: usize = 1000;

/// A curve over steps with at most 2000 points, however long a run gets: steps fall into buckets of equal width, and each
/// keeps its lowest and its highest value, so that no peak is lost. When there are too many buckets, two become one.
#[derive(Debug, Default)]
pub(super) struct Thinned {
    /// A bucket has 2^shift steps.
    shift: u32,
    buckets: BTreeMap<u64, Bucket>,
}

/// The lowest and the highest point; not finite only where the bucket has nothing that is.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    low: (u64, f64),
    high: (u64, f64),
}

impl Bucket {
    fn take(&mut self, point: (u64, f64)) {
        if !point.1.is_finite() {
            return;
        }
        if !self.low.1.is_finite() || point.1 < self.low.1 {
            self.low = point;
        }
        if !self.high.1.is_finite() || point.1 > self.high.1 {
            self.high = point;
        }
    }
}

impl Thinned {
    /// Adds a point; one that does not come after the last replaces what is there from its step on, as a resumed run does.
    pub fn add(&mut self, step: u64, value: f64) {
        if self.last().is_some_and(|last| last >= step) {
            self.cut(step.saturating_sub(1));
        }
        let point = (step, value);
        self.buckets.entry(step >> self.shift).or_insert(Bucket { low: point, high: point }).take(point);
        while self.buckets.len() > BUCKETS && self.shift < 63 {
            self.shift += 1;
            for (at, bucket) in std::mem::take(&mut self.buckets) {
                let into = self.buckets.entry(at >> 1).or_insert(bucket);
                into.take(bucket.low);
                into.take(bucket.high);
            }
        }
    }

    /// Forgets what comes after a step.
    pub fn cut(&mut self, step: u64) {
        let at = step >> self.shift;
        if let Some(next) = at.checked_add(1) {
            self.buckets.split_off(&next);
        }
        let Some(bucket) = self.buckets.get_mut(&at) else { return };
        match (bucket.low.0 <= step, bucket.high.0 <= step) {
            (true, true) => {}
            (true, false) => bucket.high = bucket.low,
            (false, true) => bucket.low = bucket.high,
            (false, false) => drop(self.buckets.remove(&at)),
        }
    }

    /// The last step, as far as it was kept.
    fn last(&self) -> Option<u64> {
        self.buckets.last_key_value().map(|(_, b)| b.low.0.max(b.high.0))
    }

    /// Its points in the order of their steps.
    pub fn points(&self) -> impl Iterator<Item = (u64, f64)> {
        self.buckets.values().flat_map(|b| {
            let (first, second) = if b.low.0 <= b.high.0 { (b.low, b.high) } else { (b.high, b.low) };
            [Some(first), (first.0 != second.0).then_some(second)].into_iter().flatten()
        })
    }

    /// Its highest point.
    pub fn best(&self) -> Option<(u64, f64)> {
        let finite = self.buckets.values().map(|b| b.high).filter(|p| p.1.is_finite());
        // Of equal ones the first.
        finite.reduce(|best, p| if p.1 > best.1 { p } else { best })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_curve_keeps_its_ends_and_its_peaks() {
        let mut curve = Thinned::default();
        for step in 1..=300_000 {
            let value = match step {
                77_777 => 50.0,
                200_001 => -50.0,
                250_000 => f64::NAN,
                _ => (step % 7) as f64,
            };
            curve.add(step, value);
        }
        let points: Vec<_> = curve.points().collect();
        assert!(points.len() <= 2 * BUCKETS && points.len() > BUCKETS / 2, "{}", points.len());
        assert!(points.is_sorted_by(|a, b| a.0 < b.0));
        assert!(points.contains(&(77_777, 50.0)) && points.contains(&(200_001, -50.0)));
        assert!(points.iter().all(|p| p.1.is_finite()));
        assert_eq!(curve.best(), Some((77_777, 50.0)));
        curve.cut(1000);
        assert!(curve.points().last().is_some_and(|p| p.0 <= 1000));
        curve.cut(0);
        assert_eq!(curve.points().count(), 0);
    }

    #[test]
    fn steps_that_are_done_again_replace_the_first_ones() {
        let mut curve = Thinned::default();
        [1, 2, 3, 4].iter().for_each(|s| curve.add(*s, 1.0));
        curve.add(3, 5.0);
        assert_eq!(curve.points().collect::<Vec<_>>(), [(1, 1.0), (2, 1.0), (3, 5.0)]);
        // A gap stays a gap; steps of any size are held.
        curve.add(9, f64::NAN);
        curve.add(u64::MAX, 2.0);
        assert_eq!(curve.points().count(), 5);
        assert!(curve.points().nth(3).is_some_and(|p| p.1.is_nan()));
        curve.cut(u64::MAX);
        assert_eq!(curve.points().count(), 5);
    }
}
