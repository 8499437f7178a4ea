//! Weights and activations of a few bits: dorefa_weight, dorefa_activation, twn_weight.

use autobidet::ops::conv2d::Conv2d;
use autobidet::ops::dorefa_activation::DorefaActivation;
use autobidet::ops::dorefa_weight::DorefaWeight;
use autobidet::ops::feature_l2::FeatureL2;
use autobidet::ops::twn_weight::{Granularity, TwnWeight};
use autobidet::plan::{Builder, Format, Op, Shape, TensorId};
use autobidet::testing::{OpCase, TestDevice, TestInput, test_gpu};

use super::case_file::{GRID, map, op_case, refused};

/// KH, KW, C, O.
const WEIGHTS: [Shape; 5] = [
    Shape::new(1, 1, 1, 1),
    Shape::new(1, 1, 3, 5),
    Shape::new(3, 3, 31, 33),
    Shape::new(5, 2, 4, 4),
    Shape::new(1, 1, 200, 129),
];

fn weights(name: &str, shape: Shape, data: Vec<f32>) -> TestInput {
    TestInput::param(name, shape, Format::Weight, data)
}

fn weight_case<'a>(shape: Shape, data: Vec<f32>, op: impl Op + Copy + 'static) -> OpCase<'a> {
    OpCase {
        name: format!("{op:?} of {shape}"),
        batch: 1,
        inputs: vec![weights("weight", shape, data)],
        upstream: vec![TestInput::random(shape, "upstream", 1.0)],
        backward: true,
        build: Box::new(move |b, t| b.apply(op, "q", t)),
    }
}

/// y by its definition in double precision, and how far r is from the middle of a step.
fn dorefa(w: f32, largest: f32, bits: u32) -> (f64, f64) {
    let levels = ((1 << bits) - 1) as f64;
    let r = levels * ((w as f64).tanh() / (2.0 * (largest as f64).tanh()) + 0.5);
    (2.0 * r.round_ties_even() / levels - 1.0, (r - r.floor() - 0.5).abs())
}

#[test]
fn dorefa_weight_on_a_grid_of_shapes() {
    let gpu = test_gpu().unwrap();
    for shape in WEIGHTS {
        for bits in [2, 4, 8] {
            // Where a last bit of tanh decides between two steps, the middle of one is taken instead.
            let mut data = TestInput::random(shape, "weight", 0.7);
            let largest = data.iter().fold(0f32, |m, v| m.max(v.abs()));
            for v in data.iter_mut().filter(|v| dorefa(**v, largest, bits).1 < 1e-3) {
                let step = 2.0 * largest.tanh() / ((1 << bits) - 1) as f32;
                *v = (v.tanh() * (1.0 - 0.5 * step)).atanh();
            }
            let sure: Vec<bool> = data.iter().map(|v| dorefa(*v, largest, bits).1 >= 1e-4).collect();
            assert!(sure.iter().filter(|s| !**s).count() * 100 <= data.len());
            let case = weight_case(shape, data, DorefaWeight { bits });
            for device in [Some(&TestDevice::Cpu), gpu.as_ref()].into_iter().flatten() {
                let out = case.run(device).unwrap();
                for ((y, w), sure) in out.outputs[0].iter().zip(&case.inputs[0].data).zip(&sure) {
                    let want = dorefa(*w, largest, bits).0;
                    assert!(!sure || (*y as f64 - want).abs() < 1e-6, "{} of {w}: {y}, not {want}", case.name);
                }
            }
        }
    }
}

/// With steps too small to be seen the derivative of tanh(w) / max |tanh w| is that of the operation, the maximum's own
/// share included.
#[test]
fn dorefa_weight_gradient() {
    let gpu = test_gpu().unwrap();
    for shape in WEIGHTS {
        let mut data: Vec<f32> = TestInput::random(shape, "weight", 0.3).iter().map(|v| v.clamp(-0.8, 0.8)).collect();
        data[shape.len() as usize / 2] = -0.9;
        let case = weight_case(shape, data, DorefaWeight { bits: 16 });
        case.check(gpu.as_ref(), 1e-4).unwrap();
        if shape.len() < 100 {
            case.finite_difference(100, 1e-2, 1e-2).unwrap();
        }
    }
    // Two weights share the maximum: half of its gradient each, as PyTorch has it. t = (a, -a, b), y = t / a.
    let case = OpCase {
        upstream: vec![vec![0.5, 2.0, -1.0]],
        ..weight_case(Shape::new(1, 1, 3, 1), vec![0.6, -0.6, 0.2], DorefaWeight { bits: 16 })
    };
    let (a, b) = (0.6f64.tanh(), 0.2f64.tanh());
    let s = (0.5 * a - 2.0 * a - b) / (2.0 * a * a);
    let want = [(1.0 - a * a) * (0.5 / a - s), (1.0 - a * a) * (2.0 / a + s), -(1.0 - b * b) / a];
    let (out, _) = case.check(gpu.as_ref(), 1e-4).unwrap();
    for (g, w) in out.gradients[0].as_ref().unwrap().iter().zip(want) {
        assert!((*g as f64 - w).abs() < 1e-5, "{g}, not {w}");
    }
}

