//! Ternary weights (TWN; spec: binarization, section 3).

use super::LANES;
use super::add::pass_gradient;
use super::check::expect_weights;
use super::elementwise::one_input;
use crate::cpu::twn_weight::*;
use crate::plan::{Builder, Cost, Format, Groups, Io, Kernel, Op, Saved, Shape, TensorId, round4};
use crate::{Error, Result, kernel};

/// The filters' sums of |w|.
pub static SUMS: Kernel =
    kernel!("twn_weight_sums", [], TwnWeightDims, [read w: f32, write sums: f32], [], twn_weight_sums);
/// Threshold, and what lies above it.
pub static ABOVE: Kernel = kernel!(
    "twn_weight_above",
    [LANES],
    TwnWeightDims,
    [read w: f32, read sums: f32, write above: f32],
    [],
    twn_weight_above
);
/// Ternary weights.
pub static FORWARD: Kernel =
    kernel!("twn_weight", [], TwnWeightDims, [read w: f32, read above: f32, write y: f32], [], twn_weight);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&SUMS, &ABOVE, &FORWARD];

/// What shares a threshold and a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// Each filter has its own.
    Filter,
    /// The layer has one.
    Layer,
}

/// y = alpha T(w): T is +1 where w > delta, -1 where w < -delta, else 0; delta = threshold * mean |w|; alpha = mean of the
/// |w| > delta, 0 where there is none. For the weights of a convolution or a linear layer.
///
/// One input, [`Format::Weight`]; one output of the same shape and format. Gradient: that of the output, unchanged (delta
/// and alpha count as constants, T as the identity). Nothing is kept for the backward pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwnWeight {
    /// The threshold as a multiple of mean |w|, at least 0.
    pub threshold: f32,
    /// What shares a threshold and a scale.
    pub granularity: Granularity,
}

impl Default for TwnWeight {
    /// 0.7, by layer.
    fn default() -> Self {
        TwnWeight { threshold: 0.7, granularity: Granularity::Layer }
    }
}

impl Op for TwnWeight {
    fn name(&self) -> &'static str {
        "twn_weight"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let w = one_input(label, "twn_weight", inputs)?;
        let shape = expect_weights(b, label, "twn_weight", w)?;
        if !self.threshold.is_finite() || self.threshold < 0.0 {
            let expected = "twn_weight: a threshold of at least 0";
            return Err(Error::shape(label, expected, self.threshold.to_string()));
        }
        let dims = TwnWeightDims {
            rows: shape.n * shape.h * round4(shape.w),
            o4: round4(shape.c) / 4,
            o: shape.c,
            filter_size: (shape.n * shape.h * shape.w) as f32,
            threshold: self.threshold,
            per_layer: (self.granularity == Granularity::Layer) as u32,
        };
        let sums = b.scratch(&format!("{label}.sums"), Shape::vector(shape.c), Format::Map);
        let above = b.scratch(&format!("{label}.above"), Shape::new(1, 1, 3, shape.c), Format::Map);
        let y = b.scratch(&format!("{label}.y"), shape, Format::Weight);
        let groups = Groups::Fixed([dims.o4, 1, 1]);
        let views = [b.at(w, 0), b.at(sums, 0)];
        b.dispatch(&SUMS, label, &dims, &views, groups, Cost::default())?;
        let views = [b.at(w, 0), b.at(sums, 0), b.at(above, 0)];
        b.dispatch(&ABOVE, label, &dims, &views, groups, Cost::default())?;
        let views = [b.at(w, 0), b.at(above, 0), b.at(y, 0)];
        b.dispatch(&FORWARD, label, &dims, &views, groups, Cost::default())?;
        Ok((vec![y], vec![]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, _saved: &Saved) -> Result<()> {
        match b.d_output(io, 0) {
            Some(d_y) => pass_gradient(b, io, 0, d_y),
            None => Ok(()),
        }
    }
}
