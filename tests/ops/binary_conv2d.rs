//! The packed convolution: conformance, exact integers against plain loops, twins against the device, gradients.

use autobidet::ops::binary_conv2d::{ActivationGrad, BinaryConv2d, InputDomain, PadValue, WeightScale};
use autobidet::plan::{Builder, Format, Init, Mode, ParamLayout, PlanLimits, Shape};
use autobidet::testing::{OpCase, TestInput, compare, test_gpu};

use super::case_file::cases;
use super::conv2d::weight;

#[test]
fn binary_conv2d_conformance() {
    for c in cases("binary_conv2d") {
        let text = |key: &str| c.attrs[key].as_str().unwrap().to_string();
        let op = BinaryConv2d {
            kernel: c.pair("kernel"),
            stride: c.pair("stride"),
            padding: c.pair("padding"),
            dilation: c.pair("dilation"),
            groups: c.u32("groups"),
            pad: if c.f32("pad_value") == -1.0 { PadValue::MinusOne } else { PadValue::Zero },
            domain: if text("input_domain") == "sign" { InputDomain::Sign } else { InputDomain::ZeroOne },
            activation_grad: match text("activation_grad").as_str() {
                "ste" => ActivationGrad::Ste,
                _ => ActivationGrad::ApproxSign,
            },
            weight_scale: match text("weight_scale").as_str() {
                "none" => WeightScale::None,
                _ => WeightScale::FilterMeanAbs,
            },
        };
        let case = OpCase {
            name: c.name.clone(),
            batch: c.shape("in.x").n,
            inputs: vec![c.map("x"), weight(&c)],
            upstream: vec![c.values("gout.y")],
            backward: true,
            build: Box::new(move |b, t| b.apply(op, "conv", t)),
        };
        c.check(&case, &[&["y"]], &[&["x"], &["weight"]]);
    }
}

fn case(op: BinaryConv2d, x: Shape, out: u32) -> OpCase<'static> {
    let w = Shape::new(op.kernel[0], op.kernel[1], x.c, out);
    let mut data = TestInput::random(x, "x", 1.0);
    if op.domain == InputDomain::ZeroOne {
        data.iter_mut().for_each(|v| *v = v.max(0.0));
    }
    let [p, q] = [0, 1].map(|i| {
        let extent = [x.h, x.w][i];
        (extent + 2 * op.padding[i] - op.dilation[i] * (op.kernel[i] - 1) - 1) / op.stride[i] + 1
    });
    OpCase {
        name: format!("{op:?} {x} -> {out}"),
        batch: x.n,
        inputs: vec![
            TestInput::map("x", x, data),
            TestInput::param("w", w, Format::Weight, TestInput::random(w, "w", 0.1)),
        ],
        upstream: vec![TestInput::random(Shape::new(x.n, p, q, out), "g", 1.0)],
        backward: true,
        build: Box::new(move |b, t| b.apply(op, "conv", t)),
    }
}

/// The definition: floats of +-1 (or 0 and 1), plain loops; exact, because every partial sum is a small integer.
fn plain(op: &BinaryConv2d, case: &OpCase, out: u32) -> Vec<f32> {
    let x = case.inputs[0].shape;
    let (data, w) = (&case.inputs[0].data, &case.inputs[1].data);
    let taps = op.kernel[0] * op.kernel[1];
    let (p, q) = {
        let g = case.upstream[0].len() as u32 / (x.n * out);
        let q = (x.w + 2 * op.padding[1] - op.dilation[1] * (op.kernel[1] - 1) - 1) / op.stride[1] + 1;
        (g / q, q)
    };
    let activation = |v: f32| match op.domain {
        InputDomain::Sign => {
            if v < 0.0 {
                -1
            } else {
                1
            }
        }
        InputDomain::ZeroOne => {
            if v > 0.0 {
                1
            } else {
                0
            }
        }
    };
    let outside = if op.pad == PadValue::MinusOne { -1 } else { 0 };
    let mut y = Vec::new();
    for n in 0..x.n {
        for o in 0..out {
            for row in 0..p {
                for col in 0..q {
                    let mut sum = 0i32;
                    for c in 0..x.c {
                        for t in 0..taps {
                            let (kh, kw) = (t / op.kernel[1], t % op.kernel[1]);
                            let r = (row * op.stride[0] + kh * op.dilation[0]) as i64 - op.padding[0] as i64;
                            let s = (col * op.stride[1] + kw * op.dilation[1]) as i64 - op.padding[1] as i64;
                            let a = if r < 0 || s < 0 || r >= x.h as i64 || s >= x.w as i64 {
                                outside
                            } else {
                                activation(data[(((n * x.c + c) * x.h + r as u32) * x.w + s as u32) as usize])
                            };
                            let v = w[((o * x.c + c) * taps + t) as usize];
                            sum += if v < 0.0 { -a } else { a };
                        }
                    }
                    y.push(sum as f32);
                }
            }
        }
    }
    y
}

