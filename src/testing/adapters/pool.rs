//! max_pool2d, avg_pool2d: x -> y.

use super::{Adapter, Own, Prepared, unary};
use crate::Result;
use crate::ops::avg_pool2d::AvgPool2d;
use crate::ops::max_pool2d::MaxPool2d;
use crate::ops::pool::PoolWindow;
use crate::plan::{Op, Shape};
use crate::testing::cases::CaseFile;
use crate::testing::{OpCase, TestInput};

pub static ADAPTER: Adapter = Adapter { ops: &["max_pool2d", "avg_pool2d"], prepare, own };

fn prepare(file: &CaseFile) -> Result<Prepared> {
    let window = PoolWindow {
        kernel: file.pair("kernel")?,
        stride: file.pair("stride")?,
        padding: file.pair("padding")?,
        ceil_mode: file.flag("ceil_mode")?,
    };
    if file.op == "max_pool2d" {
        return unary(file, MaxPool2d(window));
    }
    unary(file, AvgPool2d { window, count_include_pad: file.flag("count_include_pad")? })
}

fn own() -> Vec<Own> {
    let mut out = Vec::new();
    for window in [PoolWindow::square(2, 2, 0).ceil(), PoolWindow::square(3, 1, 1), PoolWindow::square(3, 2, 1)] {
        for shape in [Shape::new(2, 3, 5, 1), Shape::new(3, 8, 7, 33)] {
            let average = AvgPool2d { window, count_include_pad: true };
            out.push(case("max_pool2d", MaxPool2d(window), window, shape, 0.0));
            out.push(case("avg_pool2d", average, window, shape, 1e-5));
        }
    }
    out
}

fn case(name: &'static str, op: impl Op + Copy + 'static, window: PoolWindow, shape: Shape, tolerance: f64) -> Own {
    let size = |direction, extent| window.count(direction, extent).unwrap_or(1);
    let output = Shape { h: size(0, shape.h), w: size(1, shape.w), ..shape };
    let label = format!("{name} {shape} -> {output}");
    let case = OpCase {
        batch: shape.n,
        inputs: vec![TestInput::map("x", shape, TestInput::random(shape, &label, 1.0))],
        upstream: vec![TestInput::random(output, "upstream", 1.0)],
        backward: true,
        build: Box::new(move |b, t| b.apply(op, "op", t)),
        name: label,
    };
    Own { op: name, case, tolerance, differences: Some((5, 1e-3, 2e-2)) }
}
