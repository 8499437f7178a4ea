//! channel_shuffle, upsample_nearest: x -> y.

use super::{Adapter, Own, unary};
use crate::ops::channel_shuffle::ChannelShuffle;
use crate::ops::upsample_nearest::UpsampleNearest;
use crate::plan::{Op, Shape};
use crate::testing::{OpCase, TestInput};

pub static ADAPTER: Adapter = Adapter {
    ops: &["channel_shuffle", "upsample_nearest"],
    prepare: |file| {
        if file.op == "channel_shuffle" {
            return unary(file, ChannelShuffle { groups: file.number("groups")? });
        }
        unary(file, UpsampleNearest { scale: file.number("scale")? })
    },
    own: || {
        let mut out = Vec::new();
        for (n, h, w, c, groups) in [(1, 1, 1, 2, 2), (3, 4, 5, 33, 3), (2, 3, 3, 12, 4)] {
            let shape = Shape::new(n, h, w, c);
            out.push(case("channel_shuffle", ChannelShuffle { groups }, shape, shape));
            let scale = groups - 1;
            let larger = Shape { h: h * scale, w: w * scale, ..shape };
            out.push(case("upsample_nearest", UpsampleNearest { scale }, shape, larger));
        }
        out
    },
};

fn case(name: &'static str, op: impl Op + Copy + 'static, shape: Shape, output: Shape) -> Own {
    let label = format!("{name} {shape} -> {output}");
    let case = OpCase {
        batch: shape.n,
        inputs: vec![TestInput::map("x", shape, TestInput::random(shape, &label, 1.0))],
        upstream: vec![TestInput::random(output, "upstream", 1.0)],
        backward: true,
        build: Box::new(move |b, t| b.apply(op, "op", t)),
        name: label,
    };
    Own { op: name, case, tolerance: 1e-6, differences: Some((5, 1e-2, 1e-2)) }
}
