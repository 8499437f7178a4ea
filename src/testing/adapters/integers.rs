//! The integer operations of inference, which no case file is about: int8_conv2d, fixed_quantize, fixed_l2_norm,
//! threshold_pack, words_max_pool2d; and peak_rate of the benchmarks.

use super::{Adapter, Own, Prepared, bits, dense};
use crate::ops::binary_conv2d::{ActivationGrad, BinaryConv2d, InputDomain, PadValue, WeightScale};
use crate::ops::binary_conv2d_fused::BinaryConv2dFused;
use crate::ops::fixed_l2_norm::{FixedL2Norm, fixed_l2_weight};
use crate::ops::fixed_quantize::FixedQuantize;
use crate::ops::int8_conv2d::Int8Conv2d;
use crate::ops::peak_rate::PeakRate;
use crate::ops::pool::PoolWindow;
use crate::ops::threshold_pack::ThresholdPack;
use crate::ops::words_max_pool2d::WordsMaxPool2d;
use crate::plan::{Format, Op, Shape, round4};
use crate::rng::Counter;
use crate::testing::{OpCase, TestInput};

pub static ADAPTER: Adapter = Adapter { ops: &[], prepare: |_| Ok(Prepared::default()), own };

/// Integers of `-most ..= most`.
fn numbers(name: &str, len: u64, most: i32) -> Vec<i32> {
    let rng = Counter::named(7, name);
    (0..len as u32).map(|i| (rng.words(i)[0] % (2 * most as u32 + 1)) as i32 - most).collect()
}

/// A map of the batch with integers of `-most ..= most`.
fn map(shape: Shape, format: Format, most: i32) -> TestInput {
    let data = numbers("x", shape.len(), most).into_iter().map(|v| v as f32).collect();
    dense("x", shape, format, true, data)
}

/// Integers a channel, 0 past the last one.
fn row(name: &str, channels: u32, value: impl Fn(u32) -> i32) -> TestInput {
    let pitch = round4(channels);
    let values = (0..pitch).map(|c| if c < channels { value(c) } else { 0 });
    dense(name, Shape::vector(pitch), Format::FlatI32, false, bits(values))
}

fn case(name: &'static str, inputs: Vec<TestInput>, op: impl Op + Copy + 'static) -> Own {
    let shape = inputs[0].shape;
    let case = OpCase {
        name: format!("{name}: {shape}"),
        batch: shape.n,
        inputs,
        upstream: Vec::new(),
        backward: false,
        build: Box::new(move |b, t| b.apply(op, "op", t)),
    };
    Own { op: name, case, tolerance: 0.0, differences: None }
}

