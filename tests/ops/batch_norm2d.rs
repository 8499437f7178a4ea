use autobidet::ops::batch_norm2d::BatchNorm2d;
use autobidet::plan::Shape;
use autobidet::testing::{OpCase, TestDevice, TestInput, test_gpu};

use super::case_file::{cases, planes, refused};

/// x, gamma and beta, running statistics, residual: values of a channel lie around `mean`.
fn inputs(shape: Shape, mean: f32) -> Vec<TestInput> {
    let vector = |name: &str, at: f32| -> Vec<f32> {
        TestInput::random(Shape::vector(shape.c), name, 0.2).iter().map(|v| at + v).collect()
    };
    let x = TestInput::random(shape, "x", 1.0).iter().map(|v| v + mean).collect();
    let variance: Vec<f32> = vector("running_var", 0.0).iter().map(|v| 0.5 + v.abs()).collect();
    vec![
        TestInput::map("x", shape, x),
        planes("affine", &[vector("gamma", 1.0), vector("beta", 0.0)]),
        planes("running", &[vector("running_mean", mean), variance]).no_grad(),
        TestInput::map("residual", shape, TestInput::random(shape, "residual", 1.0)),
    ]
}

fn case<'a>(shape: Shape, mean: f32, op: BatchNorm2d, residual: bool) -> OpCase<'a> {
    let mut inputs = inputs(shape, mean);
    if !residual {
        inputs.pop();
    }
    if !op.affine {
        inputs.remove(1);
    }
    OpCase {
        name: format!("batch_norm2d {shape} {op:?} residual {residual}"),
        batch: shape.n,
        inputs,
        upstream: vec![TestInput::random(shape, "g", 1.0), vec![0.0; 2 * shape.c as usize]],
        backward: true,
        // The running statistics are an output too: they are updated in place.
        build: Box::new(move |b, t| Ok(vec![b.apply1(op, "norm", t)?, t[1 + op.affine as usize]])),
    }
}

const GRID: [Shape; 6] = [
    Shape::new(2, 1, 1, 1),
    Shape::new(2, 3, 5, 3),
    Shape::new(3, 7, 9, 33),
    Shape::new(4, 1, 1, 31),
    Shape::new(1, 70, 67, 5),
    Shape::new(2, 40, 40, 64),
];

#[test]
fn batch_norm2d_on_a_grid_of_shapes() {
    let gpu = test_gpu().unwrap();
    let mut worst = 0f64;
    for shape in GRID {
        for (affine, frozen, residual) in
            [(true, false, false), (true, false, true), (false, false, false), (true, true, true), (false, true, true)]
        {
            let op = BatchNorm2d { affine, frozen, ..Default::default() };
            let c = case(shape, 0.5, op, residual);
            // Two values a channel cancel nearly all of their gradient.
            let (out, error) = c.check(gpu.as_ref(), if shape.pixels() == 2 { 1e-3 } else { 2e-5 }).unwrap();
            worst = worst.max(if shape.pixels() == 2 { 0.0 } else { error });
            if residual {
                assert_eq!(out.gradients.last().unwrap().as_ref(), Some(&c.upstream[0]));
            }
            if frozen {
                assert_eq!(out.outputs[1], c.inputs[1 + affine as usize].data, "frozen statistics stay");
            }
        }
    }
    println!("batch_norm2d: device and twins differ by {worst:.1e}");
}

#[test]
fn batch_norm2d_gradients() {
    for (affine, frozen, residual) in [(true, false, true), (false, false, false), (true, true, false)] {
        let op = BatchNorm2d { affine, frozen, ..Default::default() };
        case(Shape::new(3, 3, 2, 5), 0.5, op, residual).finite_difference(12, 1e-2, 1e-2).unwrap();
    }
}

/// Statistics of values far from zero: the mean of squares minus the square of the mean would lose every digit.
#[test]
fn batch_norm2d_statistics_are_stable() {
    let shape = Shape::new(3, 25, 25, 6);
    let c = case(shape, 3000.0, BatchNorm2d { momentum: 1.0, ..Default::default() }, false);
    for device in [Some(TestDevice::Cpu), test_gpu().unwrap()].iter().flatten() {
        let out = c.run(device).unwrap();
        for k in 0..6usize {
            let values = (0..3 * 625).map(|i| c.inputs[0].data[(i / 625 * 6 + k) * 625 + i % 625] as f64);
            let n = 1875f64;
            let mean = values.clone().sum::<f64>() / n;
            let variance = values.map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let [m, v] = [out.outputs[1][2 * k] as f64, out.outputs[1][2 * k + 1] as f64];
            assert!((m - mean).abs() < 1e-3 && (v / variance - 1.0).abs() < 1e-3, "{m} {mean} {v} {variance}");
        }
    }
}

