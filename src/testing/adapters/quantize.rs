//! dorefa_weight, twn_weight: weight -> weight; dorefa_activation: x -> y.

use super::{Adapter, Inputs, Own, Prepared, own_unary, unary};
use crate::Result;
use crate::ops::dorefa_activation::DorefaActivation;
use crate::ops::dorefa_weight::DorefaWeight;
use crate::ops::twn_weight::{Granularity, TwnWeight};
use crate::plan::{Format, Op, Shape};
use crate::rng::Counter;
use crate::testing::cases::CaseFile;
use crate::testing::{OpCase, TestInput};

pub static ADAPTER: Adapter = Adapter {
    ops: &["dorefa_weight", "dorefa_activation", "twn_weight"],
    prepare: |file| match file.op.as_str() {
        "dorefa_activation" => unary(file, DorefaActivation { bits: file.number("bits")? }),
        "dorefa_weight" => weight(file, DorefaWeight { bits: file.number("bits")? }),
        _ => {
            let granularity = match file.word("granularity")? {
                "filter" => Granularity::Filter,
                "layer" => Granularity::Layer,
                _ => return Err(file.unknown("granularity")),
            };
            weight(file, TwnWeight { threshold: file.real("threshold")?, granularity })
        }
    },
    own,
};

/// An operation from one weight tensor to another.
fn weight(file: &CaseFile, op: impl Op + Copy + 'static) -> Result<Prepared> {
    let inputs = Inputs { file, list: Vec::new(), names: Vec::new(), batch: 1 };
    inputs.weight(&["weight"])?.run(&[&["weight"]], move |b, t| b.apply(op, "op", t))
}

/// KH, KW, C, O: next to nothing (a weight alone is its own maximum: no gradient), odd channels, several workgroups, more
/// than a block.
const WEIGHTS: [Shape; 4] =
    [Shape::new(1, 1, 2, 1), Shape::new(3, 2, 5, 7), Shape::new(3, 3, 33, 31), Shape::new(1, 1, 130, 260)];

fn own() -> Vec<Own> {
    // Rounding takes the product of two exactly known numbers: all devices step at the same values.
    let mut out = own_unary("dorefa_activation", DorefaActivation { bits: 16 }, 1e-6, 1e-2);
    let coarse = own_unary("dorefa_activation", DorefaActivation { bits: 2 }, 1e-6, 0.0);
    out.extend(coarse.into_iter().map(|c| Own { differences: None, ..c }));
    for shape in WEIGHTS {
        let normal = |scale| TestInput::random(shape, "weight", scale);
        for bits in [2, 4] {
            let case = case("dorefa_weight", shape, between_steps(shape, bits), DorefaWeight { bits });
            out.push(Own { op: "dorefa_weight", case, tolerance: 1e-5, differences: None });
        }
        // Steps so small that differences do not see them, and one weight that stays the largest.
        let mut data: Vec<f32> = normal(0.3).iter().map(|v| v.clamp(-0.8, 0.8)).collect();
        data[shape.len() as usize / 2] = -0.9;
        let fine = case("dorefa_weight", shape, data, DorefaWeight { bits: 16 });
        let differences = Some((12, 1e-2, 2e-2));
        out.push(Own { op: "dorefa_weight", case: fine, tolerance: 1e-4, differences });
        for granularity in [Granularity::Filter, Granularity::Layer] {
            let case = case("twn_weight", shape, normal(0.5), TwnWeight { granularity, ..TwnWeight::default() });
            out.push(Own { op: "twn_weight", case, tolerance: 1e-5, differences: None });
        }
    }
    out
}

fn case(name: &str, shape: Shape, data: Vec<f32>, op: impl Op + Copy + 'static) -> OpCase<'static> {
    OpCase {
        name: format!("{op:?} {shape}"),
        batch: 1,
        inputs: vec![TestInput::param(name, shape, Format::Weight, data)],
        upstream: vec![TestInput::random(shape, "upstream", 1.0)],
        backward: true,
        build: Box::new(move |b, t| b.apply(op, "op", t)),
    }
}

/// Weights that stay clear of the values at which the grid of `bits` steps: there, a last bit decides.
fn between_steps(shape: Shape, bits: u32) -> Vec<f32> {
    let (levels, rng) = (((1 << bits) - 1) as f64, Counter::named(7, "between steps"));
    let largest = 1.5f64.tanh();
    let weight = |i| {
        let step = (rng.uniform(2 * i) as f64 * (levels + 1.0)).floor().min(levels);
        let r = (step + 0.7 * (rng.uniform(2 * i + 1) as f64 - 0.5)) / levels;
        (largest * (2.0 * r.clamp(0.0, 1.0) - 1.0)).atanh() as f32
    };
    let mut out: Vec<f32> = (0..shape.len() as u32).map(weight).collect();
    out[0] = 1.5;
    out
}