#[test]
fn packed_sums_are_exact_on_a_grid_of_shapes() {
    let gpu = test_gpu().unwrap();
    let op = BinaryConv2d {
        kernel: [3; 2],
        stride: [1; 2],
        padding: [1; 2],
        dilation: [1; 2],
        groups: 1,
        pad: PadValue::MinusOne,
        domain: InputDomain::Sign,
        activation_grad: ActivationGrad::ApproxSign,
        weight_scale: WeightScale::None,
    };
    let one = BinaryConv2d { kernel: [1; 2], padding: [0; 2], ..op };
    let wide = BinaryConv2d { dilation: [2, 3], padding: [2, 3], ..op };
    let two = BinaryConv2d { stride: [2; 2], ..op };
    for domain in [InputDomain::Sign, InputDomain::ZeroOne] {
        for pad in [PadValue::MinusOne, PadValue::Zero] {
            for (op, x, out) in [
                (op, Shape::new(2, 5, 4, 1), 3),
                (op, Shape::new(1, 6, 6, 31), 8),
                (two, Shape::new(2, 7, 5, 33), 5),
                (one, Shape::new(3, 3, 3, 64), 33),
                (wide, Shape::new(2, 9, 8, 100), 6),
                (op, Shape::new(2, 8, 9, 128), 20),
                (two, Shape::new(1, 12, 11, 256), 16),
            ] {
                let op = BinaryConv2d { domain, pad, ..op };
                let c = case(op, x, out);
                let (twin, _) = c.check(gpu.as_ref(), 2e-5).unwrap();
                assert_eq!(twin.outputs[0], plain(&op, &c, out), "{}", c.name);
                if let Some(d) = &gpu {
                    assert_eq!(c.run(d).unwrap().outputs[0], twin.outputs[0], "{}", c.name);
                }
            }
        }
    }
    // A depth over 65,535, where 16-bit sums would overflow.
    let c = case(one, Shape::new(1, 1, 2, 70_001), 4);
    let (twin, _) = c.check(gpu.as_ref(), 2e-5).unwrap();
    assert_eq!(twin.outputs[0], plain(&one, &c, 4));
}

/// A sign has no finite differences: the gradients are compared with the straight-through rule written out in f64.
#[test]
fn gradients_follow_the_straight_through_rule() {
    for (grad, scale) in [
        (ActivationGrad::ApproxSign, WeightScale::FilterMeanAbs),
        (ActivationGrad::Ste, WeightScale::FilterMeanAbs),
        (ActivationGrad::SteOpen, WeightScale::None),
    ] {
        let op = BinaryConv2d {
            kernel: [1; 2],
            stride: [1; 2],
            padding: [0; 2],
            dilation: [1; 2],
            groups: 1,
            pad: PadValue::MinusOne,
            domain: InputDomain::Sign,
            activation_grad: grad,
            weight_scale: scale,
        };
        let (x, out) = (Shape::new(2, 3, 2, 37), 5u32);
        let c = case(op, x, out);
        let got = c.run(&autobidet::testing::TestDevice::Cpu).unwrap();
        let (data, w, g) = (&c.inputs[0].data, &c.inputs[1].data, &c.upstream[0]);
        let pixels = (x.h * x.w) as usize;
        let (ch, n) = (x.c as usize, x.n as usize);
        let sign = |v: f32| if v < 0.0 { -1.0f64 } else { 1.0 };
        let alpha: Vec<f64> = (0..out as usize)
            .map(|o| match scale {
                WeightScale::None => 1.0,
                // Xnor has a test of its own.
                WeightScale::FilterMeanAbs | WeightScale::Xnor => {
                    w[o * ch..][..ch].iter().map(|v| v.abs() as f64).sum::<f64>() / ch as f64
                }
            })
            .collect();
        let mut d_x = vec![0f64; data.len()];
        let mut d_b = vec![0f64; w.len()];
        for i in 0..n {
            for o in 0..out as usize {
                for p in 0..pixels {
                    let g = g[(i * out as usize + o) * pixels + p] as f64;
                    for k in 0..ch {
                        let at = (i * ch + k) * pixels + p;
                        let v = data[at];
                        let window = match grad {
                            ActivationGrad::ApproxSign => (2.0 - 2.0 * v.abs() as f64).max(0.0),
                            ActivationGrad::Ste => (v.abs() <= 1.0) as u32 as f64,
                            ActivationGrad::SteOpen => (v.abs() < 1.0) as u32 as f64,
                        };
                        d_x[at] += window * g * alpha[o] * sign(w[o * ch + k]);
                        d_b[o * ch + k] += g * sign(v);
                    }
                }
            }
        }
        let d_w: Vec<f32> = (0..w.len())
            .map(|i| {
                let o = i / ch;
                let sum: f64 = (0..ch).map(|k| d_b[o * ch + k] * sign(w[o * ch + k])).sum();
                match scale {
                    WeightScale::None => d_b[i] as f32,
                    WeightScale::FilterMeanAbs | WeightScale::Xnor => {
                        (alpha[o] * d_b[i] + sign(w[i]) * sum / ch as f64) as f32
                    }
                }
            })
            .collect();
        let d_x: Vec<f32> = d_x.into_iter().map(|v| v as f32).collect();
        assert!(compare(got.gradients[0].as_ref().unwrap(), &d_x).error < 1e-5);
        assert!(compare(got.gradients[1].as_ref().unwrap(), &d_w).error < 1e-5);
    }
}

