use autobidet::ops::l2_norm::L2Norm;
use autobidet::plan::Shape;
use autobidet::testing::{TestDevice, TestInput, test_gpu};

use super::case_file::{GRID, cases, map, op_case, planes, refused};

#[test]
fn l2_norm_on_a_grid_of_shapes() {
    let gpu = test_gpu().unwrap();
    for shape in GRID.into_iter().chain([Shape::new(1, 5, 5, 512)]) {
        let weight: Vec<f32> = (0..shape.c).map(|c| 20.0 - c as f32 / 8.0).collect();
        let inputs = vec![map("x", shape), planes("weight", std::slice::from_ref(&weight))];
        let case = op_case("l2_norm", inputs, shape, |b, t| b.apply(L2Norm::default(), "norm", t));
        // With one channel the gradient of x is the difference of two equal numbers.
        let (out, _) = case.check(gpu.as_ref(), if shape.c == 1 { 1.0 } else { 1e-5 }).unwrap();
        let (c, plane) = (shape.c as usize, (shape.h * shape.w) as usize);
        for p in 0..shape.pixels() as usize {
            let at = |k: usize| (p / plane * c + k) * plane + p % plane;
            let norm = (0..c).map(|k| (case.inputs[0].data[at(k)] as f64).powi(2)).sum::<f64>().sqrt();
            for k in 0..c {
                let want = weight[k] as f64 * case.inputs[0].data[at(k)] as f64 / norm;
                assert!((out.outputs[0][at(k)] as f64 - want).abs() < 2e-5, "{shape}");
            }
        }
        if shape.c > 1 && shape.len() < 1000 {
            case.finite_difference(10, 1e-3, 1e-2).unwrap();
        }
    }
}

#[test]
fn l2_norm_of_nothing_is_nothing() {
    let shape = Shape::new(1, 1, 2, 3);
    let inputs =
        vec![TestInput::map("x", shape, vec![0.0, 1.0, 0.0, 2.0, 0.0, 3.0]), planes("weight", &[vec![20.0; 3]])];
    let case = op_case("l2_norm", inputs, shape, |b, t| b.apply(L2Norm::default(), "norm", t));
    for device in [Some(TestDevice::Cpu), test_gpu().unwrap()].iter().flatten() {
        let out = case.run(device).unwrap();
        let d_x = out.gradients[0].as_ref().unwrap();
        for k in 0..3 {
            assert_eq!((out.outputs[0][2 * k], d_x[2 * k]), (0.0, 0.0));
            assert!(d_x[2 * k + 1].is_finite() && d_x[2 * k + 1] != 0.0);
        }
    }
}

#[test]
fn l2_norm_conformance() {
    for f in cases("l2_norm") {
        let op = L2Norm { eps: f.f32("eps") };
        let inputs = vec![f.map("x"), f.planes("weight", &["weight"])];
        f.check(&f.op_case(inputs, move |b, t| b.apply(op, "norm", t)), &[&["y"]], &[&["x"], &["weight"]]);
    }
}

#[test]
fn l2_norm_refusals() {
    let inputs = || vec![map("x", Shape::new(1, 2, 2, 4)), planes("weight", &[vec![1.0; 5]])];
    refused("l2_norm: weight as planes 1x1x1x4, got weight 1x1x1x5", inputs(), |b, t| {
        b.apply(L2Norm::default(), "norm", t)
    });
    refused("l2_norm: eps above 0", inputs(), |b, t| b.apply(L2Norm { eps: 0.0 }, "norm", t));
}
