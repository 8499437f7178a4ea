//! 2-D convolution of float maps.

use super::{CONV_DIMS, CONV_PIXELS, INDEX, map_shape};
use crate::cpu::conv2d as twin;
use crate::cpu::conv2d::{Conv2dDWeightSumDims, ConvDims};
use crate::cpu::conv2d_grouped as grouped;
use crate::plan::{Builder, Cost, Format, Grad, Groups, Io, Kernel, Op, Saved, Shape, TensorId, flat_groups, round4};
use crate::{Error, Result, kernel};

/// Forward, groups = 1.
pub static FORWARD: Kernel = kernel!(
    "conv2d",
    [CONV_DIMS, CONV_PIXELS],
    ConvDims,
    [read x: f32, read w: f32, read bias: f32, update y: f32],
    ["WG", "WG_COLS"],
    twin::conv2d
);
/// Gradient to the input, groups = 1.
pub static D_INPUT: Kernel = kernel!(
    "conv2d_d_input",
    [CONV_DIMS, CONV_PIXELS],
    ConvDims,
    [read d_y: f32, read w: f32, update d_x: f32],
    ["WG", "WG_COLS"],
    twin::conv2d_d_input
);
/// Gradient to the weights, groups = 1.
pub static D_WEIGHT: Kernel = kernel!(
    "conv2d_d_weight",
    [CONV_DIMS],
    ConvDims,
    [read x: f32, read d_y: f32, update d_w: f32],
    ["WG"],
    twin::conv2d_d_weight
);
/// Sum of the partial sums of a weight gradient.
pub static D_WEIGHT_SUM: Kernel = kernel!(
    "conv2d_d_weight_sum",
    [],
    Conv2dDWeightSumDims,
    [read part: f32, update d_w: f32],
    ["WG"],
    twin::conv2d_d_weight_sum
);
/// Forward with groups.
pub static GROUPED: Kernel = kernel!(
    "conv2d_grouped",
    [CONV_DIMS, INDEX],
    ConvDims,
    [read x: f32, read w: f32, read bias: f32, write y: f32],
    [],
    grouped::conv2d_grouped
);
/// Gradient to the input with groups.
pub static GROUPED_D_INPUT: Kernel = kernel!(
    "conv2d_grouped_d_input",
    [CONV_DIMS, INDEX],
    ConvDims,
    [read d_y: f32, read w: f32, update d_x: f32],
    [],
    grouped::conv2d_grouped_d_input
);
/// Gradient to the weights with groups.
pub static GROUPED_D_WEIGHT: Kernel = kernel!(
    "conv2d_grouped_d_weight",
    [CONV_DIMS, INDEX],
    ConvDims,
    [read x: f32, read d_y: f32, update d_w: f32],
    [],
    grouped::conv2d_grouped_d_weight
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] =
    &[&FORWARD, &D_INPUT, &D_WEIGHT, &D_WEIGHT_SUM, &GROUPED, &GROUPED_D_INPUT, &GROUPED_D_WEIGHT];

/// `y[n,p,q,o] = bias[o] + sum over kh, kw, c of x[n, p s - pad + kh d, q s - pad + kw d, c] * w[kh,kw,c,o]`.
///
/// Inputs: x, a map; the weights ([`Format::Weight`], shape (KH, KW, C/groups, O)); optionally the bias, a map of shape
/// (1,1,1,O). Kept for the backward pass: x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Kernel rows and columns.
    pub kernel: [u32; 2],
    /// Strides.
    pub stride: [u32; 2],
    /// Zero padding on both sides.
    pub padding: [u32; 2],
    /// Dilations.
    pub dilation: [u32; 2],
    /// Groups: output channels of a group read the input channels of that group only.
    pub groups: u32,
}

impl Default for Conv2d {
    fn default() -> Self {
        Conv2d { kernel: [1; 2], stride: [1; 2], padding: [0; 2], dilation: [1; 2], groups: 1 }
    }
}

/// Invocations that a weight gradient should at least have, for GPUs to be busy; fewer are made up for by splits.
const BUSY: u32 = 4096;

