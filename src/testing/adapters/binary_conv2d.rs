//! binary_conv2d: x, weight -> y; bidet_vgg_block: x and the block's state -> y.

use super::{Adapter, Inputs, Own, Prepared};
use crate::Result;
use crate::ops::add::Add;
use crate::ops::avg_pool2d::AvgPool2d;
use crate::ops::batch_norm2d::BatchNorm2d;
use crate::ops::binary_conv2d::{ActivationGrad, BinaryConv2d, InputDomain, PadValue, WeightScale};
use crate::ops::conv2d::Conv2d;
use crate::ops::pool::PoolWindow;
use crate::plan::{Format, Shape};
use crate::testing::cases::CaseFile;
use crate::testing::{OpCase, TestInput};

pub static ADAPTER: Adapter = Adapter {
    ops: &["binary_conv2d", "bidet_vgg_block"],
    prepare: |file| if file.op == "binary_conv2d" { convolution(file) } else { block(file) },
    own,
};

fn convolution(file: &CaseFile) -> Result<Prepared> {
    let op = BinaryConv2d {
        kernel: file.pair("kernel")?,
        stride: file.pair("stride")?,
        padding: file.pair("padding")?,
        dilation: file.pair("dilation")?,
        groups: file.number("groups")?,
        pad: match file.real("pad_value")? {
            -1.0 => PadValue::MinusOne,
            0.0 => PadValue::Zero,
            _ => return Err(file.unknown("pad_value")),
        },
        domain: match file.word("input_domain")? {
            "sign" => InputDomain::Sign,
            "zero_one" => InputDomain::ZeroOne,
            _ => return Err(file.unknown("input_domain")),
        },
        activation_grad: match file.word("activation_grad")? {
            "approx_sign" => ActivationGrad::ApproxSign,
            "ste" => ActivationGrad::Ste,
            _ => return Err(file.unknown("activation_grad")),
        },
        weight_scale: match file.word("weight_scale")? {
            "filter_mean_abs" => WeightScale::FilterMeanAbs,
            "none" => WeightScale::None,
            _ => return Err(file.unknown("weight_scale")),
        },
    };
    let inputs = Inputs::new(file, "x")?.map(&["x"])?.weight(&["weight"])?;
    inputs.run(&[&["y"]], move |b, t| b.apply(op, "op", t))
}

/// A 3x3 binary convolution, padded, as BiDet's code has it.
fn released(stride: u32) -> BinaryConv2d {
    BinaryConv2d {
        kernel: [3; 2],
        stride: [stride; 2],
        padding: [1; 2],
        dilation: [1; 2],
        groups: 1,
        pad: PadValue::MinusOne,
        domain: InputDomain::Sign,
        activation_grad: ActivationGrad::ApproxSign,
        weight_scale: WeightScale::FilterMeanAbs,
    }
}

/// y = BN(BinConv3x3(sign x)) + S(x); S: the identity, or average pool, 1x1 convolution and BN.
fn block(file: &CaseFile) -> Result<Prepared> {
    let (stride, ceil_mode) = (file.number("stride")?, file.flag("ceil_mode")?);
    let norm = BatchNorm2d { frozen: !file.flag("training")?, ..Default::default() };
    let inputs = Inputs::new(file, "x")?
        .map(&["x"])?
        .weight(&["conv.weight"])?
        .planes(&["bn.weight", "bn.bias"])?
        .planes(&["bn.running_mean", "bn.running_var"])?;
    if !file.has("in.downsample.1.weight") {
        return inputs.run(&[&["y"]], move |b, t| {
            let z = b.apply1(released(stride), "conv", &[t[0], t[1]])?;
            b.apply(norm, "bn", &[z, t[2], t[3], t[0]])
        });
    }
    let inputs = inputs
        .weight(&["downsample.1.weight"])?
        .planes(&["downsample.2.weight", "downsample.2.bias"])?
        .planes(&["downsample.2.running_mean", "downsample.2.running_var"])?;
    let window = PoolWindow { ceil_mode, ..PoolWindow::square(stride, stride, 0) };
    inputs.run(&[&["y"]], move |b, t| {
        let z = b.apply1(released(stride), "conv", &[t[0], t[1]])?;
        let z = b.apply1(norm, "bn", &[z, t[2], t[3]])?;
        let mut s = t[0];
        if stride > 1 {
            s = b.apply1(AvgPool2d { window, count_include_pad: true }, "downsample.0", &[s])?;
        }
        let s = b.apply1(Conv2d::default(), "downsample.1", &[s, t[4]])?;
        let s = b.apply1(norm, "downsample.2", &[s, t[5], t[6]])?;
        b.apply(Add, "sum", &[z, s])
    })
}

fn own() -> Vec<Own> {
    let mut out = Vec::new();
    let plain = released(1);
    let raw = BinaryConv2d { activation_grad: ActivationGrad::Ste, weight_scale: WeightScale::None, ..plain };
    let zero = BinaryConv2d { pad: PadValue::Zero, ..plain };
    let after_relu = BinaryConv2d { domain: InputDomain::ZeroOne, ..plain };
    let dilated = BinaryConv2d { dilation: [2; 2], padding: [2; 2], ..plain };
    let one = BinaryConv2d { kernel: [1; 2], padding: [0; 2], ..plain };
    let xnor = BinaryConv2d { activation_grad: ActivationGrad::SteOpen, weight_scale: WeightScale::Xnor, ..zero };
    let s = Shape::new;
    for (what, op, x, o, y) in [
        ("one pixel", plain, s(2, 1, 1, 1), 1, s(2, 1, 1, 1)),
        ("odd channels", plain, s(2, 5, 7, 33), 31, s(2, 5, 7, 31)),
        ("stride 2", released(2), s(3, 9, 8, 64), 33, s(3, 5, 4, 33)),
        ("straight through", raw, s(1, 6, 6, 96), 20, s(1, 6, 6, 20)),
        ("zero padding", zero, s(1, 5, 5, 40), 24, s(1, 5, 5, 24)),
        ("after a ReLU", after_relu, s(2, 5, 5, 37), 20, s(2, 5, 5, 20)),
        ("dilated", dilated, s(1, 7, 7, 32), 8, s(1, 7, 7, 8)),
        ("1x1", one, s(2, 6, 6, 128), 40, s(2, 6, 6, 40)),
        ("XNOR-Net's", xnor, s(2, 5, 7, 33), 20, s(2, 5, 7, 20)),
    ] {
        let w = Shape::new(op.kernel[0], op.kernel[1], x.c, o);
        let mut data = TestInput::random(x, what, 1.0);
        if op.domain == InputDomain::ZeroOne {
            data.iter_mut().for_each(|v| *v = v.max(0.0));
        }
        let case = OpCase {
            name: format!("binary_conv2d {what} {x}"),
            batch: x.n,
            inputs: vec![
                TestInput::map("x", x, data),
                TestInput::param("weight", w, Format::Weight, TestInput::random(w, "weight", 0.5)),
            ],
            upstream: vec![TestInput::random(y, "upstream", 1.0)],
            backward: true,
            build: Box::new(move |b, t| b.apply(op, "op", t)),
        };
        // The gradient of a sign is an estimate and no derivative.
        out.push(Own { op: "binary_conv2d", case, tolerance: 2e-5, differences: None });
    }
    out
}
