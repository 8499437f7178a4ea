//! Packed binary 2-D convolution: sign words in memory, xor and countOneBits in the kernel, exact integers; the
//! straight-through gradients of BiDet's code (docs/method.md, section 1).

use super::conv2d::{Conv2d, WeightGradient, d_weight, wg_columns};
use super::{BINARY_COUNTS, BINARY_WEIGHT, CONV_DIMS, CONV_PIXELS};
use crate::cpu::binary_conv2d as twin;
use crate::cpu::binary_conv2d::{BinaryWeightDims, SignPackDims};
use crate::cpu::conv2d::ConvDims;
use crate::plan::{Builder, Cost, Format, Groups, Io, Kernel, Mode, Op, Saved, Shape, TensorId, flat_groups, round4};
use crate::{Error, Result, kernel};

/// Sign words of a map.
pub static SIGN_PACK: Kernel =
    kernel!("sign_pack", [], SignPackDims, [read x: f32, write y: u32], ["WG"], twin::sign_pack);
/// Sign words and alpha of latent weights.
pub static WEIGHT: Kernel = kernel!(
    "binary_weight",
    [BINARY_WEIGHT],
    BinaryWeightDims,
    [read w: f32, write words: u32, write alpha: f32],
    ["WG"],
    twin::binary_weight
);
/// Centres and clamps latent weights.
pub static CENTER: Kernel = kernel!("binary_weight_center", [BINARY_WEIGHT], BinaryWeightDims, [update w: f32], ["WG"], twin::binary_weight_center);
/// Gradient to the latent weights.
pub static D_LATENT: Kernel = kernel!(
    "binary_weight_d_latent",
    [BINARY_WEIGHT],
    BinaryWeightDims,
    [read w: f32, read g: f32, read alpha: f32, update d_w: f32],
    ["WG"],
    twin::binary_weight_d_latent
);
/// Forward.
pub static FORWARD: Kernel = kernel!(
    "binary_conv2d",
    [CONV_DIMS, CONV_PIXELS, BINARY_COUNTS],
    ConvDims,
    [read x: u32, read w: u32, read alpha: f32, write z: f32],
    ["WG", "WG_COLS", "MODE", "WORDS4"],
    twin::binary_conv2d
);
/// Gradient to the real input.
pub static D_INPUT: Kernel = kernel!(
    "binary_conv2d_d_input",
    [CONV_DIMS, CONV_PIXELS],
    ConvDims,
    [read d_z: f32, read w: u32, read alpha: f32, read x: f32, update d_x: f32],
    ["WG", "WG_COLS", "WINDOW"],
    twin::binary_conv2d_d_input
);
/// Gradient to the binary weights.
pub static D_WEIGHT: Kernel = kernel!(
    "binary_conv2d_d_weight",
    [CONV_DIMS],
    ConvDims,
    [read x: u32, read d_y: f32, update d_w: f32],
    ["WG", "MODE"],
    twin::binary_conv2d_d_weight
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&SIGN_PACK, &WEIGHT, &CENTER, &D_LATENT, &FORWARD, &D_INPUT, &D_WEIGHT];

/// What a tap outside the map reads, after the sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PadValue {
    /// -1, as in BiDet's code.
    MinusOne,
    /// 0, as in XNOR-Net and Bi-Real-Net.
    Zero,
}

/// What activations become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputDomain {
    /// -1 and +1; the sign of 0 is +1.
    Sign,
    /// 0 and +1: for inputs that come from a ReLU, whose zeros stay 0.
    ZeroOne,
}

/// The stand-in for the derivative of the sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivationGrad {
    /// 2 - 2|x| inside (-1, 1).
    ApproxSign,
    /// 1 on [-1, 1].
    Ste,
    /// 1 inside (-1, 1), as XNOR-Net has it.
    SteOpen,
}

/// The scale alpha of binary weights, and with it the gradient of the latent ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightScale {
    /// alpha = mean |W| of the filter, differentiated.
    FilterMeanAbs,
    /// 1.
    None,
    /// XNOR-Net's: W is first centred over its input channels, a tap at a time, and clamped to [-1, 1]; then alpha = mean
    /// |W|. The gradient is g (alpha 1[|W| < 1] + 1/n)(1 - 1/C), g being that of the binary weights and n the size of a
    /// filter (the reference's rule for Adam).
    ///
    /// In [`Mode::Train`] the centred weights *replace* W at every forward pass, so that the optimizer goes on from them;
    /// in [`Mode::Eval`] W stays as it is and a copy is used, so that the result does not depend on the number of runs.
    Xnor,
}

