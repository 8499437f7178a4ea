//! Packed binary convolution for inference, with the batch norm, the shortcut, the ReLU and the next layer's signs in one
//! dispatch.

use super::binary_conv2d::{BinaryConv2d, InputDomain};
use super::{BINARY_COUNTS, CONV_DIMS, CONV_PIXELS, FIXED_SCALE, QUICK_MACS};
use crate::cpu::binary_conv2d_fused::binary_conv2d_fused;
use crate::cpu::conv2d::ConvDims;
use crate::plan::{Builder, Cost, Format, Groups, Io, Kernel, Op, Role, Saved, Shape, TensorId, round4};
use crate::{Error, Result, kernel};

/// Forward.
pub static FORWARD: Kernel = kernel!(
    "binary_conv2d_fused",
    [CONV_DIMS, CONV_PIXELS, BINARY_COUNTS, FIXED_SCALE],
    ConvDims,
    [read x: u32, read w: u32, read affine: u32, read residual: u32, write y: u32, write y_words: u32],
    ["WG", "MODE", "WORDS4", "FIXED"],
    binary_conv2d_fused
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD];

/// Products of a sum in fixed point: the shader scales sums of so many bits in one multiplication.
const MOST_PRODUCTS: u64 = 1 << 16;

/// v = scale sum + shift (+ residual), sum the integers of a binary convolution; y = max(v, 0) with `relu`, else v; words =
/// signs of y + t.
///
/// Inputs: x ([`Format::Words`]); weight words ([`Format::FlatU32`], (KH, KW, ceil(C / 32), O padded to 4)); affine (the same
/// format, (1, 1, 4, O padded)): the planes scale, nothing, shift and t as bits of f32, or with `fixed` mul, s, add and t
/// as i32, where scale sum + shift is [`fixed_scale`](crate::cpu::fixed::fixed_scale)`(sum, mul, s) + add`; where there is one, the
/// residual, a map of the output's shape. Outputs: the map ([`Format::Map`] or [`Format::Fixed`]) where `map`, then the words
/// where `pack`. No backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BinaryConv2dFused {
    /// Geometry, padding and domain; its gradient and its scale rule mean nothing here.
    pub conv: BinaryConv2d,
    /// Output channels.
    pub outputs: u32,
    /// Whether maps are i32 fixed point, with arithmetic that is exact on every device.
    pub fixed: bool,
    /// Whether what is negative becomes 0.
    pub relu: bool,
    /// Whether the map is written.
    pub map: bool,
    /// Whether sign words are written, and for which inputs of the next layer.
    pub pack: Option<InputDomain>,
}

impl Op for BinaryConv2dFused {
    fn name(&self) -> &'static str {
        "binary_conv2d_fused"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let (&[x, w, affine], residual) = (
            inputs.first_chunk().ok_or_else(|| {
                Error::shape(label, "binary_conv2d_fused: x, weight words, affine", inputs.len().to_string())
            })?,
            inputs.get(3).copied(),
        );
        let input = b.shape(x);
        let conv = self.conv.dims(label, input, self.outputs)?;
        let output = conv.output();
        let o = round4(self.outputs);
        let format = if self.fixed { Format::Fixed } else { Format::Map };
        let wanted = [
            (x, input, Format::Words),
            (w, Shape::new(conv.kh, conv.kw, input.c.div_ceil(32), o), Format::FlatU32),
            (affine, Shape::new(1, 1, 4, o), Format::FlatU32),
        ];
        for (t, shape, format) in wanted.into_iter().chain(residual.map(|r| (r, output, format))) {
            if b.shape(t) != shape || b.info(t).format != format {
                let found = format!("{} {:?} ({})", b.shape(t), b.info(t).format, b.info(t).name);
                return Err(Error::shape(label, format!("binary_conv2d_fused: {shape} {format:?}"), found));
            }
        }
        let products = conv.c as u64 * conv.kh as u64 * conv.kw as u64;
        if self.fixed && products > MOST_PRODUCTS {
            let want = format!("binary_conv2d_fused: at most {MOST_PRODUCTS} products an output in fixed point");
            return Err(Error::shape(label, want, products.to_string()));
        }
        if !self.map && self.pack.is_none() {
            return Err(Error::shape(label, "binary_conv2d_fused: a map, sign words or both", "neither"));
        }
        let y =
            if self.map { Some(b.tensor(&format!("{label}.y"), output, format, Role::Transient, true)) } else { None };
        let words = if self.pack.is_some() { Some(b.words(&format!("{label}.y_words"), output)) } else { None };
        // What a kernel binds and does not use: a vector of its own, for nothing is bound twice to one dispatch.
        let spare =
            |b: &mut Builder, name: &str| b.scratch(&format!("{label}.{name}"), Shape::vector(4), Format::FlatU32);
        let residual_or = residual.unwrap_or_else(|| {
            b.constant(&format!("{label}.no_residual"), Shape::vector(4), Format::FlatU32, vec![0; 4])
        });
        let y_or = y.unwrap_or_else(|| spare(b, "no_map"));
        let words_or = words.unwrap_or_else(|| spare(b, "no_words"));
        let dims = ConvDims {
            fixed: self.fixed as u32,
            residual: residual.is_some() as u32,
            relu: self.relu as u32,
            map: self.map as u32,
            pack: match self.pack {
                None => 0,
                Some(InputDomain::Sign) => 1,
                Some(InputDomain::ZeroOne) => 2,
            },
            ..conv
        };
        let quick = b.quick_to_compile() && dims.macs() < QUICK_MACS;
        let words4 = !quick && input.c.div_ceil(32).is_multiple_of(4);
        let constants = [("MODE", dims.mode as f64), ("WORDS4", words4 as u32 as f64), ("FIXED", dims.fixed as f64)];
        for (s, _, n) in b.slices() {
            let at = |b: &Builder, t: TensorId| b.at(t, if b.info(t).sliced { s } else { 0 });
            let views = [x, w, affine, residual_or, y_or, words_or].map(|t| at(b, t));
            let pixels = output.with_n(n).pixels();
            let groups = Groups::Fixed([pixels.div_ceil(8 * 16) as u32, self.outputs.div_ceil(32), 1]);
            let cost = Cost { binary_macs: conv.with_n(n).macs(), ..Default::default() };
            b.dispatch_with(&FORWARD, &constants, label, &dims.with_n(n), &views, groups, cost)?;
        }
        Ok((y.into_iter().chain(words).collect(), Vec::new()))
    }

    /// Nothing to do: gradients need the map in front of the batch norm, which is never made here.
    fn backward(&self, _: &mut Builder, _: &Io, _: &Saved) -> Result<()> {
        Ok(())
    }

    fn cost(&self, b: &Builder, io: &Io) -> Cost {
        match self.conv.dims(&io.label, b.shape(io.inputs[0]), self.outputs) {
            Ok(d) => Cost { binary_macs: d.macs(), ..Default::default() },
            Err(_) => Cost::default(),
        }
    }
}

/// The sets of constants that the product uses.
pub fn variants() -> Vec<super::Variants> {
    let mut list = Vec::new();
    for mode in [0.0, 1.0, 2.0, 3.0] {
        for words4 in [0.0, 1.0] {
            list.extend([0.0, 1.0].map(|fixed| vec![("MODE", mode), ("WORDS4", words4), ("FIXED", fixed)]));
        }
    }
    vec![(&FORWARD, list)]
}