/// A fused binary convolution: with residual and words, in fixed point or in floats.
fn fused(x: Shape, outputs: u32, fixed: bool) -> Own {
    let columns = round4(outputs);
    let rng = Counter::named(7, "fused");
    let words = Shape::new(3, 3, x.c.div_ceil(32), columns);
    let mask = |i: u64| match (i / columns as u64 + 1) % words.w as u64 {
        0 if !x.c.is_multiple_of(32) => (1i32 << (x.c % 32)) - 1,
        _ => -1,
    };
    let weights = (0..words.len()).map(|i| rng.words(i as u32)[0] as i32 & mask(i));
    let plane = |k: u32, o: u32| match (fixed, k) {
        _ if o >= outputs => 0,
        (true, 0) => rng.words(9000 + o)[1] as i32 >> 17,
        (true, 1) => 4 + o as i32 % 5,
        (true, _) => rng.words(9000 + o)[2 + k as usize % 2] as i32 >> 20,
        (false, _) => (0.1 * rng.normal(9000 + 100 * k + o)).to_bits() as i32,
    };
    let affine = (0..4).flat_map(|k| (0..columns).map(move |o| (k, o))).map(|(k, o)| plane(k, o));
    let bits_of_x = (0..x.len() as u32).map(|i| (rng.words(20_000 + i)[0] & 1) as f32).collect();
    let format = if fixed { Format::Fixed } else { Format::Map };
    let inputs = vec![
        dense("x", x, Format::Words, true, bits_of_x),
        dense("w", words, Format::FlatU32, false, bits(weights)),
        dense("affine", Shape::new(1, 1, 4, columns), Format::FlatU32, false, bits(affine)),
        TestInput { name: "residual".into(), ..map(x.with_c(outputs), format, 4000) },
    ];
    let conv = BinaryConv2d {
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
    let pack = Some(InputDomain::Sign);
    let op = BinaryConv2dFused { conv, outputs, fixed, relu: false, map: true, pack };
    Own { tolerance: if fixed { 0.0 } else { 1e-6 }, ..case("binary_conv2d_fused", inputs, op) }
}

fn convolution(x: Shape, kernel: u32, stride: u32, outputs: u32) -> Own {
    let columns = round4(outputs);
    let weights = Shape::new(kernel, kernel, x.c.div_ceil(4), columns);
    // Bytes past the last channel are 0.
    let mask = |word: u64| match (word / columns as u64 + 1) % weights.w as u64 {
        0 if !x.c.is_multiple_of(4) => (1i32 << (8 * (x.c % 4))) - 1,
        _ => -1,
    };
    let rng = Counter::named(7, "w");
    let words = (0..weights.len()).map(|i| rng.words(i as u32)[0] as i32 & mask(i));
    let plane = |k: u32, o: u32| match k {
        0 => 3000 + 17 * o as i32,
        1 => 16 + o as i32 % 3,
        2 => 100 * o as i32 - 700,
        _ => 50 - o as i32,
    };
    let affine = (0..4).flat_map(|k| (0..columns).map(move |o| plane(k, o)));
    let inputs = vec![
        map(x, Format::Bytes, 127),
        dense("w", weights, Format::FlatU32, false, bits(words)),
        dense("affine", Shape::new(1, 1, 4, columns), Format::FlatI32, false, bits(affine)),
    ];
    let op = Int8Conv2d {
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [kernel / 2; 2],
        dilation: [1; 2],
        outputs,
        relu: outputs > 8,
        pad: 0x80ff_7f05,
    };
    case("int8_conv2d", inputs, op)
}

fn own() -> Vec<Own> {
    let mut out = vec![
        convolution(Shape::new(2, 9, 7, 3), 3, 2, 16),
        convolution(Shape::new(3, 5, 6, 32), 3, 1, 7),
        convolution(Shape::new(1, 7, 5, 29), 1, 1, 40),
        fused(Shape::new(2, 5, 6, 33), 40, true),
        fused(Shape::new(2, 5, 6, 128), 31, false),
    ];
    let peak = |format, data| vec![dense("x", Shape::vector(20), format, false, data)];
    let words = peak(Format::FlatU32, bits(numbers("peak", 20, 1 << 20)));
    out.push(case("peak_rate", words, PeakRate { bits: true, rounds: 3 }));
    let ones = peak(Format::Flat, (0..20).map(|i| (i % 3) as f32 - 1.0).collect());
    out.push(case("peak_rate", ones, PeakRate { bits: false, rounds: 5 }));
    for shape in [Shape::new(2, 3, 5, 3), Shape::new(3, 8, 7, 33)] {
        for pool in [None, Some(PoolWindow::square(2, 2, 0).ceil())] {
            let op = FixedQuantize { pool, mul: 21_000, shift: 22, zero: -9 };
            out.push(case("fixed_quantize", vec![map(shape, Format::Fixed, 30_000)], op));
        }
        let weight = row("weight", shape.c, |c| fixed_l2_weight(150.0 - 7.0 * c as f64));
        let norm = vec![map(shape, Format::Fixed, 60_000), weight];
        out.push(case("fixed_l2_norm", norm, FixedL2Norm { shift: 5 }));
        let thresholds = vec![map(shape, Format::Fixed, 900), row("t", shape.c, |c| 40 * c as i32 - 500)];
        out.push(case("threshold_pack", thresholds, ThresholdPack { fixed: true, domain: InputDomain::Sign }));
        let floats = vec![
            TestInput::map("x", shape, TestInput::random(shape, "x", 1.0)).no_grad(),
            dense(
                "t",
                Shape::vector(round4(shape.c)),
                Format::Flat,
                false,
                TestInput::random(Shape::vector(round4(shape.c)), "t", 0.5),
            ),
        ];
        out.push(case("threshold_pack", floats, ThresholdPack { fixed: false, domain: InputDomain::ZeroOne }));
        for window in [PoolWindow::square(2, 2, 0).ceil(), PoolWindow::square(3, 2, 1)] {
            // Mostly negative, so that some windows are so altogether.
            let x = TestInput {
                data: numbers("bits", shape.len(), 3).iter().map(|v| (*v < 3) as u32 as f32).collect(),
                ..map(shape, Format::Words, 1)
            };
            out.push(case("words_max_pool2d", vec![x], WordsMaxPool2d(window)));
        }
    }
    out
}
