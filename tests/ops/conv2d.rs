//! Float convolutions: conformance, twins against the device, slices, finite differences, refusals.

use autobidet::ops::conv_transpose2d::ConvTranspose2d;
use autobidet::ops::conv2d::Conv2d;
use autobidet::ops::linear::Linear;
use autobidet::plan::{Builder, Format, Mode, PlanLimits, Shape};
use autobidet::testing::{OpCase, TestInput, test_gpu};

use super::case_file::{CaseFile, cases};

fn spec(c: &CaseFile) -> Conv2d {
    Conv2d {
        kernel: c.pair("kernel"),
        stride: c.pair("stride"),
        padding: c.pair("padding"),
        dilation: c.pair("dilation"),
        groups: c.u32("groups"),
    }
}

/// File shape O,I,KH,KW as (KH, KW, I, O).
pub fn weight(c: &CaseFile) -> TestInput {
    let s = c.shape("in.weight"); // n = O, c = I, h = KH, w = KW
    TestInput::param("weight", Shape::new(s.h, s.w, s.c, s.n), Format::Weight, c.values("in.weight"))
}

fn inputs(c: &CaseFile) -> Vec<TestInput> {
    let mut inputs = vec![c.map("x"), weight(c)];
    if c.has("in.bias") {
        let data = c.values("in.bias");
        inputs.push(TestInput::param("bias", Shape::vector(data.len() as u32), Format::Map, data));
    }
    inputs
}

fn names(c: &CaseFile) -> &'static [&'static [&'static str]] {
    if c.has("in.bias") { &[&["x"], &["weight"], &["bias"]] } else { &[&["x"], &["weight"]] }
}

#[test]
fn conv2d_conformance() {
    for c in cases("conv2d") {
        let op = spec(&c);
        let case = OpCase {
            name: c.name.clone(),
            batch: c.shape("in.x").n,
            inputs: inputs(&c),
            upstream: vec![c.values("gout.y")],
            backward: true,
            build: Box::new(move |b, t| b.apply(op, "conv", t)),
        };
        c.check(&case, &[&["y"]], names(&c));
    }
}

#[test]
fn conv_transpose2d_conformance() {
    for c in cases("conv_transpose2d") {
        let op = ConvTranspose2d {
            stride: c.pair("stride"),
            padding: c.pair("padding"),
            output_padding: c.pair("output_padding"),
            dilation: c.pair("dilation"),
        };
        let case = OpCase {
            name: c.name.clone(),
            batch: c.shape("in.x").n,
            inputs: inputs(&c),
            upstream: vec![c.values("gout.y")],
            backward: true,
            build: Box::new(move |b, t| b.apply(op, "conv", t)),
        };
        c.check(&case, &[&["y"]], names(&c));
    }
}

fn case(op: Conv2d, x: Shape, out: u32, bias: bool) -> OpCase<'static> {
    let w = Shape::new(op.kernel[0], op.kernel[1], x.c / op.groups, out);
    let dims = op.dims("case", "conv2d", x, out).unwrap();
    let mut inputs = vec![
        TestInput::map("x", x, TestInput::random(x, "x", 1.0)),
        TestInput::param("w", w, Format::Weight, TestInput::random(w, "w", 0.3)),
    ];
    if bias {
        let s = Shape::vector(out);
        inputs.push(TestInput::param("bias", s, Format::Map, TestInput::random(s, "bias", 1.0)));
    }
    OpCase {
        name: format!("conv2d {op:?} {x} -> {out}"),
        batch: x.n,
        inputs,
        upstream: vec![TestInput::random(dims.output(), "g", 1.0)],
        backward: true,
        build: Box::new(move |b, t| b.apply(op, "conv", t)),
    }
}

/// The definition, in f64.
fn plain(op: &Conv2d, case: &OpCase, out: u32) -> Vec<f64> {
    let x = case.inputs[0].shape;
    let d = op.dims("plain", "conv2d", x, out).unwrap();
    let (cg, og) = (x.c / op.groups, out / op.groups);
    let at = |n: u32, c: u32, y: i64, xx: i64| -> f64 {
        if y < 0 || xx < 0 || y >= x.h as i64 || xx >= x.w as i64 {
            return 0.0;
        }
        case.inputs[0].data[(((n * x.c + c) * x.h + y as u32) * x.w + xx as u32) as usize] as f64
    };
    let mut y = Vec::new();
    for n in 0..x.n {
        for o in 0..out {
            for p in 0..d.p {
                for q in 0..d.q {
                    let mut sum = case.inputs.get(2).map_or(0.0, |b| b.data[o as usize] as f64);
                    for c in 0..cg {
                        for kh in 0..d.kh {
                            for kw in 0..d.kw {
                                let row = (p * d.stride_h + kh * d.dil_h) as i64 - d.pad_h as i64;
                                let col = (q * d.stride_w + kw * d.dil_w) as i64 - d.pad_w as i64;
                                let w = case.inputs[1].data[(((o * cg + c) * d.kh + kh) * d.kw + kw) as usize] as f64;
                                sum += w * at(n, o / og * cg + c, row, col);
                            }
                        }
                    }
                    y.push(sum);
                }
            }
        }
    }
    y
}

