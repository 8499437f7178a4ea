//! Operations inside networks that no case file is about: activation_census, add, gather_heads, gaussian_location,
//! gaussian_latent.

use super::{Adapter, Own, bits, dense};
use crate::ops::activation_census::activation_census;
use crate::ops::add::Add;
use crate::ops::binary_conv2d::InputDomain;
use crate::ops::gather_heads::GatherHeads;
use crate::ops::gaussian_latent::GaussianLatent;
use crate::ops::gaussian_location::GaussianLocation;
use crate::ops::hyper;
use crate::plan::{Format, Shape};
use crate::testing::adapters::Prepared;
use crate::testing::{OpCase, TestInput};

pub static ADAPTER: Adapter = Adapter { ops: &[], prepare: |_| Ok(Prepared::default()), own };

fn own() -> Vec<Own> {
    let mut out = Vec::new();
    for n in [1u32, 3] {
        let map = |name: &str, h, w, c| {
            let shape = Shape::new(n, h, w, c);
            TestInput::map(name, shape, TestInput::random(shape, name, 1.0))
        };
        let upstream = |shape| vec![TestInput::random(shape, "upstream", 1.0)];
        let sum = OpCase {
            name: format!("add, {n} images"),
            batch: n,
            inputs: vec![map("a", 5, 3, 33), map("b", 5, 3, 33)],
            upstream: upstream(Shape::new(n, 5, 3, 33)),
            backward: true,
            build: Box::new(|b, t| b.apply(Add, "op", t)),
        };
        out.push(Own { op: "add", case: sum, tolerance: 0.0, differences: Some((5, 1e-2, 1e-2)) });
        let census = OpCase {
            name: format!("activation_census, {n} images"),
            batch: n,
            inputs: vec![map("x", 5, 3, 33).no_grad()],
            upstream: Vec::new(),
            backward: false,
            build: Box::new(|b, t| Ok(vec![activation_census(b, "op", t[0], InputDomain::Sign)?])),
        };
        out.push(Own { op: "activation_census", case: census, tolerance: 0.0, differences: None });
        // Boxes a pixel: 4, 6 and 1.
        let heads = OpCase {
            name: format!("gather_heads, {n} images"),
            batch: n,
            inputs: vec![map("h0", 5, 3, 12), map("h1", 2, 2, 18), map("h2", 1, 1, 3)],
            upstream: upstream(Shape::new(n, 1, 60 + 24 + 1, 3)),
            backward: true,
            build: Box::new(|b, t| b.apply(GatherHeads { values: 3 }, "op", t)),
        };
        out.push(Own { op: "gather_heads", case: heads, tolerance: 0.0, differences: Some((5, 1e-2, 1e-2)) });
        let row = |c| Shape::new(n, 1, 70, c);
        let mut numbers = vec![0f32; hyper::LEN as usize];
        numbers[hyper::NOISE as usize] = 0.5;
        numbers[hyper::SEED as usize] = f32::from_bits(9);
        let numbers = dense("hyper", Shape::vector(hyper::LEN), Format::Flat, false, numbers);
        let raw =
            TestInput { grad: true, ..dense("raw", row(8), Format::Flat, true, TestInput::random(row(8), "raw", 1.0)) };
        let sampled = OpCase {
            name: format!("gaussian_location, {n} images"),
            batch: n,
            inputs: vec![
                raw,
                dense("targets", row(1), Format::FlatI32, true, bits((0..n * 70).map(|i| i as i32 % 3))),
                numbers.clone(),
            ],
            upstream: upstream(row(4)),
            backward: true,
            build: Box::new(|b, t| b.apply(GaussianLocation { hyper: t[2] }, "op", &t[..2])),
        };
        out.push(Own { op: "gaussian_location", case: sampled, tolerance: 1e-5, differences: Some((8, 1e-2, 1e-2)) });
        let latent = OpCase {
            name: format!("gaussian_latent, {n} images"),
            batch: n,
            inputs: vec![map("latent", 5, 3, 10), numbers],
            // The weight of the divergence, as its part in the sum of the outputs.
            upstream: vec![TestInput::random(Shape::new(n, 5, 3, 5), "upstream", 1.0), vec![0.5]],
            backward: true,
            build: Box::new(|b, t| {
                b.apply(GaussianLatent { hyper: t[1], kl_weight: 0.5, sampled: true }, "op", &t[..1])
            }),
        };
        out.push(Own { op: "gaussian_latent", case: latent, tolerance: 2e-5, differences: Some((8, 3e-2, 1e-2)) });
    }
    out
}