#[test]
fn groups_are_refused_not_computed_in_floats() {
    let op = BinaryConv2d {
        kernel: [1; 2],
        stride: [1; 2],
        padding: [0; 2],
        dilation: [1; 2],
        groups: 2,
        pad: PadValue::MinusOne,
        domain: InputDomain::Sign,
        activation_grad: ActivationGrad::ApproxSign,
        weight_scale: WeightScale::None,
    };
    let made = Builder::build("t", Mode::Train, PlanLimits::HOST, 1, |b| {
        let x = b.input("x", Shape::new(1, 2, 2, 4), Format::Map, true);
        let w = b.input("w", Shape::new(1, 1, 2, 4), Format::Weight, false);
        b.apply(op, "layer3", &[x, w])
    });
    let e = made.map(|_| ()).unwrap_err().to_string();
    assert!(e.contains("layer3") && e.contains("not packed"), "{e}");
}

/// XNOR-Net's rules, a line for a line of its code, in f64: centred over the input channels, clamped; alpha; gradient.
struct Reference {
    weights: Vec<f32>,
    alpha: Vec<f64>,
}

impl Reference {
    fn new(w: &[f32], c: usize, taps: usize) -> Reference {
        let mut weights = w.to_vec();
        for filter in weights.chunks_mut(c * taps) {
            for t in 0..taps {
                let mean = (0..c).map(|k| filter[k * taps + t] as f64).sum::<f64>() / c as f64;
                (0..c)
                    .for_each(|k| filter[k * taps + t] = (filter[k * taps + t] as f64 - mean).clamp(-1.0, 1.0) as f32);
            }
        }
        let mean = |f: &[f32]| f.iter().map(|v| v.abs() as f64).sum::<f64>() / f.len() as f64;
        Reference { alpha: weights.chunks(c * taps).map(mean).collect(), weights }
    }

    /// From the gradient of the binary weights.
    fn gradient(&self, g: &[f32], c: usize, taps: usize) -> Vec<f32> {
        let n = c * taps;
        let rule = |(i, g): (usize, &f32)| {
            let inside = if self.weights[i].abs() < 1.0 { self.alpha[i / n] } else { 0.0 };
            (*g as f64 * (inside + 1.0 / n as f64) * (1.0 - 1.0 / c as f64)) as f32
        };
        g.iter().enumerate().map(rule).collect()
    }
}