#[test]
fn conv2d_on_a_grid_of_shapes() {
    let gpu = test_gpu().unwrap();
    let k = |kernel, stride, padding, dilation| Conv2d {
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [padding; 2],
        dilation: [dilation; 2],
        groups: 1,
    };
    let uneven = Conv2d { kernel: [3, 1], stride: [1, 2], padding: [2, 0], dilation: [2, 1], groups: 1 };
    let grid = [
        (k(3, 1, 1, 1), Shape::new(2, 6, 5, 3), 7),
        (k(3, 2, 1, 1), Shape::new(3, 9, 9, 5), 33),
        (k(1, 1, 0, 1), Shape::new(2, 4, 4, 31), 1),
        (k(5, 3, 2, 1), Shape::new(1, 11, 8, 1), 8),
        (k(3, 1, 6, 6), Shape::new(2, 7, 7, 9), 12),
        (k(3, 1, 0, 1), Shape::new(2, 3, 3, 20), 16),
        (k(3, 1, 1, 1), Shape::new(1, 1, 1, 64), 24),
        (k(3, 2, 1, 1), Shape::new(2, 40, 38, 33), 40),
        (uneven, Shape::new(2, 6, 7, 4), 6),
        (Conv2d { groups: 3, ..k(3, 1, 1, 1) }, Shape::new(2, 5, 4, 9), 6),
        (Conv2d { groups: 5, ..k(3, 2, 1, 1) }, Shape::new(2, 6, 6, 5), 10),
    ];
    for (op, x, out) in grid {
        let c = case(op, x, out, x.c % 2 == 1);
        let (twin, worst) = c.check(gpu.as_ref(), 2e-5).unwrap();
        let want: Vec<f32> = plain(&op, &c, out).into_iter().map(|v| v as f32).collect();
        let d = autobidet::testing::compare(&twin.outputs[0], &want);
        assert!(d.error < 2e-5, "{}: {d:?}", c.name);
        c.finite_difference(6, 1e-2, 2e-2).unwrap();
        println!("{}: device {worst:.1e}, twin {:.1e}", c.name, d.error);
    }
}

#[test]
fn linear_is_a_matrix_product() {
    for c in cases("linear") {
        let n = c.values("in.x").len() as u32;
        let bias = c.values("in.bias");
        let out = bias.len() as u32;
        let features = c.values("in.weight").len() as u32 / out;
        let x = Shape::new(n / features, 1, 1, features);
        let inputs = vec![
            TestInput::map("x", x, c.values("in.x")),
            TestInput::param("w", Shape::new(1, 1, features, out), Format::Weight, c.values("in.weight")),
            TestInput::param("bias", Shape::vector(out), Format::Map, bias),
        ];
        let case = OpCase {
            name: c.name.clone(),
            batch: x.n,
            inputs,
            upstream: vec![c.values("gout.y")],
            backward: true,
            build: Box::new(|b, t| b.apply(Linear, "linear", t)),
        };
        c.check(&case, &[&["y"]], &[&["x"], &["weight"], &["bias"]]);
    }
}

#[test]
fn wrong_shapes_are_refused_by_name() {
    let build = |op: Conv2d, x: Shape, w: Shape| {
        let made = Builder::build("t", Mode::Train, PlanLimits::HOST, x.n, |b| {
            let i = b.input("x", x, Format::Map, true);
            let w = b.input("w", w, Format::Weight, false);
            b.apply(op, "layer7", &[i, w])
        });
        made.map(|_| ()).unwrap_err().to_string()
    };
    let x = Shape::new(1, 4, 4, 6);
    let op = Conv2d { kernel: [3; 2], ..Default::default() };
    assert!(build(op, x, Shape::new(3, 3, 5, 2)).contains("layer7"));
    assert!(build(Conv2d { kernel: [5; 2], ..op }, x, Shape::new(5, 5, 6, 2)).contains("at least 5"));
    assert!(build(Conv2d { stride: [0, 1], ..op }, x, Shape::new(3, 3, 6, 2)).contains("stride"));
    assert!(build(Conv2d { groups: 4, ..op }, x, Shape::new(3, 3, 1, 2)).contains("groups"));
}
