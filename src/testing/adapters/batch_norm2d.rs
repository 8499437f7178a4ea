//! batch_norm2d: x, gamma, beta, running_mean, running_var -> y[, running_mean, running_var].

use super::{Adapter, Inputs, Own, Prepared, SHAPES};
use crate::Result;
use crate::ops::batch_norm2d::BatchNorm2d;
use crate::plan::{Builder, Format, Shape, TensorId};
use crate::testing::cases::CaseFile;
use crate::testing::{OpCase, TestInput};

pub static ADAPTER: Adapter = Adapter { ops: &["batch_norm2d"], prepare, own };

fn prepare(file: &CaseFile) -> Result<Prepared> {
    let (momentum, eps) = (file.real("momentum")?, file.real("eps")?);
    let op = BatchNorm2d { eps, momentum, affine: true, frozen: !file.flag("training")?, track: true };
    Inputs::new(file, "x")?
        .map(&["x"])?
        .planes(&["gamma", "beta"])?
        .planes(&["running_mean", "running_var"])?
        .run(&[&["y"], &["running_mean", "running_var"]], move |b, t| with_running(b, op, t))
}

/// y, and the running statistics, which the plan updates in place.
fn with_running(b: &mut Builder, op: BatchNorm2d, t: &[TensorId]) -> Result<Vec<TensorId>> {
    let mut out = b.apply(op, "op", t)?;
    out.push(t[2]);
    Ok(out)
}

fn own() -> Vec<Own> {
    let case = |shape: Shape| {
        let planes = Shape::new(1, 1, 2, shape.c);
        let name = format!("batch_norm2d {shape}");
        let running = TestInput::random(planes, "running", 0.5).iter().map(|v| 1.0 + v.abs()).collect();
        let op = BatchNorm2d { frozen: shape.pixels() == 1, ..Default::default() };
        let case = OpCase {
            batch: shape.n,
            inputs: vec![
                TestInput::map("x", shape, TestInput::random(shape, &name, 1.0)),
                TestInput::param("affine", planes, Format::Map, TestInput::random(planes, "affine", 1.0)),
                TestInput::param("running", planes, Format::Map, running).no_grad(),
            ],
            upstream: vec![TestInput::random(shape, "upstream", 1.0)],
            backward: true,
            build: Box::new(move |b, t| b.apply(op, "op", t)),
            name,
        };
        Own { op: "batch_norm2d", case, tolerance: 2e-5, differences: Some((5, 3e-3, 2e-2)) }
    };
    SHAPES.map(case).into_iter().collect()
}
