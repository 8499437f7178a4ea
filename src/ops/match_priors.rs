//! Objects to targets of priors, and locations back to boxes.

use super::check::{expect_rows, expect_tensor};
use super::{BOXES, INDEX};
use crate::cpu::match_priors::{DecodeDims, MatchDims, decode_boxes, match_best_prior, match_priors};
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Role, Saved, Shape, TensorId, flat_groups};
use crate::{Error, Result, kernel};

/// The best prior of every object.
pub static BEST: Kernel = kernel!(
    "match_best_prior",
    [INDEX, BOXES],
    MatchDims,
    [read boxes: f32, read counts: u32, read priors: f32, write best: u32],
    [],
    match_best_prior
);
/// The target of every prior.
pub static MATCH: Kernel = kernel!(
    "match_priors",
    [INDEX, BOXES],
    MatchDims,
    [
        read boxes: f32, read labels: i32, read counts: u32, read priors: f32, read best: u32,
        write loc_targets: f32, write targets: i32
    ],
    [],
    match_priors
);
/// Locations to corners.
pub static DECODE: Kernel = kernel!(
    "decode_boxes",
    [INDEX, BOXES],
    DecodeDims,
    [read loc: f32, read priors: f32, write boxes: f32],
    [],
    decode_boxes
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&BEST, &MATCH, &DECODE];

/// The priors of a [`Format::Flat`] (1, 1, P, 4) tensor.
pub(crate) fn expect_priors(b: &Builder, label: &str, t: TensorId) -> Result<u32> {
    let priors = b.shape(t).w;
    expect_tensor(b, label, "priors", t, Shape::new(1, 1, priors.max(1), 4), Format::Flat, false)?;
    Ok(priors)
}

/// SSD's matching. Inputs: boxes [`Format::Flat`] (N, 1, M, 4), corners as fractions of the image; labels
/// [`Format::FlatI32`] (N, 1, M, 1), 0-based; counts [`Format::FlatU32`] (N, 1, 1, 1), the objects of each image, at
/// most M; priors [`Format::Flat`] (1, 1, P, 4), centre and size.
///
/// Outputs, without gradients: location targets [`Format::Flat`] (N, 1, P, 4) and class targets [`Format::FlatI32`]
/// (N, 1, P, 1), label + 1 or 0 for background. Each object takes its best prior (ties to the lower index; of several
/// objects with the same best prior the last), then any prior takes the object of largest IoU if it is at least
/// `threshold`. Objects without area match nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MatchPriors {
    /// Smallest IoU of a positive; 0.5 in SSD.
    pub threshold: f32,
    /// Variances of centre and size; 0.1 and 0.2 in SSD.
    pub variances: [f32; 2],
}

impl Default for MatchPriors {
    fn default() -> Self {
        MatchPriors { threshold: 0.5, variances: [0.1, 0.2] }
    }
}

impl Op for MatchPriors {
    fn name(&self) -> &'static str {
        "match_priors"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let &[boxes, labels, counts, priors] = inputs else {
            return Err(Error::shape(
                label,
                "match_priors: boxes, labels, counts, priors",
                format!("{} inputs", inputs.len()),
            ));
        };
        let p = expect_priors(b, label, priors)?;
        let m = b.shape(boxes).w.max(1);
        let batch = b.batch();
        expect_tensor(b, label, "boxes", boxes, Shape::new(batch, 1, m, 4), Format::Flat, true)?;
        expect_tensor(b, label, "labels", labels, Shape::new(batch, 1, m, 1), Format::FlatI32, true)?;
        expect_tensor(b, label, "counts", counts, Shape::new(batch, 1, 1, 1), Format::FlatU32, true)?;
        let mut make =
            |what: &str, shape, format| b.tensor(&format!("{label}.{what}"), shape, format, Role::Transient, true);
        let best = make("best", Shape::new(batch, 1, m, 1), Format::FlatU32);
        let loc = make("loc", Shape::new(batch, 1, p, 4), Format::Flat);
        let conf = make("conf", Shape::new(batch, 1, p, 1), Format::FlatI32);
        for (s, _, n) in b.slices() {
            let [v0, v1] = self.variances;
            let d = MatchDims { images: n, capacity: m, priors: p, threshold: self.threshold, v0, v1 };
            let views = [b.at(boxes, s), b.at(counts, s), b.at(priors, s), b.at(best, s)];
            b.dispatch(&BEST, label, &d, &views, flat_groups(n as u64 * m as u64, 1), Cost::default())?;
            let views = [
                b.at(boxes, s),
                b.at(labels, s),
                b.at(counts, s),
                b.at(priors, s),
                b.at(best, s),
                b.at(loc, s),
                b.at(conf, s),
            ];
            b.dispatch(&MATCH, label, &d, &views, flat_groups(n as u64 * p as u64, 64), Cost::default())?;
        }
        Ok((vec![loc, conf], Vec::new()))
    }

    fn backward(&self, _b: &mut Builder, _io: &Io, _saved: &Saved) -> Result<()> {
        Ok(())
    }
}

/// Locations to boxes. Inputs: locations [`Format::Flat`] (N, 1, P, 4), priors [`Format::Flat`] (1, 1, P, 4). Output:
/// corners [`Format::Flat`] (N, 1, P, 4) as fractions of the image, not clipped, without a gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecodeBoxes {
    /// Variances of centre and size; 0.1 and 0.2 in SSD.
    pub variances: [f32; 2],
}

impl Default for DecodeBoxes {
    fn default() -> Self {
        DecodeBoxes { variances: [0.1, 0.2] }
    }
}

impl Op for DecodeBoxes {
    fn name(&self) -> &'static str {
        "decode_boxes"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let &[loc, priors] = inputs else {
            return Err(Error::shape(label, "decode_boxes: locations, priors", format!("{} inputs", inputs.len())));
        };
        let p = expect_priors(b, label, priors)?;
        expect_rows(b, label, "locations", loc)?;
        let shape = Shape::new(b.batch(), 1, p, 4);
        expect_tensor(b, label, "locations", loc, shape, Format::Flat, true)?;
        let boxes = b.tensor(&format!("{label}.boxes"), shape, Format::Flat, Role::Transient, true);
        for (s, _, n) in b.slices() {
            let [v0, v1] = self.variances;
            let d = DecodeDims { rows: n * p, priors: p, v0, v1 };
            let views = [b.at(loc, s), b.at(priors, s), b.at(boxes, s)];
            b.dispatch(&DECODE, label, &d, &views, flat_groups(d.rows as u64, 64), Cost::default())?;
        }
        Ok((vec![boxes], Vec::new()))
    }

    fn backward(&self, _b: &mut Builder, _io: &Io, _saved: &Saved) -> Result<()> {
        Ok(())
    }
}
