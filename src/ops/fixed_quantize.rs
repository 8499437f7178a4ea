//! A fixed-point map to signed bytes, perhaps averaged over windows of 2x2 first; for inference.

use super::check::expect_batch;
use super::elementwise::one_input;
use super::pool::PoolWindow;
use super::{FIXED_SCALE, INDEX, LANES};
use crate::cpu::fixed_quantize::{FixedQuantizeDims, fixed_quantize};
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Role, Saved, Shape, TensorId, flat_groups};
use crate::{Error, Result, kernel};

/// Forward kernel.
pub static FORWARD: Kernel = kernel!(
    "fixed_quantize",
    [FIXED_SCALE, INDEX, LANES],
    FixedQuantizeDims,
    [read x: i32, write y: u32],
    [],
    fixed_quantize
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD];

/// q = clamp(a mul / 2^shift + zero, -128, 127), the quotient rounded to the nearest integer, halves up
/// ([`crate::cpu::fixed::fixed_scale`], with its bounds). a is x or, with `pool`, its average over the pixels of each
/// window that lie inside, rounded down.
///
/// Input: x, [`Format::Fixed`] of the batch, |x| < 2^29. Output: [`Format::Bytes`], bytes past the last channel 0. No
/// backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedQuantize {
    /// Windows to average over: 2x2, stride 2, no padding, with or without `ceil_mode`; others are refused.
    pub pool: Option<PoolWindow>,
    /// Multiplier, |mul| < 2^15.
    pub mul: i32,
    /// Divisor, as a power of two: -14 to 46.
    pub shift: i32,
    /// What 0 becomes; |zero| < 2^20.
    pub zero: i32,
}

impl FixedQuantize {
    /// The output's shape.
    fn output(&self, label: &str, x: Shape) -> Result<Shape> {
        let refuse = |want: &str, got: String| Err(Error::shape(label, format!("fixed_quantize: {want}"), got));
        if self.mul.unsigned_abs() >= 1 << 15 {
            return refuse("a multiplier below 2^15", self.mul.to_string());
        }
        if !(-14..=46).contains(&self.shift) {
            return refuse("a shift from -14 to 46", self.shift.to_string());
        }
        if self.zero.unsigned_abs() >= 1 << 20 {
            return refuse("a zero below 2^20", self.zero.to_string());
        }
        let Some(window) = self.pool else { return Ok(x) };
        if (PoolWindow { ceil_mode: false, ..window }) != PoolWindow::square(2, 2, 0) {
            return refuse("windows of 2x2, stride 2, no padding", format!("{window:?}"));
        }
        Ok(window.plan_shape(label, "fixed_quantize", x)?.0)
    }
}

impl Op for FixedQuantize {
    fn name(&self) -> &'static str {
        "fixed_quantize"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let x = one_input(label, "fixed_quantize", inputs)?;
        let shape = expect_batch(b, label, "fixed_quantize: x", x, Format::Fixed)?;
        let out = self.output(label, shape)?;
        let y = b.tensor(&format!("{label}.y"), out, Format::Bytes, Role::Transient, true);
        for (s, _, images) in b.slices() {
            let dims = FixedQuantizeDims {
                images,
                h: shape.h,
                w: shape.w,
                out_h: out.h,
                out_w: out.w,
                c: shape.c,
                pool: self.pool.is_some() as u32,
                mul: self.mul,
                shift: self.shift,
                zero: self.zero,
            };
            let threads = Format::Bytes.elements(out.with_n(images));
            let views = [b.at(x, s), b.at(y, s)];
            b.dispatch(&FORWARD, label, &dims, &views, flat_groups(threads, 64), Cost::default())?;
        }
        Ok((vec![y], vec![]))
    }

    fn backward(&self, _b: &mut Builder, _io: &Io, _saved: &Saved) -> Result<()> {
        Ok(()) // Inference alone: nothing wants a gradient of integers.
    }
}