/// y = conv(sign(x), alpha * sign(W)).
///
/// Inputs: x, a real map; the latent weights ([`Format::Weight`], shape (KH, KW, C, O)), which [`WeightScale::Xnor`]
/// replaces when training. One group. Kept for the backward pass: x, its sign words, and the weights' words and alpha.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BinaryConv2d {
    /// Kernel rows and columns.
    pub kernel: [u32; 2],
    /// Strides.
    pub stride: [u32; 2],
    /// Padding on both sides.
    pub padding: [u32; 2],
    /// Dilations.
    pub dilation: [u32; 2],
    /// Groups; only 1 is packed, anything else is refused.
    pub groups: u32,
    /// What padding reads.
    pub pad: PadValue,
    /// What activations become.
    pub domain: InputDomain,
    /// Gradient of the activations' sign.
    pub activation_grad: ActivationGrad,
    /// Scale of the weights.
    pub weight_scale: WeightScale,
}

impl BinaryConv2d {
    fn check(&self, b: &Builder, label: &str, x: TensorId, w: TensorId) -> Result<ConvDims> {
        self.geometry(label)?.check(b, label, "binary_conv2d", x, w).map(|d| self.rules(d))
    }

    /// The dims from `x` to `out` channels, n = all images. Errors name `label`.
    pub fn dims(&self, label: &str, x: Shape, out: u32) -> Result<ConvDims> {
        self.geometry(label)?.dims(label, "binary_conv2d", x, out).map(|d| self.rules(d))
    }

    fn geometry(&self, label: &str) -> Result<Conv2d> {
        if self.groups != 1 {
            return Err(Error::shape(
                label,
                "binary_conv2d: one group (others are not packed)",
                self.groups.to_string(),
            ));
        }
        Ok(Conv2d {
            kernel: self.kernel,
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: 1,
        })
    }

    fn rules(&self, dims: ConvDims) -> ConvDims {
        let mode = match (self.domain, self.pad) {
            (InputDomain::Sign, PadValue::MinusOne) => 0,
            (InputDomain::Sign, PadValue::Zero) => 1,
            (InputDomain::ZeroOne, PadValue::Zero) => 2,
            (InputDomain::ZeroOne, PadValue::MinusOne) => 3,
        };
        let window = match self.activation_grad {
            ActivationGrad::ApproxSign => 1,
            ActivationGrad::Ste => 2,
            ActivationGrad::SteOpen => 3,
        };
        ConvDims { mode, window, ..dims }
    }

    fn weight_dims(&self, d: &ConvDims) -> BinaryWeightDims {
        let rule = match self.weight_scale {
            WeightScale::None => 0,
            WeightScale::FilterMeanAbs => 1,
            WeightScale::Xnor => 2,
        };
        BinaryWeightDims { kh: d.kh, kw: d.kw, c: d.c, o: d.o, rule }
    }

    /// The weights whose signs are used: W itself, but for [`WeightScale::Xnor`] centred and clamped.
    fn latent(&self, b: &mut Builder, label: &str, dims: &ConvDims, w: TensorId) -> Result<TensorId> {
        if self.weight_scale != WeightScale::Xnor {
            return Ok(w);
        }
        let mut used = w;
        if b.mode() == Mode::Eval {
            used = b.scratch(&format!("{label}.centred"), b.shape(w), Format::Weight);
            b.copy(label, w, used)?;
        }
        let groups = Groups::Fixed([round4(dims.o) / 4, dims.kh * dims.kw, 1]);
        b.dispatch(&CENTER, label, &self.weight_dims(dims), &[b.at(used, 0)], groups, Cost::default())?;
        Ok(used)
    }
}

impl Op for BinaryConv2d {
    fn name(&self) -> &'static str {
        "binary_conv2d"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let &[x, w] = inputs else {
            return Err(Error::shape(label, "binary_conv2d: x and weights", inputs.len().to_string()));
        };
        let dims = self.check(b, label, x, w)?;
        let words_a_pixel = dims.c.div_ceil(32);
        let weight_shape = Shape::new(dims.kh, dims.kw, words_a_pixel, round4(dims.o));
        let w_words = b.scratch(&format!("{label}.weight_words"), weight_shape, Format::FlatU32);
        let alpha = b.scratch(&format!("{label}.alpha"), Shape::vector(dims.o), Format::Map);
        let latent = self.latent(b, label, &dims, w)?;
        let views = [b.at(latent, 0), b.at(w_words, 0), b.at(alpha, 0)];
        let groups = Groups::Fixed([round4(dims.o) / 4, 1, 1]);
        b.dispatch(&WEIGHT, label, &self.weight_dims(&dims), &views, groups, Cost::default())?;

