//! prelu: x, slope -> y; l2_norm: x, weight -> y. One value a channel.

use super::{Adapter, Inputs, Own, SHAPES};
use crate::ops::l2_norm::L2Norm;
use crate::ops::prelu::Prelu;
use crate::plan::{Format, Op, Shape};
use crate::testing::{OpCase, TestInput};

pub static ADAPTER: Adapter = Adapter {
    ops: &["prelu", "l2_norm"],
    prepare: |file| {
        let inputs = Inputs::new(file, "x")?.map(&["x"])?;
        if file.op == "prelu" {
            return inputs.planes(&["slope"])?.run(&[&["y"]], |b, t| b.apply(Prelu, "op", t));
        }
        let op = L2Norm { eps: file.real("eps")? };
        inputs.planes(&["weight"])?.run(&[&["y"]], move |b, t| b.apply(op, "op", t))
    },
    own: || {
        let mut out = own("prelu", Prelu, 1e-5);
        out.extend(own("l2_norm", L2Norm::default(), 2e-5));
        out
    },
};

fn own(name: &'static str, op: impl Op + Copy + 'static, tolerance: f64) -> Vec<Own> {
    let case = |shape: Shape| {
        let weights = Shape::vector(shape.c);
        let label = format!("{name} {shape}");
        let case = OpCase {
            batch: shape.n,
            inputs: vec![
                TestInput::map("x", shape, TestInput::random(shape, &label, 1.0)),
                TestInput::param("weight", weights, Format::Map, TestInput::random(weights, "weight", 1.0)),
            ],
            upstream: vec![TestInput::random(shape, "upstream", 1.0)],
            backward: true,
            build: Box::new(move |b, t| b.apply(op, "op", t)),
            name: label,
        };
        // The direction of a single value does not change with its size: there is nothing to differentiate.
        let differences = (shape.c > 1).then_some((5, 3e-3, 2e-2));
        Own { op: name, case, tolerance, differences }
    };
    SHAPES.map(case).into_iter().collect()
}
