//! conv2d, conv_transpose2d, linear: x, weight[, bias] -> y.

use super::{Adapter, Inputs, Own, Prepared};
use crate::Result;
use crate::ops::conv_transpose2d::ConvTranspose2d;
use crate::ops::conv2d::Conv2d;
use crate::ops::linear::Linear;
use crate::plan::{Format, Op, Shape};
use crate::testing::cases::CaseFile;
use crate::testing::{OpCase, TestInput};

pub static ADAPTER: Adapter = Adapter { ops: &["conv2d", "conv_transpose2d", "linear"], prepare, own };

fn prepare(file: &CaseFile) -> Result<Prepared> {
    let inputs = Inputs::new(file, "x")?.map(&["x"])?.weight(&["weight"])?;
    let inputs = if file.has("in.bias") { inputs.planes(&["bias"])? } else { inputs };
    match file.op.as_str() {
        "conv2d" => {
            let op = Conv2d {
                kernel: file.pair("kernel")?,
                stride: file.pair("stride")?,
                padding: file.pair("padding")?,
                dilation: file.pair("dilation")?,
                groups: file.number("groups")?,
            };
            inputs.run(&[&["y"]], move |b, t| b.apply(op, "op", t))
        }
        "conv_transpose2d" => {
            if file.number("groups")? != 1 {
                return Err(file.unknown("groups"));
            }
            let op = ConvTranspose2d {
                stride: file.pair("stride")?,
                padding: file.pair("padding")?,
                output_padding: file.pair("output_padding")?,
                dilation: file.pair("dilation")?,
            };
            inputs.run(&[&["y"]], move |b, t| b.apply(op, "op", t))
        }
        _ => inputs.run(&[&["y"]], |b, t| b.apply(Linear, "op", t)),
    }
}

fn own() -> Vec<Own> {
    let conv = |k: u32, stride: u32, padding: u32, groups: u32| Conv2d {
        kernel: [k; 2],
        stride: [stride; 2],
        padding: [padding; 2],
        dilation: [1; 2],
        groups,
    };
    let dilated = Conv2d { dilation: [2; 2], ..conv(3, 1, 2, 1) };
    let transposed = ConvTranspose2d { stride: [2; 2], padding: [1; 2], output_padding: [1; 2], dilation: [1; 2] };
    // x, weights (KH, KW, C/groups, O), y.
    let s = Shape::new;
    vec![
        case("conv2d", conv(1, 1, 0, 1), s(1, 1, 1, 1), s(1, 1, 1, 1), s(1, 1, 1, 1), 1),
        case("conv2d", conv(3, 1, 1, 1), s(2, 5, 7, 3), s(3, 3, 3, 33), s(2, 5, 7, 33), 33),
        case("conv2d", conv(3, 2, 1, 1), s(3, 9, 8, 31), s(3, 3, 31, 5), s(3, 5, 4, 5), 5),
        case("conv2d", conv(1, 1, 0, 1), s(2, 6, 6, 64), s(1, 1, 64, 20), s(2, 6, 6, 20), 20),
        case("conv2d", dilated, s(1, 7, 7, 8), s(3, 3, 8, 8), s(1, 7, 7, 8), 8),
        case("conv2d", conv(3, 1, 1, 12), s(2, 5, 5, 12), s(3, 3, 1, 12), s(2, 5, 5, 12), 12),
        case("conv2d", conv(3, 1, 1, 2), s(1, 5, 5, 8), s(3, 3, 4, 6), s(1, 5, 5, 6), 6),
        case("conv_transpose2d", transposed, s(2, 4, 5, 12), s(3, 3, 7, 12), s(2, 8, 10, 7), 7),
        case("linear", Linear, s(5, 1, 1, 12), s(1, 1, 12, 7), s(5, 1, 1, 7), 7),
    ]
}

fn case(name: &'static str, op: impl Op + Copy + 'static, x: Shape, w: Shape, y: Shape, bias: u32) -> Own {
    let label = format!("{name} {x}, weights {w}");
    let bias = Shape::vector(bias);
    let case = OpCase {
        batch: x.n,
        inputs: vec![
            TestInput::map("x", x, TestInput::random(x, &label, 1.0)),
            TestInput::param("weight", w, Format::Weight, TestInput::random(w, "weight", 0.3)),
            TestInput::param("bias", bias, Format::Map, TestInput::random(bias, "bias", 1.0)),
        ],
        upstream: vec![TestInput::random(y, "upstream", 1.0)],
        backward: true,
        build: Box::new(move |b, t| b.apply(op, "op", t)),
        name: label,
    };
    Own { op: name, case, tolerance: 2e-5, differences: Some((5, 1e-2, 2e-2)) }
}
