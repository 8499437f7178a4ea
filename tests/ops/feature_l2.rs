//! feature_l2, bernoulli_kl and bce_with_logits: losses that start the backward pass themselves.
use autobidet::ops::batch_norm2d::BatchNorm2d;
use autobidet::ops::bce_with_logits::BceWithLogits;
use autobidet::ops::bernoulli_kl::BernoulliKl;
use autobidet::ops::feature_l2::FeatureL2;
use autobidet::plan::{Builder, Format, Shape, TensorId};
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

/// As the specification writes it, in f64.
fn divergence(f: f32, bounded: bool) -> f64 {
    let a = if bounded { (f as f64).tanh() } else { f as f64 };
    let q = ((a + 1.0) / 2.0).clamp(1e-4, 1.0 - 1e-4);
    q * q.ln() + (1.0 - q) * (1.0 - q).ln() + std::f64::consts::LN_2
}

#[test]
fn bernoulli_kl_is_the_divergence_from_fair_coins() {
    let gpu = test_gpu().unwrap();
    for (n, weighted, bounded) in [
        (1, false, vec![]),
        (3, false, vec![true, false, true]),
        (3, true, vec![false, true]),
        (2, true, vec![true, true, true]),
    ] {
        let mut inputs = maps(n);
        // Mostly inside the clip, for the differences; some values of any size.
        inputs.iter_mut().for_each(|i| i.data.iter_mut().for_each(|v| *v *= 0.25));
        inputs[0].data[..4].copy_from_slice(&[1.0, -7.0, 100.0, 0.9999]);
        let w: Vec<f32> = (0..n).map(|i| if weighted { 0.1 * (i + 1) as f32 } else { 1.0 }).collect();
        let mut want = 0f64;
        for (k, f) in inputs.iter().enumerate() {
            let bounded = bounded.get(k).copied().unwrap_or(false);
            for (image, w) in f.data.chunks(f.data.len() / n as usize).zip(&w) {
                let sum: f64 = image.iter().map(|v| divergence(*v, bounded)).sum();
                want += *w as f64 * sum / image.len() as f64 / 3.0 / n as f64;
            }
        }
        if weighted {
            inputs.push(weights(w));
        }
        let op = BernoulliKl { bounded, ..Default::default() };
        let clipped = !op.bounded.first().copied().unwrap_or(false);
        let case = loss_case("bernoulli_kl", inputs, |b, t| b.apply(op.clone(), "kl", t));
        let (out, _) = case.check(gpu.as_ref(), 1e-5).unwrap();
        assert!((out.outputs[0][0] as f64 / want - 1.0).abs() < 1e-5, "{} {want}", out.outputs[0][0]);
        case.finite_difference(5, 0.1, 3e-2).unwrap();
        // Nothing comes back from where the probability is clipped, and nothing that is not finite.
        let d = out.gradients[0].as_ref().unwrap();
        assert!(d[1] == 0.0 && d[2] == 0.0 && d[0].is_finite(), "{:?}", &d[..4]);
        assert!((d[0] == 0.0 && d[3] == 0.0) == clipped, "{:?}", &d[..4]);
    }
}

/// For values near 0 the divergence is half of the mean square.
#[test]
fn near_zero_the_divergence_is_half_the_mean_square() {
    let shape = Shape::new(2, 4, 4, 8);
    let small = TestInput::map("f", shape, TestInput::random(shape, "f", 0.02));
    let run = |case: OpCase<'_>| case.run(&autobidet::testing::TestDevice::Cpu).unwrap().outputs[0][0];
    let square = run(loss_case("l2", vec![small.clone()], |b, t| b.apply(FeatureL2::default(), "l2", t)));
    let kl = run(loss_case("kl", vec![small], |b, t| b.apply(BernoulliKl::default(), "kl", t)));
    assert!((kl / (0.5 * square) - 1.0).abs() < 5e-3, "{kl} {square}");
}

/// What the information-bottleneck term reaches behind a batch norm (docs/method.md, section 2.3): in the batch form gamma
/// and beta, and nothing before it.
#[test]
fn what_the_mean_square_of_a_batch_norm_reaches() {
    let (shape, planes) = (Shape::new(3, 6, 5, 7), Shape::new(1, 1, 2, 7));
    let run = |w: Option<[f32; 3]>, term: fn(&mut Builder, &[TensorId]) -> autobidet::Result<Vec<TensorId>>| {
        let running = TestInput::random(planes, "running", 0.1).iter().map(|v| 1.0 + v.abs()).collect();
        let mut inputs = vec![
            map("x", shape),
            TestInput::param("affine", planes, Format::Map, TestInput::random(planes, "affine", 0.5)),
            TestInput::param("running", planes, Format::Map, running).no_grad(),
        ];
        inputs.extend(w.map(|w| weights(w.to_vec())));
        let case = loss_case("norm", inputs, move |b, t| {
            let y = b.apply1(BatchNorm2d::default(), "bn", &t[..3])?;
            let mut of = vec![y];
            of.extend(t.get(3));
            term(b, &of)
        });
        let out = case.run(&autobidet::testing::TestDevice::Cpu).unwrap();
        let size = |i: usize| out.gradients[i].as_ref().unwrap().iter().fold(0f32, |m, v| m.max(v.abs()));
        (out.outputs[0][0], size(0), size(1), out.gradients[0].clone())
    };
    let square: fn(&mut Builder, &[TensorId]) -> _ = |b, t| b.apply(FeatureL2::default(), "l2", t);
    let divergence: fn(&mut Builder, &[TensorId]) -> _ = |b, t| b.apply(BernoulliKl::default(), "kl", t);
    // The size of a gradient that reaches x: that of gamma over the values of a channel.
    let values = (shape.pixels()) as f32;
    let (loss, d_x, d_affine, gradient) = run(None, square);
    assert!(d_affine > 1e-2 && d_x < 1e-4 * d_affine / values, "{d_x} {d_affine}");
    // Equal weights of the images are the batch form.
    assert_eq!(run(Some([1.0; 3]), square), (loss, d_x, d_affine, gradient));
    let (tenth, d_x, _, _) = run(Some([0.1; 3]), square);
    assert!((tenth / (0.1 * loss) - 1.0).abs() < 1e-6 && d_x < 1e-5 * d_affine / values, "{tenth} {loss} {d_x}");
    // Unequal ones reach further, and so does a term that is not of second order.
    let (_, d_x, d_affine, _) = run(Some([0.07, 0.1, 0.09]), square);
    assert!(d_x > 1e-2 * d_affine / values, "{d_x} {d_affine}");
    let (_, d_x, d_affine, _) = run(None, divergence);
    assert!(d_x > 1e-2 * d_affine / values, "{d_x} {d_affine}");
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
    let mut inputs = maps(2);
    inputs.push(weights(vec![1.0; 3]));
    refused("bernoulli_kl: weights 2x1x1x1, not sliced, got weights 3x1x1x1", inputs, |b, t| {
        b.apply(BernoulliKl::default(), "kl", t)
    });
    refused("bernoulli_kl: at least one map", vec![map("x", Shape::new(1, 1, 1, 2))], |b, _| {
        b.apply(BernoulliKl::default(), "kl", &[])
    });
    let pair = vec![map("x", Shape::new(1, 1, 1, 2)), map("t", Shape::new(1, 1, 1, 3))];
    refused("bce_with_logits: logits and targets of one shape", pair, |b, t| {
        b.apply(BceWithLogits::default(), "bce", t)
    });
}
