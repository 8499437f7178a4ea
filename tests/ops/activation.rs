use autobidet::ops::activation::{Hardtanh, LeakyRelu, Sigmoid, Tanh};
use autobidet::ops::add::Add;
use autobidet::ops::feature_l2::FeatureL2;
use autobidet::ops::prelu::Prelu;
use autobidet::ops::relu::Relu;
use autobidet::plan::{Builder, Shape, TensorId};
use autobidet::testing::{OpCase, TestInput, test_gpu};

use super::case_file::{GRID, cases, loss_case, map, op_case, planes, refused};

type Build = fn(&mut Builder, &[TensorId]) -> autobidet::Result<Vec<TensorId>>;

/// Name, largest difference of device and twin, the operation, its definition.
type Activation = (&'static str, f64, Build, fn(f64) -> f64);

const ALL: [Activation; 5] = [
    ("leaky_relu", 0.0, |b, t| b.apply(LeakyRelu { slope: 0.2 }, "act", t), |x| if x > 0.0 { x } else { 0.2 * x }),
    ("sigmoid", 1e-6, |b, t| b.apply(Sigmoid, "act", t), |x| 1.0 / (1.0 + (-x).exp())),
    ("tanh", 2e-6, |b, t| b.apply(Tanh, "act", t), f64::tanh),
    ("hardtanh", 0.0, |b, t| b.apply(Hardtanh::default(), "act", t), |x| x.clamp(-1.0, 1.0)),
    // Bounds that do not hold 0 would show in the pad lanes.
    ("hardtanh", 0.0, |b, t| b.apply(Hardtanh { min: 0.5, max: 0.75 }, "act", t), |x| x.clamp(0.5, 0.75)),
];

#[test]
fn activations_on_a_grid_of_shapes() {
    let gpu = test_gpu().unwrap();
    for (name, tolerance, build, definition) in ALL {
        for shape in GRID {
            // Twice on one input: the second gradient is added to the first.
            let case = op_case(name, vec![map("x", shape)], shape, move |b, t| {
                let (y, z) = (build(b, t)?[0], build(b, t)?[0]);
                b.apply(Add, "sum", &[y, z])
            });
            let (out, _) = case.check(gpu.as_ref(), tolerance).unwrap();
            for (y, x) in out.outputs[0].iter().zip(&case.inputs[0].data) {
                assert!((*y as f64 - 2.0 * definition(*x as f64)).abs() < 2e-6, "{name}({x}) = {y}");
            }
            // The mean square reads the pad lanes too: they must be 0.
            let case = loss_case(name, vec![map("x", shape)], move |b, t| {
                let y = build(b, t)?;
                b.apply(FeatureL2::default(), "l2", &y)
            });
            let (out, _) = case.check(gpu.as_ref(), 1e-5).unwrap();
            let want: f64 = case.inputs[0].data.iter().map(|x| definition(*x as f64).powi(2)).sum();
            assert!((out.outputs[0][0] as f64 * shape.len() as f64 / want - 1.0).abs() < 1e-5, "{name} {shape}");
        }
        let shape = Shape::new(2, 3, 2, 5);
        op_case(name, vec![map("x", shape)], shape, build).finite_difference(30, 1e-3, 2e-2).unwrap();
    }
}

/// Values at which exp overflows.
#[test]
fn activations_of_large_values() {
    let shape = Shape::new(1, 1, 1, 5);
    for (name, _, build, definition) in ALL {
        let x = vec![-1e4, -80.0, 80.0, 1e4, 1.0];
        let case = op_case(name, vec![TestInput::map("x", shape, x.clone())], shape, build);
        let (out, _) = case.check(test_gpu().unwrap().as_ref(), 1e-6).unwrap();
        for (y, x) in out.outputs[0].iter().zip(x) {
            assert!((*y as f64 - definition(x as f64)).abs() <= 1e-6 * definition(x as f64).abs(), "{name}({x}) = {y}");
        }
        assert!(out.gradients[0].iter().flatten().all(|g| g.is_finite()));
    }
}

#[test]
fn prelu_on_a_grid_of_shapes() {
    let gpu = test_gpu().unwrap();
    for shape in GRID {
        let slope = TestInput::random(Shape::vector(shape.c), "slope", 0.3);
        let inputs = vec![map("x", shape), planes("slope", std::slice::from_ref(&slope))];
        let case = op_case("prelu", inputs, shape, |b, t| b.apply(Prelu, "act", t));
        let (out, _) = case.check(gpu.as_ref(), 1e-5).unwrap();
        let plane = (shape.h * shape.w) as usize;
        for (k, (y, x)) in out.outputs[0].iter().zip(&case.inputs[0].data).enumerate() {
            assert_eq!(*y, if *x > 0.0 { *x } else { slope[k / plane % shape.c as usize] * x });
        }
        if shape.len() < 1000 {
            case.finite_difference(10, 1e-3, 1e-2).unwrap();
        }
    }
}

#[test]
fn activation_conformance() {
    let builds: [(&str, Build); 4] = [
        ("relu", |b, t| b.apply(Relu, "act", t)),
        ("sigmoid", |b, t| b.apply(Sigmoid, "act", t)),
        ("tanh", |b, t| b.apply(Tanh, "act", t)),
        ("hardtanh", |b, t| b.apply(Hardtanh::default(), "act", t)),
    ];
    for (name, build) in builds {
        for f in cases(name) {
            f.check(&f.op_case(vec![f.map("x")], build), &[&["y"]], &[&["x"]]);
        }
    }
    for f in cases("leaky_relu") {
        let op = LeakyRelu { slope: f.f32("slope") };
        f.check(&f.op_case(vec![f.map("x")], move |b, t| b.apply(op, "act", t)), &[&["y"]], &[&["x"]]);
    }
    for f in cases("prelu") {
        let inputs = vec![f.map("x"), f.planes("slope", &["slope"])];
        f.check(&f.op_case(inputs, |b, t| b.apply(Prelu, "act", t)), &[&["y"]], &[&["x"], &["slope"]]);
    }
}

#[test]
fn activation_refusals() {
    let shape = Shape::new(1, 2, 2, 4);
    refused("act: expected sigmoid: one input, got 2", vec![map("x", shape), map("z", shape)], |b, t| {
        b.apply(Sigmoid, "act", t)
    });
    refused("lower bound not above", vec![map("x", shape)], |b, t| b.apply(Hardtanh { min: 1.0, max: 0.0 }, "act", t));
    let wrong = vec![map("x", shape), planes("slope", &[vec![0.1; 3]])];
    refused("prelu: slope as planes 1x1x1x4, got slope 1x1x1x3", wrong, |b, t| b.apply(Prelu, "act", t));
    let one = OpCase { batch: 2, ..op_case("batch", vec![map("x", shape)], shape, |b, t| b.apply(Tanh, "act", t)) };
    let message = one.run(&autobidet::testing::TestDevice::Cpu).unwrap_err().to_string();
    assert!(message.contains("tanh: a map of 2 images"), "{message}");
}