        let shape = b.shape(x);
        let words = b.words(&format!("{label}.x_words"), shape);
        let y = b.map(&format!("{label}.y"), dims.output());
        for (s, _, n) in b.slices() {
            let pack = SignPackDims { pixels: n * dims.h * dims.w, c: dims.c, mode: (dims.mode >= 2) as u32 };
            let threads = pack.pixels as u64 * words_a_pixel as u64;
            let views = [b.at(x, s), b.at(words, s)];
            b.dispatch(&SIGN_PACK, label, &pack, &views, flat_groups(threads, 64), Cost::default())?;

            let dims = dims.with_n(n);
            let cols = wg_columns(round4(dims.o).div_ceil(8));
            let groups = ConvDims::blocks(dims.output().pixels(), 8, round4(dims.o), 8, cols, 1);
            let constants = [
                ("WG_COLS", cols as f64),
                ("MODE", dims.mode as f64),
                ("WORDS4", words_a_pixel.is_multiple_of(4) as u32 as f64),
            ];
            let views = [b.at(words, s), b.at(w_words, 0), b.at(alpha, 0), b.at(y, s)];
            let cost = Cost { binary_macs: dims.macs(), ..Default::default() };
            b.dispatch_with(&FORWARD, &constants, label, &dims, &views, groups, cost)?;
        }
        Ok((vec![y], vec![x, words, w_words, alpha]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        let Some(d_y) = b.d_output(io, 0) else { return Ok(()) };
        let &[x, words, w_words, alpha] = saved.as_slice() else { return Ok(()) };
        let (w, label) = (io.inputs[1], &io.label);
        let dims = self.check(b, label, x, w)?;
        if let Some(d_w) = b.d_input(io, 1) {
            let g = b.scratch(&format!("{label}.d_binary"), b.shape(w), Format::Weight);
            b.clear(label, g);
            let invocations = dims.kh * dims.kw * dims.c.div_ceil(32) * round4(dims.o) / 4;
            let how = WeightGradient { kernel: &D_WEIGHT, constants: vec![("MODE", dims.mode as f64)], invocations };
            d_weight(b, label, &dims, how, [words, d_y], g)?;
            let views = [b.at(w, 0), b.at(g, 0), b.at(alpha, 0), b.at(d_w.tensor, 0)];
            let groups = Groups::Fixed([round4(dims.o) / 4, 1, 1]);
            b.dispatch(&D_LATENT, label, &self.weight_dims(&dims), &views, groups, Cost::default())?;
        }
        if let Some(d_x) = b.d_input(io, 0) {
            for (s, _, n) in b.slices() {
                let dims = ConvDims { accumulate: d_x.flag(), ..dims.with_n(n) };
                let views = [b.at(d_y, s), b.at(w_words, 0), b.at(alpha, 0), b.at(x, s), b.at(d_x.tensor, s)];
                let phases = dims.stride_h * dims.stride_w;
                let columns = dims.c.div_ceil(32);
                let groups = ConvDims::blocks(dims.phase_pixels(), 4, columns, 1, 1, phases);
                let constants = [("WINDOW", dims.window as f64)];
                let cost = Cost { macs: dims.macs(), ..Default::default() };
                b.dispatch_with(&D_INPUT, &constants, label, &dims, &views, groups, cost)?;
            }
        }
        Ok(())
    }

    fn cost(&self, b: &Builder, io: &Io) -> Cost {
        match self.check(b, &io.label, io.inputs[0], io.inputs[1]) {
            Ok(d) => Cost { binary_macs: d.macs(), ..Default::default() },
            Err(_) => Cost::default(),
        }
    }

    fn binary_params(&self, b: &Builder, io: &Io) -> u64 {
        b.shape(io.inputs[1]).len()
    }
}

/// The sets of constants that the product uses.
pub fn variants() -> Vec<super::Variants> {
    let modes = [0.0, 1.0, 2.0, 3.0];
    let mut forward = Vec::new();
    for columns in [1.0, 2.0, 4.0] {
        for mode in modes {
            forward.extend([0.0, 1.0].map(|w| vec![("WG_COLS", columns), ("MODE", mode), ("WORDS4", w)]));
        }
    }
    vec![
        (&FORWARD, forward),
        (&D_INPUT, [1.0, 2.0, 3.0].into_iter().map(|w| vec![("WINDOW", w)]).collect()),
        (&D_WEIGHT, modes.into_iter().map(|m| vec![("MODE", m)]).collect()),
    ]
}
