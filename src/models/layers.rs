//! Layers: an operation with its parameters, named as in PyTorch checkpoints.

use crate::Result;
use crate::ops::activation_census::activation_census;
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

/// Packed binary convolution as BiDet's code defines it: -1 padding, alpha = mean |W|, ApproxSign.
pub fn binary_conv(
    b: &mut Builder,
    name: &str,
    x: TensorId,
    out: u32,
    k: Window,
    domain: InputDomain,
) -> Result<TensorId> {
    let w = weight(b, &format!("{name}.weight"), x, out, k);
    let op = BinaryConv2d {
        kernel: [k.kernel; 2],
        stride: [k.stride; 2],
        padding: [k.padding; 2],
        dilation: [k.dilation; 2],
        groups: 1,
        pad: PadValue::MinusOne,
        domain,
        activation_grad: ActivationGrad::ApproxSign,
        weight_scale: WeightScale::FilterMeanAbs,
    };
    if b.mode() == Mode::Train {
        activation_census(b, name, x, domain)?;
    }
    b.apply1(op, name, &[x, w])
}

/// Batch norm with `<name>.weight`, `.bias`, `.running_mean`, `.running_var`; `residual` is added to its output.
pub fn batch_norm(b: &mut Builder, name: &str, x: TensorId, residual: Option<TensorId>) -> Result<TensorId> {
    let shape = Shape::new(1, 1, 2, b.shape(x).c);
    let planes = |a: &str, c: &str| ParamLayout::Planes(vec![format!("{name}.{a}"), format!("{name}.{c}")]);
    let affine = b.param(
        DETECTOR,
        &format!("{name}.affine"),
        shape,
        Format::Map,
        planes("weight", "bias"),
        Init::Planes(vec![1.0, 0.0]),
    );
    let running = b.buffer_param(
        &format!("{name}.running"),
        shape,
        planes("running_mean", "running_var"),
        Init::Planes(vec![0.0, 1.0]),
    );
    let mut inputs = vec![x, affine, running];
    inputs.extend(residual);
    b.apply1(BatchNorm2d::default(), name, &inputs)
}

/// A residual block of the binarized networks: y = BN(BinConv3x3(sign x)) + S(x), S the identity or, for stride 2,
/// AvgPool 2x2 (ceil mode where asked) -> float 1x1 convolution -> BN (docs/method.md, section 1).
pub fn binary_block(b: &mut Builder, name: &str, x: TensorId, out: u32, stride: u32) -> Result<TensorId> {
    let shape = b.shape(x);
    let z = binary_conv(b, &format!("{name}.conv"), x, out, Window { stride, ..K3 }, InputDomain::Sign)?;
    let shortcut = shortcut(b, name, x, out, stride, shape)?;
    batch_norm(b, &format!("{name}.bn"), z, Some(shortcut))
}

/// The float network's block: y = ReLU(BN(Conv3x3(x)) + S(x)).
pub fn float_block(b: &mut Builder, name: &str, x: TensorId, out: u32, stride: u32) -> Result<TensorId> {
    let shape = b.shape(x);
    let z = conv(b, &format!("{name}.conv"), x, out, Window { stride, ..K3 }, false)?;
    let shortcut = shortcut(b, name, x, out, stride, shape)?;
    let y = batch_norm(b, &format!("{name}.bn"), z, Some(shortcut))?;
    relu(b, name, y)
}

fn shortcut(b: &mut Builder, name: &str, x: TensorId, out: u32, stride: u32, shape: Shape) -> Result<TensorId> {
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
