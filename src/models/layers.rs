//! Layers: an operation with its parameters, named as in PyTorch checkpoints.

use crate::Result;
use crate::config::{Binarization, Method};
use crate::ops::activation_census::activation_census;
use crate::ops::add::Add;
use crate::ops::avg_pool2d::AvgPool2d;
use crate::ops::batch_norm2d::BatchNorm2d;
use crate::ops::binary_conv2d::{ActivationGrad, BinaryConv2d, InputDomain, PadValue, WeightScale};
use crate::ops::conv2d::Conv2d;
use crate::ops::pool::PoolWindow;
use crate::ops::relu::Relu;
use crate::plan::{Builder, Format, Init, Mode, ParamLayout, Shape, TensorId};

/// The optimizer group of all detector parameters.
pub const DETECTOR: &str = "detector";

/// Kernel size, stride, padding and dilation, the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Kernel size.
    pub kernel: u32,
    /// Stride.
    pub stride: u32,
    /// Padding.
    pub padding: u32,
    /// Dilation.
    pub dilation: u32,
}

/// 3x3, stride 1, padding 1.
pub const K3: Window = Window { kernel: 3, stride: 1, padding: 1, dilation: 1 };
/// 3x3, stride 2, padding 1.
pub const K3S2: Window = Window { kernel: 3, stride: 2, padding: 1, dilation: 1 };
/// 1x1.
pub const K1: Window = Window { kernel: 1, stride: 1, padding: 0, dilation: 1 };

fn weight(b: &mut Builder, name: &str, x: TensorId, out: u32, k: Window) -> TensorId {
    let shape = Shape::new(k.kernel, k.kernel, b.shape(x).c, out);
    b.param(DETECTOR, name, shape, Format::Weight, ParamLayout::Conv(name.to_string()), Init::XavierNormal)
}

/// Float convolution with parameters `<name>.weight` and, with `bias`, `<name>.bias`.
pub fn conv(b: &mut Builder, name: &str, x: TensorId, out: u32, k: Window, bias: bool) -> Result<TensorId> {
    let mut inputs = vec![x, weight(b, &format!("{name}.weight"), x, out, k)];
    if bias {
        let file = format!("{name}.bias");
        let layout = ParamLayout::Planes(vec![file.clone()]);
        inputs.push(b.param(DETECTOR, &file, Shape::vector(out), Format::Map, layout, Init::Zeros));
    }
    let op = Conv2d {
        kernel: [k.kernel; 2],
        stride: [k.stride; 2],
        padding: [k.padding; 2],
        dilation: [k.dilation; 2],
        groups: 1,
    };
    b.apply1(op, name, &inputs)
}

/// A layer's output, and what its convolution gave before batch norm, shortcut and ReLU: where batch norm is in front of
/// the convolution and there is no shortcut, the same tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// The output.
    pub y: TensorId,
    /// The convolution's.
    pub conv: TensorId,
}

/// Packed binary convolution with parameter `<name>.weight`. [`Binarization::Xnor`] has the rules of XNOR-Net's code: zero
/// padding, centred and clamped latent weights with their own gradient, the straight-through gradient on (-1, 1). Else
/// they are those of BiDet's code: -1 padding, alpha = mean |W| differentiated, ApproxSign.
fn binary_conv(
    b: &mut Builder,
    name: &str,
    x: TensorId,
    out: u32,
    k: Window,
    domain: InputDomain,
    rules: Binarization,
) -> Result<TensorId> {
    let w = weight(b, &format!("{name}.weight"), x, out, k);
    let (pad, activation_grad, weight_scale) = match rules {
        Binarization::Xnor => (PadValue::Zero, ActivationGrad::SteOpen, WeightScale::Xnor),
        _ => (PadValue::MinusOne, ActivationGrad::ApproxSign, WeightScale::FilterMeanAbs),
    };
    let op = BinaryConv2d {
        kernel: [k.kernel; 2],
        stride: [k.stride; 2],
        padding: [k.padding; 2],
        dilation: [k.dilation; 2],
        groups: 1,
        pad,
        domain,
        activation_grad,
        weight_scale,
    };
    if b.mode() == Mode::Train {
        activation_census(b, name, x, domain)?;
    }
    b.apply1(op, name, &[x, w])
}

fn running(b: &mut Builder, name: &str, x: TensorId) -> TensorId {
    let shape = Shape::new(1, 1, 2, b.shape(x).c);
    let files = ["running_mean", "running_var"].map(|f| format!("{name}.{f}")).to_vec();
    let first = Init::Planes(vec![0.0, 1.0]);
    b.buffer_param(&format!("{name}.running"), shape, ParamLayout::Planes(files), first)
}

