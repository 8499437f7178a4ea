use autobidet::ops::softmax::{LogSoftmax, Softmax};
use autobidet::plan::{Builder, Format, Shape, TensorId};
use autobidet::testing::{TestInput, test_gpu};

use super::case_file::{GRID, cases, map, op_case, refused};

type Build = fn(&mut Builder, &[TensorId]) -> autobidet::Result<Vec<TensorId>>;
const BOTH: [(&str, Build); 2] =
    [("softmax", |b, t| b.apply(Softmax, "s", t)), ("log_softmax", |b, t| b.apply(LogSoftmax, "s", t))];

/// The same values as a dense tensor.
fn dense(name: &str, shape: Shape, sliced: bool) -> TestInput {
    TestInput { format: Format::Flat, sliced, ..map(name, shape) }
}

#[test]
fn softmax_on_a_grid_of_shapes() {
    let gpu = test_gpu().unwrap();
    for (name, build) in BOTH {
        for shape in GRID.into_iter().chain([Shape::new(2, 1, 87, 21)]) {
            for input in [map("x", shape), dense("x", shape, true)] {
                let log = name == "log_softmax";
                let format = input.format;
                let case = op_case(name, vec![input], shape, build);
                let (out, _) = case.check(gpu.as_ref(), 5e-6).unwrap();
                let (y, c) = (&out.outputs[0], shape.c as usize);
                let (plane, rows) = ((shape.h * shape.w) as usize, shape.pixels() as usize);
                for row in 0..rows {
                    let at = |k: usize| match format {
                        Format::Map => (row / plane * c + k) * plane + row % plane,
                        _ => row * c + k,
                    };
                    let sum: f64 = (0..c).map(|k| (case.inputs[0].data[at(k)] as f64).exp()).sum();
                    for k in 0..c {
                        let want = (case.inputs[0].data[at(k)] as f64).exp() / sum;
                        let want = if log { want.ln() } else { want };
                        assert!((y[at(k)] as f64 - want).abs() < 2e-6, "{name} {shape} {format:?}");
                    }
                }
            }
        }
        let shape = Shape::new(2, 1, 3, 5);
        op_case(name, vec![map("x", shape)], shape, build).finite_difference(15, 1e-2, 1e-2).unwrap();
        // A tensor that does not follow the batch.
        let case = op_case(name, vec![dense("x", shape, false), map("unused", shape).no_grad()], shape, move |b, t| {
            build(b, &t[..1])
        });
        case.check(gpu.as_ref(), 5e-6).unwrap();
        case.finite_difference(15, 1e-2, 1e-2).unwrap();
    }
}

/// Values at which exp overflows, and gradients added to others.
#[test]
fn softmax_of_large_values() {
    let shape = Shape::new(1, 1, 1, 3);
    for (name, build) in BOTH {
        let input = TestInput::map("x", shape, vec![1e4, 1e4 - 1.0, -1e4]);
        let case = op_case(name, vec![input], shape, move |b, t| {
            let (y, z) = (build(b, t)?[0], build(b, t)?[0]);
            b.apply(autobidet::ops::add::Add, "sum", &[y, z])
        });
        let (out, _) = case.check(test_gpu().unwrap().as_ref(), 1e-5).unwrap();
        let y = if name == "softmax" { out.outputs[0][0] / 2.0 } else { (out.outputs[0][0] / 2.0).exp() };
        assert!((y - 0.731_058_6).abs() < 1e-6, "{y}");
        assert!(out.gradients[0].iter().flatten().all(|g| g.is_finite()));
    }
}

#[test]
fn softmax_conformance() {
    for (name, build) in BOTH {
        for f in cases(name) {
            // Along the last extent: those of a dense tensor are N, C, H, W here.
            assert_eq!(f.attrs["axis"], -1);
            let s = f.shape("in.x");
            let input = dense("x", Shape::new(s.n, s.c, s.h, s.w), true);
            let input = TestInput { data: f.values("in.x"), ..input };
            f.check(&f.op_case(vec![input], build), &[&["y"]], &[&["x"]]);
        }
    }
}

#[test]
fn softmax_refuses_words() {
    let words = TestInput { format: Format::Words, ..map("x", Shape::new(1, 1, 1, 4)) };
    refused("s: expected softmax: a map or a dense float tensor, got x as Words", vec![words], |b, t| {
        b.apply(Softmax, "s", t)
    });
}