#[test]
fn dorefa_weight_of_zeros_and_of_large_values() {
    let gpu = test_gpu().unwrap();
    let shape = Shape::new(1, 1, 2, 3);
    let (out, _) = weight_case(shape, vec![0.0; 6], DorefaWeight { bits: 4 }).check(gpu.as_ref(), 1e-6).unwrap();
    assert!(out.outputs[0].iter().all(|y| (y - 1.0 / 15.0).abs() < 1e-6), "{:?}", out.outputs);
    assert_eq!(out.gradients[0], Some(vec![0.0; 6]));
    let data = vec![1e4, -1e4, 50.0, 0.5, 1e-20, -80.0];
    let (out, _) = weight_case(shape, data, DorefaWeight { bits: 2 }).check(gpu.as_ref(), 1e-5).unwrap();
    let want = [1.0, -1.0, 1.0, 1.0 / 3.0, 1.0 / 3.0, -1.0];
    assert!(out.outputs[0].iter().zip(want).all(|(y, w)| (y - w).abs() < 1e-6), "{:?}", out.outputs);
    assert!(out.gradients[0].iter().flatten().all(|g| g.is_finite()));
}

#[test]
fn dorefa_activation_on_a_grid_of_shapes() {
    let gpu = test_gpu().unwrap();
    for shape in GRID {
        for bits in [1, 2, 4] {
            let op = DorefaActivation { bits };
            let case = op_case("dorefa_activation", vec![map("x", shape)], shape, move |b, t| b.apply(op, "q", t));
            let (out, _) = case.check(gpu.as_ref(), 1e-6).unwrap();
            let levels = ((1 << bits) - 1) as f32;
            for (y, x) in out.outputs[0].iter().zip(&case.inputs[0].data) {
                let want = (levels * x.clamp(0.0, 1.0)).round_ties_even() / levels;
                assert!((y - want).abs() < 1e-6, "{bits} bits of {x}: {y}, not {want}");
            }
            let upstream = case.upstream[0].iter().zip(&case.inputs[0].data);
            let want: Vec<f32> = upstream.map(|(g, x)| if (0.0..=1.0).contains(x) { *g } else { 0.0 }).collect();
            assert_eq!(out.gradients[0], Some(want));
        }
    }
    let shape = Shape::new(2, 3, 2, 5);
    let mut x = map("x", shape);
    let away = |v: f32| if v.abs() < 0.02 || (v - 1.0).abs() < 0.02 { v + 0.05 } else { v };
    x.data.iter_mut().for_each(|v| *v = away(*v));
    let op = DorefaActivation { bits: 16 };
    let case = op_case("dorefa_activation", vec![x], shape, move |b, t| b.apply(op, "q", t));
    case.finite_difference(60, 1e-2, 1e-2).unwrap();
    // The bounds belong to the inside; halves go to the even neighbour.
    let ends = vec![0.0, 1.0, 0.5, -1e-7, 1.000_001, 1e9, -1e9];
    let shape = Shape::new(1, 1, 1, 7);
    let op = DorefaActivation { bits: 1 };
    let case = OpCase {
        upstream: vec![vec![1.0; 7]],
        ..op_case("ends", vec![TestInput::map("x", shape, ends)], shape, move |b, t| b.apply(op, "q", t))
    };
    let (out, _) = case.check(gpu.as_ref(), 0.0).unwrap();
    assert_eq!(out.outputs[0], [0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
    assert_eq!(out.gradients[0], Some(vec![1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]));
}

#[test]
fn twn_weight_on_a_grid_of_shapes() {
    let gpu = test_gpu().unwrap();
    for shape in WEIGHTS {
        for granularity in [Granularity::Filter, Granularity::Layer] {
            for threshold in [0.0, 0.7, 1.5] {
                let data = TestInput::random(shape, "weight", 0.5);
                let case = weight_case(shape, data, TwnWeight { threshold, granularity });
                let (out, _) = case.check(gpu.as_ref(), 1e-5).unwrap();
                let group = match granularity {
                    Granularity::Filter => (shape.n * shape.h * shape.w) as usize,
                    Granularity::Layer => shape.len() as usize,
                };
                for (w, y) in case.inputs[0].data.chunks(group).zip(out.outputs[0].chunks(group)) {
                    let delta = threshold as f64 * w.iter().map(|v| v.abs() as f64).sum::<f64>() / group as f64;
                    let above: Vec<f64> = w.iter().map(|v| v.abs() as f64).filter(|v| *v > delta).collect();
                    let alpha = above.iter().sum::<f64>() / above.len().max(1) as f64;
                    for (y, w) in y.iter().zip(w) {
                        let w = *w as f64;
                        let want = if w.abs() > delta { alpha * w.signum() } else { 0.0 };
                        assert!(
                            (*y as f64 - want).abs() < 1e-5 * alpha.max(1e-3),
                            "{} of {w}: {y}, not {want}",
                            case.name
                        );
                    }
                }
                assert_eq!(out.gradients[0].as_ref(), Some(&case.upstream[0]), "the gradient passes unchanged");
            }
        }
    }
    // Nothing is above: all zero, and finite.
    let case = weight_case(Shape::new(1, 1, 3, 5), vec![0.0; 15], TwnWeight::default());
    assert_eq!(case.check(gpu.as_ref(), 0.0).unwrap().0.outputs[0], [0.0; 15]);
}

/// Quantized weights go into a convolution: their padding must be 0, and gradients of two uses must add up.
#[test]
fn quantized_weights_in_convolutions() {
    type Quantize = fn(&mut Builder, TensorId) -> autobidet::Result<TensorId>;
    let all: [Quantize; 2] =
        [|b, w| b.apply1(DorefaWeight { bits: 16 }, "q", &[w]), |b, w| b.apply1(TwnWeight::default(), "q", &[w])];
    let gpu = test_gpu().unwrap();
    let (x, w) = (Shape::new(2, 4, 5, 3), Shape::new(3, 3, 3, 5));
    let conv = Conv2d { kernel: [3, 3], stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };
    for quantize in all {
        let inputs = || vec![map("x", x), weights("weight", w, TestInput::random(w, "weight", 0.4))];
        let convolve = move |b: &mut Builder, t: &[TensorId]| {
            let q = quantize(b, t[1])?;
            b.apply(conv, "conv", &[t[0], q])
        };
        let plain = op_case("conv", inputs(), x.with_c(5), convolve);
        let (out, _) = plain.check(gpu.as_ref(), 1e-4).unwrap();
        let want: f64 = out.outputs[0].iter().map(|v| (*v as f64).powi(2)).sum::<f64>() / out.outputs[0].len() as f64;
        // The mean square reads the pad lanes too.
        let loss = OpCase {
            upstream: Vec::new(),
            ..op_case("loss", inputs(), Shape::vector(1).with_n(2), move |b, t| {
                let y = convolve(b, t)?;
                b.apply(FeatureL2::default(), "l2", &y)
            })
        };
        let (out, _) = loss.check(gpu.as_ref(), 1e-4).unwrap();
        assert!((out.outputs[0][0] as f64 / want - 1.0).abs() < 1e-5);
        // The weights are used quantized and as they are.
        let twice = op_case("twice", inputs(), x.with_c(5), move |b, t| {
            let y = b.apply1(conv, "plain", &[t[0], t[1]])?;
            let z = convolve(b, t)?[0];
            b.apply(autobidet::ops::add::Add, "sum", &[y, z])
        });
        let (both, _) = twice.check(gpu.as_ref(), 1e-4).unwrap();
        let alone = op_case("alone", inputs(), x.with_c(5), move |b, t| b.apply(conv, "plain", t));
        let gradient = |case: &OpCase| case.run(&TestDevice::Cpu).unwrap().gradients[1].clone().unwrap();
        let want = gradient(&plain).iter().zip(gradient(&alone)).map(|(a, b)| a + b).collect::<Vec<f32>>();
        let difference = autobidet::testing::compare(both.gradients[1].as_ref().unwrap(), &want);
        assert!(difference.error < 1e-5, "{difference:?}");
    }
}

#[test]
fn quantization_refusals() {
    let (shape, x) = (Shape::new(1, 2, 2, 4), map("x", Shape::new(1, 2, 2, 4)));
    let one = || vec![x.clone()];
    refused("expected dorefa_activation: 1 to 16 bits, got 0", one(), |b, t| {
        b.apply(DorefaActivation { bits: 0 }, "q", t)
    });
    refused("dorefa_activation: one input, got 2", vec![x.clone(), map("z", shape)], |b, t| {
        b.apply(DorefaActivation { bits: 4 }, "q", t)
    });
    let w = || vec![x.clone(), weights("w", shape, vec![0.0; 16])];
    for bits in [0, 1, 17, u32::MAX] {
        let says = format!("q: expected dorefa_weight: 2 to 16 bits, got {bits}");
        refused(&says, w(), move |b, t| b.apply(DorefaWeight { bits }, "q", &t[1..]));
    }
    refused("q: expected dorefa_weight: weights (KH, KW, C, O)", one(), |b, t| {
        b.apply(DorefaWeight { bits: 4 }, "q", t)
    });
    refused("q: expected twn_weight: weights (KH, KW, C, O)", one(), |b, t| b.apply(TwnWeight::default(), "q", t));
    for threshold in [-0.1, f32::NAN, f32::INFINITY] {
        refused("twn_weight: a threshold of at least 0", w(), move |b, t| {
            b.apply(TwnWeight { threshold, ..TwnWeight::default() }, "q", &t[1..])
        });
    }
}
