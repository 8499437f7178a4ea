//! max_pool2d and avg_pool2d.
use autobidet::ops::avg_pool2d::AvgPool2d;
use autobidet::ops::max_pool2d::MaxPool2d;
use autobidet::ops::pool::PoolWindow;
use autobidet::plan::{Builder, Mode, Shape, TensorId};
use autobidet::testing::{TestInput, compare, test_gpu};

use super::case_file::{CaseFile, cases, map, op_case, refused};

const WINDOWS: [PoolWindow; 8] = [
    PoolWindow::square(2, 2, 0),
    PoolWindow::square(2, 2, 0).ceil(),
    PoolWindow::square(3, 1, 1),
    PoolWindow::square(3, 2, 1),
    PoolWindow::square(3, 2, 1).ceil(),
    PoolWindow::square(1, 1, 0),
    PoolWindow::square(2, 3, 1).ceil(),
    PoolWindow { kernel: [3, 5], stride: [2, 1], padding: [0, 2], ceil_mode: true },
];
const SHAPES: [Shape; 4] =
    [Shape::new(2, 3, 5, 1), Shape::new(1, 13, 11, 5), Shape::new(3, 8, 7, 33), Shape::new(2, 19, 19, 31)];

/// Both pools straight from the definition: (maxima, averages) of an N,C,H,W array.
fn definition(x: &[f32], s: Shape, w: PoolWindow, include_pad: bool) -> (Vec<f32>, Vec<f32>) {
    let (oh, ow) = (w.count(0, s.h).unwrap(), w.count(1, s.w).unwrap());
    let (mut most, mut mean) = (vec![], vec![]);
    for plane in x.chunks((s.h * s.w) as usize) {
        for o in 0..oh * ow {
            let begin = [0, 1].map(|d| ([o / ow, o % ow][d] * w.stride[d]) as i64 - w.padding[d] as i64);
            let size = [s.h as i64, s.w as i64];
            let end = [0, 1].map(|d| (begin[d] + w.kernel[d] as i64).min(size[d] + w.padding[d] as i64));
            let (mut m, mut sum, mut inside) = (f32::NEG_INFINITY, 0f64, 0);
            for y in begin[0]..end[0] {
                for x in begin[1]..end[1] {
                    if (0..size[0]).contains(&y) && (0..size[1]).contains(&x) {
                        let v = plane[(y * size[1] + x) as usize];
                        (m, sum, inside) = (m.max(v), sum + v as f64, inside + 1);
                    }
                }
            }
            let all = (end[0] - begin[0]) * (end[1] - begin[1]);
            most.push(m);
            mean.push((sum / if include_pad { all } else { inside } as f64) as f32);
        }
    }
    (most, mean)
}

#[test]
fn pools_on_a_grid_of_shapes_and_windows() {
    let gpu = test_gpu().unwrap();
    for window in WINDOWS {
        for shape in SHAPES {
            let (Some(h), Some(w)) = (window.count(0, shape.h), window.count(1, shape.w)) else { continue };
            let out_shape = Shape { h, w, ..shape };
            let max = MaxPool2d(window);
            let case = op_case("max_pool2d", vec![map("x", shape)], out_shape, move |b, t| b.apply(max, "pool", t));
            let (out, _) = case.check(gpu.as_ref(), 0.0).unwrap();
            assert_eq!(out.outputs[0], definition(&case.inputs[0].data, shape, window, true).0, "{window:?} {shape}");
            if shape.len() < 1000 {
                case.finite_difference(10, 1e-4, 2e-2).unwrap();
            }
            for count_include_pad in [true, false] {
                let op = AvgPool2d { window, count_include_pad };
                let case = op_case("avg_pool2d", vec![map("x", shape)], out_shape, move |b, t| b.apply(op, "pool", t));
                let (out, _) = case.check(gpu.as_ref(), 1e-6).unwrap();
                let want = definition(&case.inputs[0].data, shape, window, count_include_pad).1;
                assert!(compare(&out.outputs[0], &want).error < 1e-6, "{op:?} {shape}");
                if shape.len() < 1000 {
                    case.finite_difference(10, 1e-2, 1e-2).unwrap();
                }
            }
        }
    }
}

/// The gradient of equal values goes to the first; gradients of two pools of one input are added.
#[test]
fn max_pool2d_ties_and_sums() {
    let shape = Shape::new(1, 2, 4, 1);
    let mut case = op_case("ties", vec![TestInput::map("x", shape, vec![1.0; 8])], Shape::new(1, 1, 2, 1), |b, t| {
        let y = b.apply1(MaxPool2d(PoolWindow::square(2, 2, 0)), "one", t)?;
        let z = b.apply1(MaxPool2d(PoolWindow::square(2, 2, 0)), "two", t)?;
        b.apply(autobidet::ops::add::Add, "sum", &[y, z])
    });
    case.upstream = vec![vec![3.0, 5.0]];
    let (out, _) = case.check(test_gpu().unwrap().as_ref(), 0.0).unwrap();
    assert_eq!(out.gradients[0].as_deref(), Some(&[6.0, 0.0, 10.0, 0.0, 0.0, 0.0, 0.0, 0.0][..]));
}

fn conformance(op: &str, build: impl Fn(&CaseFile, PoolWindow, &mut Builder, &[TensorId]) -> TensorId) {
    for f in cases(op) {
        let window = PoolWindow {
            kernel: f.pair("kernel"),
            stride: f.pair("stride"),
            padding: f.pair("padding"),
            ceil_mode: f.bool("ceil_mode"),
        };
        let case = f.op_case(vec![f.map("x")], |b, t| Ok(vec![build(&f, window, b, t)]));
        f.check(&case, &[&["y"]], &[&["x"]]);
    }
}

#[test]
fn pool_conformance() {
    conformance("max_pool2d", |_, window, b, t| b.apply1(MaxPool2d(window), "pool", t).unwrap());
    conformance("avg_pool2d", |f, window, b, t| {
        b.apply1(AvgPool2d { window, count_include_pad: f.bool("count_include_pad") }, "pool", t).unwrap()
    });
}

/// Plans that only infer keep no places of maxima.
#[test]
fn max_pool2d_infers_without_an_index() {
    let shape = Shape::new(1, 8, 8, 4);
    let limits = autobidet::plan::PlanLimits::HOST;
    let (plan, _) = Builder::build("eval", Mode::Eval, limits, 1, |b| {
        let x = b.input("x", shape, autobidet::plan::Format::Map, true);
        b.apply(MaxPool2d(PoolWindow::square(2, 2, 0)), "pool", &[x])
    })
    .unwrap();
    assert!(plan.tensors.iter().find(|t| t.name == "pool.index").unwrap().bytes() <= 16);
}

#[test]
fn pool_refusals() {
    for window in [PoolWindow::square(5, 1, 0), PoolWindow::square(2, 0, 0), PoolWindow::square(2, 1, 2)] {
        refused("pool: expected max_pool2d: a window that fits", vec![map("x", Shape::new(1, 4, 4, 3))], |b, t| {
            b.apply(MaxPool2d(window), "pool", t)
        });
    }
}
