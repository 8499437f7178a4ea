//! The fused binary convolution: against the steps that it stands for, twins against the device, both arithmetics.

use autobidet::cpu::fixed::fixed_scale;
use autobidet::ops::binary_conv2d::{ActivationGrad, BinaryConv2d, InputDomain, PadValue, WeightScale};
use autobidet::ops::binary_conv2d_fused::BinaryConv2dFused;
use autobidet::plan::{Format, Shape, TensorId, round4};
use autobidet::rng::Counter;
use autobidet::testing::trace::{Tolerance, trace_case};
use autobidet::testing::{OpCase, TestInput, test_gpu};

use super::case_file::refused;

fn geometry(kernel: u32, stride: u32, padding: u32, dilation: u32, domain: InputDomain, pad: PadValue) -> BinaryConv2d {
    BinaryConv2d {
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [padding; 2],
        dilation: [dilation; 2],
        groups: 1,
        pad,
        domain,
        activation_grad: ActivationGrad::ApproxSign,
        weight_scale: WeightScale::None,
    }
}

/// Words, weight words and planes of a layer, as the host has them.
struct Layer {
    op: BinaryConv2dFused,
    x: Shape,
    /// 0 or 1, N,C,H,W.
    bits: Vec<f32>,
    weights: Vec<u32>,
    planes: [Vec<u32>; 4],
    residual: Option<Vec<f32>>,
}

fn layer(op: BinaryConv2dFused, x: Shape, with_residual: bool) -> Layer {
    let rng = Counter::named(5, "fused");
    let words = x.c.div_ceil(32);
    let taps = op.conv.kernel[0] * op.conv.kernel[1];
    let op_ = round4(op.outputs) as usize;
    let mut weights = vec![0u32; (taps * words) as usize * op_];
    for (i, row) in weights.chunks_exact_mut(op_).enumerate() {
        let last = i as u32 % words == words - 1 && !x.c.is_multiple_of(32);
        let mask = if last { (1u32 << (x.c % 32)) - 1 } else { u32::MAX };
        for (o, w) in row.iter_mut().enumerate().take(op.outputs as usize) {
            *w = rng.words((i * 1000 + o) as u32)[0] & mask;
        }
    }
    let value = |plane: u32, o: u32| -> u32 {
        let v = rng.normal(40_000 + plane * 1000 + o);
        match (op.fixed, plane) {
            (false, 0) => (0.01 * v).to_bits(),
            (false, _) => (0.1 * v).to_bits(),
            (true, 0) => ((v * 8000.0) as i32).clamp(-32767, 32767) as u32,
            (true, 1) => 3 + o % 4,
            (true, _) => (v * 3000.0) as i32 as u32,
        }
    };
    let planes = [0, 1, 2, 3].map(|p| (0..op.outputs).map(|o| value(p, o)).collect());
    let bits = (0..x.len() as u32).map(|i| (rng.words(90_000 + i)[1] & 1) as f32).collect();
    let out = op.conv.dims("t", x, op.outputs).unwrap().output();
    let scale = if op.fixed { 2000.0 } else { 0.2 };
    let residual = with_residual.then(|| {
        let v = TestInput::random(out, "residual", scale);
        if op.fixed { v.into_iter().map(f32::round).collect() } else { v }
    });
    Layer { op, x, bits, weights, planes, residual }
}

impl Layer {
    fn case(&self) -> OpCase<'static> {
        let op = self.op;
        let o = round4(op.outputs);
        let out = op.conv.dims("t", self.x, op.outputs).unwrap().output();
        let [kh, kw] = op.conv.kernel;
        let dense = |name: &str, shape, words: Vec<u32>| {
            let data = words.into_iter().map(f32::from_bits).collect();
            TestInput { sliced: false, ..TestInput::param(name, shape, Format::FlatU32, data).no_grad() }
        };
        let mut affine = vec![0; 4 * o as usize];
        for (to, from) in affine.chunks_exact_mut(o as usize).zip(&self.planes) {
            to[..from.len()].copy_from_slice(from);
        }
        let words = TestInput { format: Format::Words, ..TestInput::map("x", self.x, self.bits.clone()).no_grad() };
        let mut inputs = vec![
            words,
            dense("w", Shape::new(kh, kw, self.x.c.div_ceil(32), o), self.weights.clone()),
            dense("affine", Shape::new(1, 1, 4, o), affine),
        ];
        if let Some(r) = &self.residual {
            let format = if op.fixed { Format::Fixed } else { Format::Map };
            inputs.push(TestInput { format, ..TestInput::map("residual", out, r.clone()).no_grad() });
        }
        OpCase {
            name: format!("{op:?} {}", self.x),
            batch: self.x.n,
            inputs,
            upstream: Vec::new(),
            backward: false,
            build: Box::new(move |b, t: &[TensorId]| b.apply(op, "layer", t)),
        }
    }

    /// The definition in plain loops: (map, bits), N,C,H,W.
    fn definition(&self) -> (Vec<f32>, Vec<f32>) {
        let (op, x) = (&self.op, self.x);
        let d = op.conv.dims("t", x, op.outputs).unwrap();
        let out = d.output();
        let (words, pitch) = (x.c.div_ceil(32), round4(op.outputs));
        let (mut map, mut bits) = (Vec::new(), Vec::new());
        for n in 0..out.n {
            for o in 0..out.c {
                for p in 0..out.h {
                    for q in 0..out.w {
                        let mut sum = 0i32;
                        for t in 0..d.kh * d.kw {
                            let row = (p * d.stride_h + t / d.kw * d.dil_h) as i64 - d.pad_h as i64;
                            let col = (q * d.stride_w + t % d.kw * d.dil_w) as i64 - d.pad_w as i64;
                            let inside = (0..x.h as i64).contains(&row) && (0..x.w as i64).contains(&col);
                            for c in 0..x.c {
                                let w = self.weights[((t * words + c / 32) * pitch + o) as usize] >> (c % 32) & 1;
                                let at = ((n * x.c + c) * x.h) as i64 * x.w as i64 + row * x.w as i64 + col;
                                let a = match (inside, op.conv.domain, op.conv.pad) {
                                    (false, _, PadValue::Zero) => 0,
                                    (false, _, PadValue::MinusOne) => -1,
                                    (true, InputDomain::Sign, _) => 1 - 2 * self.bits[at as usize] as i32,
                                    (true, InputDomain::ZeroOne, _) => self.bits[at as usize] as i32,
                                };
                                sum += if w == 1 { -a } else { a };
                            }
                        }
                        let k = o as usize;
                        let residual = self.residual.as_ref().map_or(0.0, |r| r[map.len()]);
                        let plane = |p: usize| self.planes[p][k];
                        let (v, t) = if op.fixed {
                            let scaled = fixed_scale(sum, plane(0) as i32, plane(1) as i32);
                            ((scaled + plane(2) as i32) as f64 + residual as f64, plane(3) as i32 as f64)
                        } else {
                            let f = |p: usize| f32::from_bits(plane(p));
                            ((f(0) * sum as f32 + f(2) + residual) as f64, f(3) as f64)
                        };
                        let v = if op.relu { v.max(0.0) } else { v };
                        map.push(v as f32);
                        let one = match op.pack {
                            Some(InputDomain::ZeroOne) => v + t > 0.0,
                            _ => v + t < 0.0,
                        };
                        bits.push(one as u32 as f32);
                    }
                }
            }
        }
        (map, bits)
    }
}