impl Conv2d {
    /// The dims of a convolution from `x` to `out` channels, n = all images. Errors name `label`.
    pub fn dims(&self, label: &str, op: &str, x: Shape, out: u32) -> Result<ConvDims> {
        let refuse = |expected: String, got: String| Err(Error::shape(label, format!("{op}: {expected}"), got));
        for (name, v) in [("kernel", self.kernel), ("stride", self.stride), ("dilation", self.dilation)] {
            if v.contains(&0) {
                return refuse(format!("a {name} of 1 or more"), format!("{v:?}"));
            }
        }
        // Kernels count with 32 bits; nothing that fits a device comes near this.
        const MOST: u32 = 1 << 16;
        let all = [self.kernel, self.stride, self.padding, self.dilation, [x.h, x.w], [x.c, out]];
        if let Some(v) = all.iter().flatten().find(|v| **v > MOST && **v > x.c.max(out)) {
            return refuse(format!("sizes of at most {MOST}"), v.to_string());
        }
        if self.groups == 0 || !x.c.is_multiple_of(self.groups) || !out.is_multiple_of(self.groups) {
            return refuse(
                "groups that divide the channels".to_string(),
                format!("{} groups, {} channels in, {out} out", self.groups, x.c),
            );
        }
        let mut size = [0u32; 2];
        for (k, extent) in [x.h, x.w].into_iter().enumerate() {
            let window = self.dilation[k] as u64 * (self.kernel[k] as u64 - 1) + 1;
            let padded = extent as u64 + 2 * self.padding[k] as u64;
            if window > padded {
                return refuse(format!("a padded input of at least {window}"), format!("{padded} (input {x})"));
            }
            size[k] = ((padded - window) / self.stride[k] as u64 + 1) as u32;
        }
        Ok(ConvDims {
            n: x.n,
            h: x.h,
            w: x.w,
            c: x.c,
            p: size[0],
            q: size[1],
            o: out,
            kh: self.kernel[0],
            kw: self.kernel[1],
            stride_h: self.stride[0],
            stride_w: self.stride[1],
            pad_h: self.padding[0],
            pad_w: self.padding[1],
            dil_h: self.dilation[0],
            dil_w: self.dilation[1],
            groups: self.groups,
            ..Default::default()
        })
    }

    /// Checks x and the weights and gives the dims.
    pub(super) fn check(&self, b: &Builder, label: &str, op: &str, x: TensorId, w: TensorId) -> Result<ConvDims> {
        let shape = map_shape(b, label, op, x)?;
        let info = b.info(w);
        let want = Shape::new(self.kernel[0], self.kernel[1], shape.c / self.groups.max(1), info.shape.c);
        if info.format != Format::Weight || info.shape != want || info.sliced {
            return Err(Error::shape(
                label,
                format!("{op}: weights (KH, KW, C/groups, O) of {want}"),
                format!("{} {} as {:?}", info.name, info.shape, info.format),
            ));
        }
        self.dims(label, op, shape, info.shape.c)
    }
}

impl ConvDims {
    /// The output's shape.
    pub fn output(&self) -> Shape {
        Shape::new(self.n, self.p, self.q, self.o)
    }
    /// Multiply-accumulates for all images.
    pub fn macs(&self) -> u64 {
        self.output().len() * (self.kh * self.kw) as u64 * (self.c / self.groups) as u64
    }
    /// Elements of the weights, padding included.
    pub fn weight_elements(&self) -> u64 {
        Format::Weight.elements(Shape::new(self.kh, self.kw, self.c / self.groups, self.o))
    }
    pub(super) fn with_n(self, n: u32) -> Self {
        ConvDims { n, ..self }
    }
    /// Workgroups of 64, `columns` of which lie along the columns, for blocks of `block_rows` by `block_columns`.
    pub(super) fn blocks(
        rows: u64,
        block_rows: u64,
        columns: u32,
        block_columns: u32,
        wg_columns: u32,
        z: u32,
    ) -> Groups {
        let x = rows.div_ceil(block_rows).div_ceil(64 / wg_columns as u64);
        let y = columns.div_ceil(block_columns).div_ceil(wg_columns);
        Groups::Fixed([u32::try_from(x).unwrap_or(u32::MAX), y, z])
    }
    /// Input pixels of a stride phase, all images.
    pub(super) fn phase_pixels(&self) -> u64 {
        self.n as u64 * self.h.div_ceil(self.stride_h) as u64 * self.w.div_ceil(self.stride_w) as u64
    }
    /// In how many partial sums the weight gradient is computed, from the shape alone.
    pub(super) fn split(&self, invocations: u32) -> u32 {
        BUSY.div_ceil(invocations.max(1)).clamp(1, self.p)
    }
}