/// Batch norm without gamma and beta, eps 1e-4, as XNOR-Net has it in front of a sign: `<name>.running_mean` and
/// `.running_var`.
fn plain_norm(b: &mut Builder, name: &str, x: TensorId) -> Result<TensorId> {
    let running = running(b, name, x);
    b.apply1(BatchNorm2d { eps: 1e-4, affine: false, ..Default::default() }, name, &[x, running])
}

/// Batch norm with `<name>.weight`, `.bias`, `.running_mean`, `.running_var`; `residual` is added to its output.
pub fn batch_norm(b: &mut Builder, name: &str, x: TensorId, residual: Option<TensorId>) -> Result<TensorId> {
    let shape = Shape::new(1, 1, 2, b.shape(x).c);
    let layout = ParamLayout::Planes(vec![format!("{name}.weight"), format!("{name}.bias")]);
    let first = Init::Planes(vec![1.0, 0.0]);
    let affine = b.param(DETECTOR, &format!("{name}.affine"), shape, Format::Map, layout, first);
    let running = running(b, name, x);
    let mut inputs = vec![x, affine, running];
    inputs.extend(residual);
    b.apply1(BatchNorm2d::default(), name, &inputs)
}

/// A binary convolution `names[0]` with its batch norm `names[1]` and no shortcut: y = BN(BinConv(sign x)), or, with
/// [`Binarization::Xnor`], y = BinConv(sign(BN(x))). `domain` is that of x; a batch norm's output is
/// [`InputDomain::Sign`] whatever x is.
pub fn binary_layer(
    b: &mut Builder,
    names: [&str; 2],
    x: TensorId,
    out: u32,
    k: Window,
    domain: InputDomain,
    rules: Binarization,
) -> Result<Layer> {
    let [name, norm] = names;
    if rules == Binarization::Xnor {
        let x = plain_norm(b, norm, x)?;
        let y = binary_conv(b, name, x, out, k, InputDomain::Sign, rules)?;
        return Ok(Layer { y, conv: y });
    }
    let conv = binary_conv(b, name, x, out, k, domain, rules)?;
    Ok(Layer { y: batch_norm(b, norm, conv, None)?, conv })
}

/// A 3x3 block of the body (docs/method.md, section 1):
///
/// ```text
/// float     y = ReLU(BN(Conv(x)) + S(x))
/// bi-real   y = BN(BinConv(sign x)) + S(x)
/// xnor      y = BinConv(sign(BN(x))) + S(x)
/// ```
/// S is the identity or, for stride 2, AvgPool 2x2 (ceil mode where the size is odd) -> float 1x1 convolution -> BN.
/// Without [`Method::shortcut`] there is no S.
pub fn block(b: &mut Builder, name: &str, x: TensorId, out: u32, stride: u32, method: &Method) -> Result<Layer> {
    let (rules, k) = (method.binarization, Window { stride, ..K3 });
    let (conv_name, norm) = (format!("{name}.conv"), format!("{name}.bn"));
    let conv = match rules {
        Binarization::Float => conv(b, &conv_name, x, out, k, false)?,
        Binarization::BiReal => binary_conv(b, &conv_name, x, out, k, InputDomain::Sign, rules)?,
        Binarization::Xnor => {
            let x = plain_norm(b, &norm, x)?;
            binary_conv(b, &conv_name, x, out, k, InputDomain::Sign, rules)?
        }
    };
    let shortcut = if method.shortcut { Some(shortcut(b, name, x, out, stride)?) } else { None };
    let y = match (rules, shortcut) {
        (Binarization::Xnor, None) => conv,
        (Binarization::Xnor, Some(s)) => b.apply1(Add, &format!("{name}.sum"), &[conv, s])?,
        _ => batch_norm(b, &norm, conv, shortcut)?,
    };
    let y = if rules == Binarization::Float { relu(b, name, y)? } else { y };
    Ok(Layer { y, conv })
}

fn shortcut(b: &mut Builder, name: &str, x: TensorId, out: u32, stride: u32) -> Result<TensorId> {
    let shape = b.shape(x);
    if stride == 1 && shape.c == out {
        return Ok(x);
    }
    let mut s = x;
    if stride == 2 {
        // Odd sizes keep their last row and column, as the stride-2 convolution with padding 1 does.
        let odd = shape.h % 2 == 1 || shape.w % 2 == 1;
        let window = PoolWindow::square(2, 2, 0);
        let pool = AvgPool2d { window: if odd { window.ceil() } else { window }, count_include_pad: true };
        s = b.apply1(pool, &format!("{name}.downsample.0"), &[s])?;
    }
    let s = conv(b, &format!("{name}.downsample.1"), s, out, K1, false)?;
    batch_norm(b, &format!("{name}.downsample.2"), s, None)
}

/// ReLU.
pub fn relu(b: &mut Builder, name: &str, x: TensorId) -> Result<TensorId> {
    b.apply1(Relu, &format!("{name}.relu"), &[x])
}