#[test]
fn binary_conv2d_fused_on_a_grid() {
    let gpu = test_gpu().unwrap();
    let shapes = [
        (Shape::new(2, 5, 7, 3), 5, geometry(3, 1, 1, 1, InputDomain::Sign, PadValue::MinusOne)),
        (Shape::new(1, 9, 9, 128), 64, geometry(3, 1, 1, 1, InputDomain::Sign, PadValue::MinusOne)),
        (Shape::new(2, 6, 5, 64), 33, geometry(3, 2, 1, 1, InputDomain::Sign, PadValue::Zero)),
        (Shape::new(1, 11, 4, 33), 40, geometry(3, 1, 2, 2, InputDomain::ZeroOne, PadValue::MinusOne)),
        (Shape::new(3, 4, 4, 160), 31, geometry(1, 1, 0, 1, InputDomain::ZeroOne, PadValue::Zero)),
    ];
    for (k, (x, outputs, conv)) in shapes.into_iter().enumerate() {
        for fixed in [false, true] {
            for (i, (map, pack)) in [
                (true, Some(InputDomain::Sign)),
                (true, None),
                (false, Some(InputDomain::Sign)),
                (true, Some(InputDomain::ZeroOne)),
            ]
            .into_iter()
            .enumerate()
            {
                let op = BinaryConv2dFused { conv, outputs, fixed, relu: i == 3, map, pack };
                let layer = layer(op, x, (i + k) % 2 == 0);
                let case = layer.case();
                // Floats may be rounded once more or less; a sign that hangs on it is not in these cases.
                let (out, _) = case.check(gpu.as_ref(), if fixed { 0.0 } else { 1e-6 }).unwrap();
                let (want_map, want_bits) = layer.definition();
                let mut got = out.outputs.into_iter();
                if map {
                    let d = autobidet::testing::compare(&got.next().unwrap(), &want_map);
                    assert!(d.error <= if fixed { 0.0 } else { 1e-6 }, "{} {d:?}", case.name);
                }
                if pack.is_some() {
                    assert_eq!(got.next().unwrap(), want_bits, "{}", case.name);
                }
                if let (true, Some(autobidet::testing::TestDevice::Gpu(g))) = (fixed, gpu.as_ref()) {
                    let trace = trace_case(g, &case, Tolerance { floats: 0.0, integers: 0.0 }).unwrap();
                    assert!(trace.first_difference().is_none(), "{:?}", trace.first_difference());
                }
            }
        }
    }
}

#[test]
fn binary_conv2d_fused_refuses() {
    let conv = geometry(3, 1, 1, 1, InputDomain::Sign, PadValue::MinusOne);
    let op = BinaryConv2dFused { conv, outputs: 5, fixed: true, relu: false, map: true, pack: None };
    let good = layer(op, Shape::new(1, 4, 4, 33), true);
    let inputs = || good.case().inputs;
    let nothing = BinaryConv2dFused { map: false, ..op };
    refused("a map, sign words or both", inputs(), move |b, t| b.apply(nothing, "l", t));
    let other = BinaryConv2dFused { outputs: 9, ..op };
    refused("3x3x2x12", inputs(), move |b, t| b.apply(other, "l", t));
    let floats = BinaryConv2dFused { fixed: false, ..op };
    refused("residual", inputs(), move |b, t| b.apply(floats, "l", t));
    refused("x, weight words, affine", inputs(), move |b, t| b.apply(op, "l", &t[..2]));
}
