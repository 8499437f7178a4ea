//! 2-D transposed convolution: the gradient of a convolution to its input, as an operation. It has no kernels of its own.

use super::conv2d::{Conv2d, check_bias, d_input, d_weight, float_gradient, forward, no_bias};
use super::{channel_sum, map_shape};
use crate::cpu::add_bias::AddBiasDims;
use crate::cpu::conv2d::ConvDims;
use crate::plan::{Builder, Cost, Format, Grad, Io, Kernel, Op, Saved, Shape, TensorId, flat_groups, round4};
use crate::{Error, Result, kernel};

/// Adds a bias in place.
pub static ADD_BIAS: Kernel = kernel!(
    "add_bias",
    [super::INDEX],
    AddBiasDims,
    [read bias: f32, update y: f32],
    [],
    crate::cpu::add_bias::add_bias
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&ADD_BIAS];

/// y = bias + the map whose pixels x spreads over windows: size (H - 1) stride - 2 padding + dilation (kernel - 1) +
/// output_padding + 1.
///
/// Inputs: x, a map of C channels; weights ([`Format::Weight`], shape (KH, KW, O, C): those of the convolution from O to C
/// channels whose gradient this is); optionally the bias, a map of shape (1,1,1,O). One group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvTranspose2d {
    /// Strides.
    pub stride: [u32; 2],
    /// Padding that is taken away on both sides.
    pub padding: [u32; 2],
    /// Rows and columns that are added at the end; smaller than the stride.
    pub output_padding: [u32; 2],
    /// Dilations.
    pub dilation: [u32; 2],
}

impl ConvTranspose2d {
    /// Dims of the convolution from y's channels to x's.
    fn check(&self, b: &Builder, label: &str, x: TensorId, w: TensorId) -> Result<ConvDims> {
        let x = map_shape(b, label, "conv_transpose2d", x)?;
        let info = b.info(w);
        let k = info.shape;
        if info.format != Format::Weight || k.c != x.c || info.sliced {
            return Err(Error::shape(
                label,
                format!("conv_transpose2d: weights (KH, KW, O, {})", x.c),
                format!("{} {k} as {:?}", info.name, info.format),
            ));
        }
        let mut size = [0u32; 2];
        for (i, (extent, kernel)) in [(x.h, k.n), (x.w, k.h)].into_iter().enumerate() {
            let full = (extent as i64 - 1) * self.stride[i] as i64 - 2 * self.padding[i] as i64
                + self.dilation[i] as i64 * (kernel as i64 - 1)
                + self.output_padding[i] as i64
                + 1;
            if full < 1 || self.output_padding[i] >= self.stride[i].max(self.dilation[i]) {
                return Err(Error::shape(
                    label,
                    "conv_transpose2d: an output of at least one pixel, output_padding under the stride",
                    format!("{full} pixels, output_padding {:?}", self.output_padding),
                ));
            }
            size[i] = full as u32;
        }
        let conv = Conv2d {
            kernel: [k.n, k.h],
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: 1,
        };
        let dims = conv.dims(label, "conv_transpose2d", Shape::new(x.n, size[0], size[1], k.w), x.c)?;
        // With output padding, the convolution back may have one row more than x: the last windows are cut off.
        Ok(ConvDims { p: x.h, q: x.w, ..dims })
    }
}

impl Op for ConvTranspose2d {
    fn name(&self) -> &'static str {
        "conv_transpose2d"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let (x, w, bias) = match *inputs {
            [x, w] => (x, w, None),
            [x, w, bias] => (x, w, Some(bias)),
            _ => {
                return Err(Error::shape(
                    label,
                    "conv_transpose2d: x, weights and perhaps a bias",
                    inputs.len().to_string(),
                ));
            }
        };
        let dims = self.check(b, label, x, w)?;
        let shape = Shape::new(dims.n, dims.h, dims.w, dims.c);
        let y = b.map(&format!("{label}.y"), shape);
        d_input(b, label, &dims, x, w, Grad { tensor: y, accumulate: false })?;
        if let Some(bias) = bias {
            check_bias(b, label, "conv_transpose2d", bias, dims.c)?;
            for (s, _, n) in b.slices() {
                let vectors = round4(dims.c) / 4;
                let d = AddBiasDims { pixels: n * dims.h * dims.w, vectors };
                let views = [b.at(bias, 0), b.at(y, s)];
                let groups = flat_groups(d.pixels as u64 * vectors as u64, 64);
                b.dispatch(&ADD_BIAS, label, &d, &views, groups, Cost::default())?;
            }
        }
        Ok((vec![y], vec![x]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        let Some(d_y) = b.d_output(io, 0) else { return Ok(()) };
        let (x, w) = (saved[0], io.inputs[1]);
        let dims = self.check(b, &io.label, x, w)?;
        if let Some(d_w) = b.d_input(io, 1) {
            d_weight(b, &io.label, &dims, float_gradient(&dims), [d_y, x], d_w.tensor)?;
        }
        if io.inputs.len() == 3
            && let Some(d_bias) = b.d_input(io, 2)
        {
            channel_sum::channel_sum(b, &io.label, d_y, d_bias)?;
        }
        if let Some(d_x) = b.d_input(io, 0) {
            let zeros = no_bias(b, dims.o);
            forward(b, &io.label, &dims, [d_y, w, zeros], d_x.tensor, d_x.accumulate)?;
        }
        Ok(())
    }

    fn cost(&self, b: &Builder, io: &Io) -> Cost {
        match self.check(b, &io.label, io.inputs[0], io.inputs[1]) {
            Ok(d) => Cost { macs: d.macs(), ..Default::default() },
            Err(_) => Cost::default(),
        }
    }
}
