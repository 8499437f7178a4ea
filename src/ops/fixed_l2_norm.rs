//! Normalisation of each pixel's channels to a length a channel, in integers, to signed bytes; for inference.

use super::INDEX;
use super::check::{expect_batch, expect_tensor};
use crate::cpu::fixed_l2_norm::{FixedL2NormDims, fixed_l2_norm};
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Role, Saved, Shape, TensorId, flat_groups, round4};
use crate::{Error, Result, kernel};

/// Forward kernel.
pub static FORWARD: Kernel = kernel!(
    "fixed_l2_norm",
    [INDEX],
    FixedL2NormDims,
    [read x: i32, read weight: i32, write y: u32],
    [],
    fixed_l2_norm
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD];

/// `q_c = round(factor_c x_c / |x|)` at each pixel, halves away from 0, clamped to -128 .. 127; a pixel of zeros gives
/// zeros. Of x the lowest `shift` bits are dropped and what is left is clamped to -2047 .. 2047 (11 bits): choose `shift` so
/// that the largest x still fits. The result is within 2^-12 of its size, and the rounding's 1/2, of what exact arithmetic
/// gives for these 11 bits.
///
/// Inputs: x, [`Format::Fixed`] of the batch, at most 1024 channels; weight, [`Format::FlatI32`] of shape (1, 1, 1,
/// round4(C)), [`fixed_l2_weight`] of each channel's factor, 0 past C. Output: [`Format::Bytes`]. No backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedL2Norm {
    /// How many bits of x are dropped: 0 to 31.
    pub shift: u32,
}

/// Channels whose squares of 11 bits add up in 32 bits.
const MOST_CHANNELS: u32 = 1024;

/// A factor as [`FixedL2Norm`] takes it: `16 m + e` stands for m / 2^e, with 2^13 <= |m| < 2^14 and 0 <= e <= 14 (m is
/// smaller for factors below 1/2, with which every result rounds to 0). For a learned length of 20 and bytes of step 0.2
/// the factor is 20 / 0.2 = 100.
///
/// Factors of 2^14 and more count as the largest there is, NaN as 0.
pub fn fixed_l2_weight(factor: f64) -> i32 {
    if factor.is_nan() {
        return 0;
    }
    let most = f64::from((1 << 14) - 1);
    let size = factor.abs().min(most);
    // The largest exponent with which m stays below 2^14 after rounding.
    let e = (0..=14).rev().find(|e| (size * f64::from(1 << e)).round() <= most).unwrap_or(0);
    let m = (size * f64::from(1 << e)).round() as i32;
    let m = if factor < 0.0 { -m } else { m };
    16 * m + e
}

impl Op for FixedL2Norm {
    fn name(&self) -> &'static str {
        "fixed_l2_norm"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let &[x, weight] = inputs else {
            return Err(Error::shape(label, "fixed_l2_norm: x and weight", format!("{} inputs", inputs.len())));
        };
        let shape = expect_batch(b, label, "fixed_l2_norm: x", x, Format::Fixed)?;
        if shape.c > MOST_CHANNELS {
            let want = format!("fixed_l2_norm: at most {MOST_CHANNELS} channels");
            return Err(Error::shape(label, want, shape.c.to_string()));
        }
        if self.shift > 31 {
            return Err(Error::shape(label, "fixed_l2_norm: a shift from 0 to 31", self.shift.to_string()));
        }
        let row = Shape::vector(round4(shape.c));
        expect_tensor(b, label, "fixed_l2_norm: weight", weight, row, Format::FlatI32, false)?;
        let y = b.tensor(&format!("{label}.y"), shape, Format::Bytes, Role::Transient, true);
        for (s, _, n) in b.slices() {
            let dims =
                FixedL2NormDims { pixels: n * shape.h * shape.w, vectors: round4(shape.c) / 4, shift: self.shift };
            let views = [b.at(x, s), b.at(weight, 0), b.at(y, s)];
            // Eight lanes a pixel.
            let groups = flat_groups(8 * dims.pixels as u64, 64);
            b.dispatch(&FORWARD, label, &dims, &views, groups, Cost::default())?;
        }
        Ok((vec![y], vec![]))
    }

    fn backward(&self, _b: &mut Builder, _io: &Io, _saved: &Saved) -> Result<()> {
        Ok(()) // Inference alone: nothing wants a gradient of integers.
    }
}
