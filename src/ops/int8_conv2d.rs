//! 2-D convolution of signed bytes: exact integer sums, scaled to fixed point; for inference.

use super::check::{expect_batch, expect_tensor};
use super::conv2d::{Conv2d, wg_columns};
use super::{CONV_DIMS, CONV_PIXELS, FIXED_SCALE, LANES, QUICK_MACS};
use crate::cpu::conv2d::ConvDims;
use crate::cpu::int8_conv2d::int8_conv2d;
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Role, Saved, Shape, TensorId, round4};
use crate::{Error, Result, kernel};

/// Forward kernel.
pub static FORWARD: Kernel = kernel!(
    "int8_conv2d",
    [CONV_DIMS, CONV_PIXELS, FIXED_SCALE, LANES],
    ConvDims,
    [read x: u32, read w: u32, read affine: i32, write y: i32],
    ["WG", "WG_COLS", "WORDS4"],
    int8_conv2d
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD];

/// Products that an output may sum: each is at most 2^14, so the sum stays below 2^30.
const MOST_PRODUCTS: u64 = 1 << 16;

/// `acc = start[o] + sum over kh, kw, c of x[n, p s - pad + kh d, q s - pad + kw d, c] * w[kh,kw,c,o]` in 32-bit integers,
/// then `y = acc * mul[o] / 2^shift[o] + add[o]`, the quotient rounded to the nearest integer, halves up
/// ([`crate::cpu::fixed::fixed_scale`], with its bounds), and with `relu` max(y, 0).
///
/// One group. Inputs: x, [`Format::Bytes`] of the batch (N, H, W, C); w, [`Format::FlatU32`] of shape (KH, KW, ceil(C/4),
/// round4(O)), each word the signed weights of four successive channels for one output, bytes past C 0; affine,
/// [`Format::FlatI32`] of shape (1, 1, 4, round4(O)): planes mul, shift, start, add. Output: y, [`Format::Fixed`] (N, P,
/// Q, O). |mul| < 2^15, and |start| < 2^30, so that acc fits. No backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Int8Conv2d {
    /// Kernel rows and columns.
    pub kernel: [u32; 2],
    /// Strides.
    pub stride: [u32; 2],
    /// Padding on both sides.
    pub padding: [u32; 2],
    /// Dilations.
    pub dilation: [u32; 2],
    /// Output channels.
    pub outputs: u32,
    /// Whether negative results become 0.
    pub relu: bool,
    /// What taps outside the map read: four signed bytes, for every word of the pixel.
    pub pad: u32,
}

impl Int8Conv2d {
    fn check(&self, b: &Builder, label: &str, inputs: &[TensorId]) -> Result<ConvDims> {
        let &[x, w, affine] = inputs else {
            return Err(Error::shape(label, "int8_conv2d: x, weights and affine", format!("{} inputs", inputs.len())));
        };
        let shape = expect_batch(b, label, "int8_conv2d: x", x, Format::Bytes)?;
        if self.outputs == 0 {
            return Err(Error::shape(label, "int8_conv2d: at least one output", "0"));
        }
        let conv = Conv2d {
            kernel: self.kernel,
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: 1,
        };
        let dims = conv.dims(label, "int8_conv2d", shape, self.outputs)?;
        let products = dims.kh as u64 * dims.kw as u64 * dims.c as u64;
        if products > MOST_PRODUCTS {
            let want = format!("int8_conv2d: at most {MOST_PRODUCTS} products an output (kernel area times channels)");
            return Err(Error::shape(label, want, products.to_string()));
        }
        let columns = round4(self.outputs);
        let weights = Shape::new(dims.kh, dims.kw, dims.c.div_ceil(4), columns);
        expect_tensor(b, label, "int8_conv2d: weights", w, weights, Format::FlatU32, false)?;
        let planes = Shape::new(1, 1, 4, columns);
        expect_tensor(b, label, "int8_conv2d: affine", affine, planes, Format::FlatI32, false)?;
        Ok(dims)
    }
}

impl Op for Int8Conv2d {
    fn name(&self) -> &'static str {
        "int8_conv2d"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let dims = self.check(b, label, inputs)?;
        let y = b.tensor(&format!("{label}.y"), dims.output(), Format::Fixed, Role::Transient, true);
        let quick = b.quick_to_compile() && dims.macs() < QUICK_MACS;
        let cols = if quick { 4 } else { wg_columns(round4(dims.o).div_ceil(8)) };
        let words4 = !quick && dims.c.div_ceil(4).is_multiple_of(4);
        let constants = [("WG_COLS", cols as f64), ("WORDS4", words4 as u32 as f64)];
        for (s, _, n) in b.slices() {
            let dims = dims.with_n(n);
            let groups = ConvDims::blocks(dims.output().pixels(), 8, round4(dims.o), 8, cols, 1);
            let views = [b.at(inputs[0], s), b.at(inputs[1], 0), b.at(inputs[2], 0), b.at(y, s)];
            let cost = Cost { macs: dims.macs(), ..Default::default() };
            let dims = ConvDims { relu: self.relu as u32, pad: self.pad, ..dims };
            b.dispatch_with(&FORWARD, &constants, label, &dims, &views, groups, cost)?;
        }
        Ok((vec![y], vec![]))
    }

    fn backward(&self, _b: &mut Builder, _io: &Io, _saved: &Saved) -> Result<()> {
        Ok(()) // Inference alone: nothing wants a gradient of integers.
    }

    fn cost(&self, b: &Builder, io: &Io) -> Cost {
        match self.check(b, &io.label, &io.inputs) {
            Ok(d) => Cost { macs: d.macs(), ..Default::default() },
            Err(_) => Cost::default(),
        }
    }
}

/// The sets of constants that the product uses.
pub fn variants() -> Vec<super::Variants> {
    let sets = [1.0, 2.0, 4.0].into_iter().flat_map(|c| [0.0, 1.0].map(|w| vec![("WG_COLS", c), ("WORDS4", w)]));
    vec![(&FORWARD, sets.collect())]
}