/// How many columns of a workgroup of 64 are used for `blocks` column blocks: a power of two, at most 8.
pub(super) fn wg_columns(blocks: u32) -> u32 {
    blocks.next_power_of_two().clamp(1, 4)
}

/// Adds the forward steps: y (+)= conv(x, w) + bias.
pub(super) fn forward(
    b: &mut Builder,
    label: &str,
    dims: &ConvDims,
    [x, w, bias]: [TensorId; 3],
    y: TensorId,
    accumulate: bool,
) -> Result<()> {
    for (s, _, n) in b.slices() {
        let dims = ConvDims { accumulate: accumulate as u32, ..dims.with_n(n) };
        let views = [b.at(x, s), b.at(w, 0), b.at(bias, 0), b.at(y, s)];
        let cost = Cost { macs: dims.macs(), ..Default::default() };
        let pixels = dims.output().pixels();
        if dims.groups > 1 {
            let groups = flat_groups(pixels * (round4(dims.o) / 4) as u64, 64);
            b.dispatch(&GROUPED, label, &dims, &views, groups, cost)?;
        } else {
            let cols = wg_columns(round4(dims.o).div_ceil(8));
            let groups = ConvDims::blocks(pixels, 8, round4(dims.o), 8, cols, 1);
            b.dispatch_with(&FORWARD, &[("WG_COLS", cols as f64)], label, &dims, &views, groups, cost)?;
        }
    }
    Ok(())
}

/// Adds the steps of the gradient to the input.
pub(super) fn d_input(
    b: &mut Builder,
    label: &str,
    dims: &ConvDims,
    d_y: TensorId,
    w: TensorId,
    d_x: Grad,
) -> Result<()> {
    for (s, _, n) in b.slices() {
        let dims = ConvDims { accumulate: d_x.flag(), ..dims.with_n(n) };
        let views = [b.at(d_y, s), b.at(w, 0), b.at(d_x.tensor, s)];
        let cost = Cost { macs: dims.macs(), ..Default::default() };
        if dims.groups > 1 {
            let threads = n as u64 * (dims.h * dims.w) as u64 * (round4(dims.c) / 4) as u64;
            b.dispatch(&GROUPED_D_INPUT, label, &dims, &views, flat_groups(threads, 64), cost)?;
        } else {
            let cols = wg_columns(round4(dims.c).div_ceil(8));
            let phases = dims.stride_h * dims.stride_w;
            let groups = ConvDims::blocks(dims.phase_pixels(), 8, round4(dims.c), 8, cols, phases);
            b.dispatch_with(&D_INPUT, &[("WG_COLS", cols as f64)], label, &dims, &views, groups, cost)?;
        }
    }
    Ok(())
}