/// A closed gate leaves the running statistics alone; plans that only infer normalise with them.
#[test]
fn batch_norm2d_gate_and_eval() {
    use autobidet::plan::{Builder, Format, Mode, PlanLimits};
    let shape = Shape::new(2, 3, 3, 5);
    for device in [Some(TestDevice::Cpu), test_gpu().unwrap()].iter().flatten() {
        for (mode, gate, changes) in [(Mode::Train, 0, false), (Mode::Train, 1, true), (Mode::Eval, 1, false)] {
            let given = inputs(shape, 0.0);
            let limits = PlanLimits { max_binding: 1 << 20, ..device.limits() };
            let (plan, (t, y)) = Builder::build("gate", mode, limits, 2, |b| {
                let gate = b.constant("gate", Shape::vector(1), Format::FlatU32, vec![gate]);
                b.set_gate(gate);
                let t: Vec<_> = given[..3].iter().map(|i| b.input(&i.name, i.shape, i.format, i.sliced)).collect();
                let y = b.apply1(BatchNorm2d::default(), "norm", &t)?;
                b.keep(y);
                b.add_deferred()?;
                Ok((t, y))
            })
            .unwrap();
            let mut e = device.executor(std::sync::Arc::new(plan)).unwrap();
            for (t, i) in t.iter().zip(&given) {
                e.write_nchw(*t, &i.data).unwrap();
            }
            e.run(&["forward"]).unwrap();
            assert_eq!(e.read_nchw(t[2]).unwrap() != given[2].data, changes);
            if mode == Mode::Eval {
                let y = e.read_nchw(y).unwrap();
                for (k, y) in y.iter().enumerate() {
                    let c = k / 9 % 5;
                    let [(gamma, beta), (mean, variance)] =
                        [1, 2].map(|i| (given[i].data[2 * c], given[i].data[2 * c + 1]));
                    let want = gamma * (given[0].data[k] - mean) / (variance + 1e-5).sqrt() + beta;
                    assert!((y - want).abs() < 1e-5, "{y} {want}");
                }
            }
        }
    }
}

#[test]
fn batch_norm2d_conformance() {
    for f in cases("batch_norm2d") {
        let train = f.bool("training");
        let op =
            BatchNorm2d { eps: f.f32("eps"), momentum: f.f32("momentum"), affine: true, frozen: !train, track: true };
        let inputs = vec![
            f.map("x"),
            f.planes("affine", &["gamma", "beta"]),
            f.planes("running", &["running_mean", "running_var"]).no_grad(),
        ];
        let mut c = f.op_case(inputs, move |b, t| Ok(vec![b.apply1(op, "norm", t)?, t[2]]));
        c.upstream.push(vec![0.0; c.inputs[2].data.len()]);
        let running: &[&str] = &["running_mean", "running_var"];
        let outputs: &[&[&str]] = if train { &[&["y"], running] } else { &[&["y"]] };
        f.check(&c, outputs, &[&["x"], &["gamma", "beta"], &[]]);
    }
}

#[test]
fn batch_norm2d_refusals() {
    let shape = Shape::new(1, 2, 2, 4);
    let norm = BatchNorm2d::default();
    refused("norm: expected batch_norm2d: 3 inputs", inputs(shape, 0.0)[..2].to_vec(), move |b, t| {
        b.apply(norm, "norm", t)
    });
    let mut wrong = inputs(shape, 0.0);
    wrong[1] = planes("affine", &[vec![1.0; 5], vec![0.0; 5]]);
    refused("gamma and beta as planes 1x1x2x4, got affine 1x1x2x5", wrong, move |b, t| b.apply(norm, "norm", t));
    let mut wrong = inputs(shape, 0.0);
    wrong[3] = TestInput::map("residual", Shape::new(1, 2, 1, 4), vec![0.0; 8]);
    refused("maps of one shape, 1x2x2x4, got residual 1x2x1x4", wrong, move |b, t| b.apply(norm, "norm", t));
    refused("eps above 0", inputs(shape, 0.0), move |b, t| b.apply(BatchNorm2d { eps: 0.0, ..norm }, "norm", t));
}
