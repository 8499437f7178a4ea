//! Packed bits of a map, float or fixed-point, with a threshold a channel; for inference.

use super::INDEX;
use super::binary_conv2d::InputDomain;
use super::check::{expect_batch, expect_tensor};
use crate::cpu::threshold_pack::{ThresholdPackDims, threshold_pack};
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Saved, Shape, TensorId, flat_groups, round4};
use crate::{Error, Result, kernel};

/// Forward kernel.
pub static FORWARD: Kernel = kernel!(
    "threshold_pack",
    [INDEX],
    ThresholdPackDims,
    [read x: u32, read threshold: u32, write y: u32],
    ["FIXED"],
    threshold_pack
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD];

/// bit = 1 where x + t < 0 ([`InputDomain::Sign`]) or x + t > 0 ([`InputDomain::ZeroOne`]), decided without rounding.
///
/// Inputs: x, a map of the batch, [`Format::Map`] or with `fixed` [`Format::Fixed`]; t of shape (1, 1, 1, round4(C)),
/// [`Format::Flat`] or with `fixed` [`Format::FlatI32`]. Output: [`Format::Words`]. No backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThresholdPack {
    /// Whether numbers are fixed-point.
    pub fixed: bool,
    /// What the bits mean.
    pub domain: InputDomain,
}

impl Op for ThresholdPack {
    fn name(&self) -> &'static str {
        "threshold_pack"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let &[x, threshold] = inputs else {
            return Err(Error::shape(label, "threshold_pack: x and threshold", format!("{} inputs", inputs.len())));
        };
        let (map, flat) = if self.fixed { (Format::Fixed, Format::FlatI32) } else { (Format::Map, Format::Flat) };
        let shape = expect_batch(b, label, "threshold_pack: x", x, map)?;
        let row = Shape::vector(round4(shape.c));
        expect_tensor(b, label, "threshold_pack: threshold", threshold, row, flat, false)?;
        let y = b.words(&format!("{label}.y"), shape);
        let (mode, fixed) = ((self.domain == InputDomain::ZeroOne) as u32, self.fixed as u32);
        for (s, _, n) in b.slices() {
            let dims = ThresholdPackDims { pixels: n * shape.h * shape.w, c: shape.c, mode, fixed };
            let groups = flat_groups(Format::Words.elements(shape.with_n(n)), 64);
            let views = [b.at(x, s), b.at(threshold, 0), b.at(y, s)];
            b.dispatch_with(&FORWARD, &[("FIXED", fixed as f64)], label, &dims, &views, groups, Cost::default())?;
        }
        Ok((vec![y], vec![]))
    }

    fn backward(&self, _b: &mut Builder, _io: &Io, _saved: &Saved) -> Result<()> {
        Ok(()) // Inference alone: bits have no gradient.
    }
}

/// The sets of constants that the product uses.
pub fn variants() -> Vec<super::Variants> {
    vec![(&FORWARD, [0.0, 1.0].into_iter().map(|f| vec![("FIXED", f)]).collect())]
}