/// A kernel that computes a weight gradient, and its number of invocations without splits.
pub(super) struct WeightGradient {
    pub kernel: &'static Kernel,
    pub constants: Vec<(&'static str, f64)>,
    pub invocations: u32,
}

/// Adds the steps of a weight gradient, in partial sums where that keeps a GPU busy. `target` already holds something to
/// add to.
pub(super) fn d_weight(
    b: &mut Builder,
    label: &str,
    dims: &ConvDims,
    how: WeightGradient,
    [x, d_y]: [TensorId; 2],
    target: TensorId,
) -> Result<()> {
    let splits = dims.split(how.invocations);
    let elements = dims.weight_elements() as u32;
    let sum_into = if splits == 1 {
        target
    } else {
        let shape = Shape::new(1, 1, splits, elements);
        let t = b.scratch(&format!("{label}.d_weight.partial"), shape, Format::Flat);
        b.clear(label, t);
        t
    };
    for (s, _, n) in b.slices() {
        let dims = ConvDims { splits, ..dims.with_n(n) };
        let views = [b.at(x, s), b.at(d_y, s), b.at(sum_into, 0)];
        let cost = Cost { macs: dims.macs(), ..Default::default() };
        let groups = Groups::Fixed([how.invocations.div_ceil(64), 1, splits]);
        b.dispatch_with(how.kernel, &how.constants, label, &dims, &views, groups, cost)?;
    }
    if splits > 1 {
        let dims = Conv2dDWeightSumDims { len4: elements / 4, splits };
        let views = [b.at(sum_into, 0), b.at(target, 0)];
        b.dispatch(&D_WEIGHT_SUM, label, &dims, &views, flat_groups(dims.len4 as u64, 64), Cost::default())?;
    }
    Ok(())
}

/// A bias of zeros for convolutions without one.
pub(super) fn no_bias(b: &mut Builder, out: u32) -> TensorId {
    b.constant(&format!("zeros.{out}"), Shape::vector(out), Format::Map, vec![0; round4(out) as usize])
}

/// Checks a bias.
pub(super) fn check_bias(b: &Builder, label: &str, op: &str, bias: TensorId, out: u32) -> Result<()> {
    let info = b.info(bias);
    if info.format == Format::Map && info.shape == Shape::vector(out) && !info.sliced {
        return Ok(());
    }
    Err(Error::shape(
        label,
        format!("{op}: a bias of {out} channels"),
        format!("{} {} as {:?}", info.name, info.shape, info.format),
    ))
}

/// The weight gradient of float maps.
pub(super) fn float_gradient(dims: &ConvDims) -> WeightGradient {
    let taps = dims.kh * dims.kw;
    if dims.groups > 1 {
        let rows = taps * round4(dims.c / dims.groups);
        return WeightGradient {
            kernel: &GROUPED_D_WEIGHT,
            constants: Vec::new(),
            invocations: rows * round4(dims.o) / 4,
        };
    }
    let invocations = taps * round4(dims.c).div_ceil(8) * round4(dims.o).div_ceil(16);
    WeightGradient { kernel: &D_WEIGHT, constants: Vec::new(), invocations }
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let (x, w, bias) = match *inputs {
            [x, w] => (x, w, None),
            [x, w, bias] => (x, w, Some(bias)),
            _ => return Err(Error::shape(label, "conv2d: x, weights and perhaps a bias", inputs.len().to_string())),
        };
        let dims = self.check(b, label, "conv2d", x, w)?;
        let bias = match bias {
            Some(t) => {
                check_bias(b, label, "conv2d", t, dims.o)?;
                t
            }
            None => no_bias(b, dims.o),
        };
        let y = b.map(&format!("{label}.y"), dims.output());
        forward(b, label, &dims, [x, w, bias], y, false)?;
        Ok((vec![y], vec![x]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        let Some(d_y) = b.d_output(io, 0) else { return Ok(()) };
        let (x, w) = (saved[0], io.inputs[1]);
        let dims = self.check(b, &io.label, "conv2d", x, w)?;
        if let Some(d_w) = b.d_input(io, 1) {
            if dims.groups > 1 {
                // Its kernel has no splits: an invocation sums one output alone.
                let how = float_gradient(&dims);
                for (s, _, n) in b.slices() {
                    let views = [b.at(x, s), b.at(d_y, s), b.at(d_w.tensor, 0)];
                    let cost = Cost { macs: dims.with_n(n).macs(), ..Default::default() };
                    let groups = flat_groups(how.invocations as u64, 64);
                    b.dispatch(how.kernel, &io.label, &dims.with_n(n), &views, groups, cost)?;
                }
            } else {
                d_weight(b, &io.label, &dims, float_gradient(&dims), [x, d_y], d_w.tensor)?;
            }
        }
        if io.inputs.len() == 3
            && let Some(d_bias) = b.d_input(io, 2)
        {
            super::channel_sum::channel_sum(b, &io.label, d_y, d_bias)?;
        }
        if let Some(d_x) = b.d_input(io, 0) {
            d_input(b, &io.label, &dims, d_y, w, d_x)?;
        }
        Ok(())
    }

    fn cost(&self, b: &Builder, io: &Io) -> Cost {
        match self.check(b, &io.label, "conv2d", io.inputs[0], io.inputs[1]) {
            Ok(d) => Cost { macs: d.macs(), ..Default::default() },
            Err(_) => Cost::default(),
        }
    }
}

/// The sets of constants that the product uses.
pub fn variants() -> Vec<super::Variants> {
    let columns = || [1.0, 2.0, 4.0].into_iter().map(|c| vec![("WG_COLS", c)]).collect();
    vec![(&FORWARD, columns()), (&D_INPUT, columns())]
}