/// A convolution with XNOR-Net's weights is one with plain signs of the reference's weights, times alpha; in slices and on
/// the device too.
#[test]
fn xnor_weights_follow_the_reference() {
    let gpu = test_gpu().unwrap();
    let op = BinaryConv2d {
        kernel: [3; 2],
        stride: [1; 2],
        padding: [1; 2],
        dilation: [1; 2],
        groups: 1,
        pad: PadValue::Zero,
        domain: InputDomain::Sign,
        activation_grad: ActivationGrad::SteOpen,
        weight_scale: WeightScale::Xnor,
    };
    let one = BinaryConv2d { kernel: [1; 2], padding: [0; 2], ..op };
    let two = BinaryConv2d { stride: [2; 2], ..op };
    for (op, x, out) in [
        (op, Shape::new(2, 5, 4, 2), 3),
        (op, Shape::new(1, 1, 1, 31), 8),
        (two, Shape::new(2, 7, 5, 33), 5),
        (one, Shape::new(3, 3, 3, 64), 33),
        (op, Shape::new(2, 6, 6, 100), 20),
    ] {
        let (c, taps) = (x.c as usize, (op.kernel[0] * op.kernel[1]) as usize);
        let mut case = case(op, x, out);
        // Large enough to be clamped here and there, and not centred.
        case.inputs[1].data.iter_mut().for_each(|w| *w = 5.0 * *w + 0.3);
        let want = Reference::new(&case.inputs[1].data, c, taps);
        assert!(want.weights.iter().any(|w| w.abs() == 1.0) || want.weights.len() < 200);
        let (got, _) = case.check(gpu.as_ref(), 2e-5).unwrap();

        let plain = BinaryConv2d { weight_scale: WeightScale::None, ..op };
        let mut signs = OpCase { build: Box::new(move |b, t| b.apply(plain, "conv", t)), ..case };
        signs.inputs[1].data = want.weights.clone();
        let signs_of_w = signs.run(&autobidet::testing::TestDevice::Cpu).unwrap();
        let pixels = signs_of_w.outputs[0].len() / (x.n * out) as usize;
        let scaled = |v: &[f32]| -> Vec<f32> {
            v.iter().enumerate().map(|(i, v)| (want.alpha[i / pixels % out as usize] * *v as f64) as f32).collect()
        };
        assert!(compare(&got.outputs[0], &scaled(&signs_of_w.outputs[0])).error < 1e-5, "{op:?} {x}");
        let d_w = want.gradient(signs_of_w.gradients[1].as_ref().unwrap(), c, taps);
        assert!(compare(got.gradients[1].as_ref().unwrap(), &d_w).error < 1e-5, "{op:?} {x}");
        signs.upstream[0] = scaled(&signs.upstream[0]);
        let d_x = signs.run(&autobidet::testing::TestDevice::Cpu).unwrap().gradients[0].clone().unwrap();
        assert!(compare(got.gradients[0].as_ref().unwrap(), &d_x).error < 1e-5, "{op:?} {x}");
    }
}

/// Training replaces the latent weights, evaluation leaves them; both compute the same, however often they run.
#[test]
fn xnor_weights_are_replaced_in_training_alone() {
    let op = BinaryConv2d {
        kernel: [3; 2],
        stride: [1; 2],
        padding: [1; 2],
        dilation: [1; 2],
        groups: 1,
        pad: PadValue::Zero,
        domain: InputDomain::Sign,
        activation_grad: ActivationGrad::SteOpen,
        weight_scale: WeightScale::Xnor,
    };
    let (x, w) = (Shape::new(1, 5, 5, 37), Shape::new(3, 3, 37, 6));
    let mut latent = TestInput::random(w, "w", 0.5);
    latent.iter_mut().for_each(|w| *w += 0.2);
    let reference = Reference::new(&latent, 37, 9).weights;
    for device in [Some(autobidet::testing::TestDevice::Cpu), test_gpu().unwrap()].into_iter().flatten() {
        let run = |mode: Mode, runs: usize| {
            let (plan, (x_t, w_t, y)) = Builder::build("t", mode, device.limits(), 1, |b| {
                let x = b.input("x", x, Format::Map, true);
                let layout = ParamLayout::Conv("w".into());
                let w = b.param("group", "w", w, Format::Weight, layout, Init::Zeros);
                let y = b.apply1(op, "conv", &[x, w])?;
                b.keep(y);
                Ok((x, w, y))
            })
            .unwrap();
            let mut e = device.executor(std::sync::Arc::new(plan)).unwrap();
            e.write_nchw(x_t, &TestInput::random(x, "x", 1.0)).unwrap();
            e.write_nchw(w_t, &latent).unwrap();
            (0..runs).for_each(|_| e.run(&["forward"]).unwrap());
            (e.read_nchw(w_t).unwrap(), e.read_nchw(y).unwrap())
        };
        let (kept, y) = run(Mode::Eval, 1);
        assert_eq!(kept, latent);
        assert_eq!(run(Mode::Eval, 3), (kept, y.clone()));
        let (replaced, trained) = run(Mode::Train, 1);
        assert!(compare(&replaced, &reference).error < 1e-6);
        assert_eq!(trained, y, "{}", device.name());
        // Again: a tap without clamped weights stays, up to rounding.
        let (again, _) = run(Mode::Train, 2);
        for ((a, b), k) in replaced.iter().zip(&again).zip(0..) {
            let tap = |k: usize| (0..37).map(move |c| (k / 333 * 37 + c) * 9 + k % 9);
            let clamped = tap(k).any(|i| replaced[i].abs() == 1.0);
            assert!(clamped || (a - b).abs() < 1e-6, "{k}: {a} {b}");
        }
    }
}
