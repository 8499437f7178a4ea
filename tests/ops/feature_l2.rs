//! feature_l2 and bce_with_logits: losses that start the backward pass themselves.
use autobidet::ops::bce_with_logits::BceWithLogits;
use autobidet::ops::feature_l2::FeatureL2;
use autobidet::plan::{Format, Shape};
use autobidet::testing::{OpCase, TestInput, test_gpu};

use super::case_file::{cases, loss_case, map, refused};

/// One weight an image.
fn weights(values: Vec<f32>) -> TestInput {
    TestInput::param("weights", Shape::new(values.len() as u32, 1, 1, 1), Format::Flat, values).no_grad()
}

/// Three scalars, of which a loss takes one.
fn hyper() -> TestInput {
    TestInput::param("hyper", Shape::vector(3), Format::Flat, vec![7.0, 0.5, 9.0]).no_grad()
}

fn maps(n: u32) -> Vec<TestInput> {
    let shapes = [Shape::new(n, 19, 21, 33), Shape::new(n, 3, 3, 5), Shape::new(n, 1, 1, 1)];
    shapes.iter().enumerate().map(|(k, s)| map(&format!("f{k}"), *s)).collect()
}

#[test]
fn feature_l2_is_the_mean_of_mean_squares() {
    let gpu = test_gpu().unwrap();
    for (n, weighted) in [(1, false), (3, false), (3, true)] {
        let mut inputs = maps(n);
        let w: Vec<f32> = (0..n).map(|i| if weighted { 0.1 * (i + 1) as f32 } else { 1.0 }).collect();
        let mut want = 0f64;
        for f in &inputs {
            for (image, w) in f.data.chunks(f.data.len() / n as usize).zip(&w) {
                let square: f64 = image.iter().map(|v| (*v as f64).powi(2)).sum();
                want += *w as f64 * square / image.len() as f64 / 3.0 / n as f64;
            }
        }
        if weighted {
            inputs.push(weights(w));
        }
        let case = loss_case("feature_l2", inputs, |b, t| b.apply(FeatureL2::default(), "l2", t));
        let (out, _) = case.check(gpu.as_ref(), 1e-6).unwrap();
        assert!((out.outputs[0][0] as f64 / want - 1.0).abs() < 1e-6, "{} {want}", out.outputs[0][0]);
        case.finite_difference(5, 0.1, 2e-2).unwrap();
    }
}

/// The weight of a loss multiplies its gradient, not its value.
#[test]
fn losses_are_scaled_by_the_host() {
    let gpu = test_gpu().unwrap();
    let feature = |scaled: bool| {
        let mut inputs = maps(2);
        inputs.push(hyper());
        loss_case("scaled", inputs, move |b, t| {
            let op = FeatureL2 { scale: scaled.then_some((t[3], 1)) };
            b.apply(op, "l2", &t[..3])
        })
    };
    let bce = |scaled: bool| {
        let shape = Shape::new(2, 1, 1, 5);
        let inputs = vec![map("x", shape), map("t", shape).no_grad(), hyper()];
        loss_case("scaled", inputs, move |b, t| {
            let op = BceWithLogits { scale: scaled.then_some((t[2], 1)) };
            b.apply(op, "bce", &t[..2])
        })
    };
    let pairs: [(OpCase, OpCase); 2] = [(feature(false), feature(true)), (bce(false), bce(true))];
    for (one, half) in pairs {
        let (one, _) = one.check(gpu.as_ref(), 1e-6).unwrap();
        let (half, _) = half.check(gpu.as_ref(), 1e-6).unwrap();
        assert_eq!(one.outputs, half.outputs);
        for (a, b) in one.gradients.iter().flatten().zip(half.gradients.iter().flatten()) {
            assert!(a.iter().zip(b).all(|(a, b)| 0.5 * a == *b));
        }
    }
}

#[test]
fn bce_with_logits_on_a_grid_of_shapes() {
    let gpu = test_gpu().unwrap();
    for shape in [Shape::new(3, 1, 1, 1), Shape::new(2, 5, 7, 3), Shape::new(2, 9, 9, 33)] {
        for format in [Format::Map, Format::Flat] {
            let targets: Vec<f32> = (0..shape.len()).map(|i| (i % 3) as f32 / 2.0).collect();
            let mut x = TestInput { format, ..map("x", shape) };
            x.data[0] = 200.0; // exp overflows
            let terms = x.data.iter().zip(&targets).map(|(x, t)| {
                let (x, t) = (*x as f64, *t as f64);
                x.max(0.0) - x * t + (-x.abs()).exp().ln_1p()
            });
            let want = terms.sum::<f64>() / shape.len() as f64;
            let t = TestInput { format, ..TestInput::map("t", shape, targets).no_grad() };
            let case = loss_case("bce", vec![x, t], |b, t| b.apply(BceWithLogits::default(), "bce", t));
            let (out, _) = case.check(gpu.as_ref(), 2e-6).unwrap();
            assert!((out.outputs[0][0] as f64 / want - 1.0).abs() < 1e-6);
            case.finite_difference(5, 0.1, 1e-2).unwrap();
        }
    }
}

#[test]
fn loss_conformance() {
    for f in cases("feature_l2") {
        let names: Vec<String> = (0..).map(|k| format!("f{k}")).take_while(|n| f.has(&format!("in.{n}"))).collect();
        let mut inputs: Vec<TestInput> = names.iter().map(|n| f.map(n)).collect();
        if f.has("in.weights") {
            inputs.push(weights(f.values("in.weights")));
        }
        let gradients: Vec<[&str; 1]> = names.iter().map(|n| [n.as_str()]).collect();
        let gradients: Vec<&[&str]> = gradients.iter().map(|g| &g[..]).collect();
        let case = f.op_case(inputs, |b, t| b.apply(FeatureL2::default(), "l2", t));
        f.check(&case, &[&["loss"]], &gradients);
    }
    for f in cases("bce_with_logits") {
        let values = |name: &str| {
            let data = f.values(&format!("in.{name}"));
            TestInput::map(name, Shape::new(data.len() as u32, 1, 1, 1), data)
        };
        let inputs = vec![values("logits"), values("targets").no_grad()];
        let case = f.op_case(inputs, |b, t| b.apply(BceWithLogits::default(), "bce", t));
        f.check(&case, &[&["loss"]], &[&["logits"]]);
    }
}

#[test]
fn loss_refusals() {
    let mut inputs = maps(2);
    inputs.push(weights(vec![1.0; 3]));
    refused("feature_l2: weights 2x1x1x1, not sliced, got weights 3x1x1x1", inputs, |b, t| {
        b.apply(FeatureL2::default(), "l2", t)
    });
    let mut inputs = maps(2);
    inputs.push(hyper());
    refused("scale: element 3 of a dense float tensor", inputs, |b, t| {
        b.apply(FeatureL2 { scale: Some((t[3], 3)) }, "l2", &t[..3])
    });
    let pair = vec![map("x", Shape::new(1, 1, 1, 2)), map("t", Shape::new(1, 1, 1, 3))];
    refused("bce_with_logits: logits and targets of one shape", pair, |b, t| {
        b.apply(BceWithLogits::default(), "bce", t)
    });
}
