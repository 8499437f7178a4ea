//! int8_conv2d: exact against plain loops, device against twin, both ways of the twin.

use autobidet::cpu::conv2d::ConvDims;
use autobidet::cpu::int8_conv2d::{int8_conv2d, int8_conv2d_by_floats};
use autobidet::ops::conv2d::Conv2d;
use autobidet::ops::int8_conv2d::Int8Conv2d;
use autobidet::plan::{Format, Shape, round4};
use autobidet::testing::{OpCase, TestInput};

use super::case_file::refused;
use super::integers::{at, exact, int_case, int_dense, int_map, numbers, scaled, words};

const PLAIN: Int8Conv2d =
    Int8Conv2d { kernel: [3; 2], stride: [1; 2], padding: [1; 2], dilation: [1; 2], outputs: 8, relu: false, pad: 0 };
const ONE: Int8Conv2d = Int8Conv2d { kernel: [1; 2], padding: [0; 2], ..PLAIN };

/// A convolution with its inputs as numbers.
struct Bytes {
    op: Int8Conv2d,
    shape: Shape,
    x: Vec<i32>,
    /// [kh][kw][c][o].
    w: Vec<i32>,
    /// mul, shift, start, add a channel.
    affine: [Vec<i32>; 4],
}

impl Bytes {
    fn new(op: Int8Conv2d, shape: Shape) -> Bytes {
        let taps = (op.kernel[0] * op.kernel[1]) as u64;
        let o = op.outputs as u64;
        let shift = numbers("shift", o, 3).into_iter().map(|v| 13 + v).collect();
        let affine = [numbers("mul", o, 32_767), shift, numbers("start", o, 100_000), numbers("add", o, 1000)];
        let x = numbers("x", shape.len(), 128).into_iter().map(|v| v.min(127)).collect();
        Bytes { op, shape, x, w: numbers("w", taps * shape.c as u64 * o, 127), affine }
    }

    fn inputs(&self) -> Vec<TestInput> {
        let (o, c) = (self.op.outputs as usize, self.shape.c as usize);
        let (op, wd) = (round4(o as u32) as usize, c.div_ceil(4));
        let [kh, kw] = self.op.kernel;
        let mut packed = vec![0u32; (kh * kw) as usize * wd * op];
        for (i, v) in self.w.iter().enumerate() {
            let (t, k, out) = (i / o / c, i / o % c, i % o);
            packed[(t * wd + k / 4) * op + out] |= (*v as u8 as u32) << (8 * (k % 4));
        }
        // The pad lanes of the planes are not 0: the kernel must see to those of y.
        let affine = self.affine.iter().flat_map(|p| (0..op).map(|k| p.get(k).copied().unwrap_or(7)));
        vec![
            int_map(self.shape, Format::Bytes, &self.x),
            int_dense("w", Shape::new(kh, kw, wd as u32, op as u32), Format::FlatU32, packed.iter().map(|w| *w as i32)),
            int_dense("affine", Shape::new(1, 1, 4, op as u32), Format::FlatI32, affine),
        ]
    }

    fn case(&self) -> OpCase<'static> {
        int_case(format!("{:?} on {}", self.op, self.shape), self.inputs(), self.op)
    }

    fn dims(&self) -> ConvDims {
        let Int8Conv2d { kernel, stride, padding, dilation, outputs, .. } = self.op;
        let conv = Conv2d { kernel, stride, padding, dilation, groups: 1 };
        conv.dims("test", "int8_conv2d", self.shape, outputs).unwrap()
    }

    /// N,C,H,W from the definition.
    fn definition(&self) -> Vec<i32> {
        let (op, s, d) = (&self.op, self.shape, self.dims());
        let mut y = Vec::new();
        for n in 0..s.n {
            for o in 0..op.outputs as usize {
                for p in 0..d.p {
                    for q in 0..d.q {
                        let mut acc = self.affine[2][o] as i64;
                        for kh in 0..op.kernel[0] {
                            for kw in 0..op.kernel[1] {
                                let r = (p * op.stride[0] + kh * op.dilation[0]).wrapping_sub(op.padding[0]);
                                let col = (q * op.stride[1] + kw * op.dilation[1]).wrapping_sub(op.padding[1]);
                                for c in 0..s.c {
                                    let x = if r < s.h && col < s.w {
                                        self.x[at(s, n, c, r, col)]
                                    } else {
                                        (op.pad >> (8 * (c % 4))) as u8 as i8 as i32
                                    };
                                    let w = ((kh * op.kernel[1] + kw) * s.c + c) as usize * op.outputs as usize + o;
                                    acc += (x * self.w[w]) as i64;
                                }
                            }
                        }
                        let y_o = scaled(acc, self.affine[0][o], self.affine[1][o]) + self.affine[3][o] as i64;
                        y.push(if op.relu { y_o.max(0) } else { y_o } as i32);
                    }
                }
            }
        }
        y
    }
}

#[test]
fn int8_conv2d_is_exact_on_a_grid_of_shapes() {
    let wide = Int8Conv2d { dilation: [2, 3], padding: [2, 3], outputs: 6, pad: 0x7f80_ff01, ..PLAIN };
    let two = Int8Conv2d { stride: [2, 3], outputs: 5, relu: true, pad: 0x8080_8080, ..PLAIN };
    let odd = Int8Conv2d { kernel: [2, 5], stride: [1, 2], padding: [0, 3], outputs: 33, pad: 0x0102_0304, ..PLAIN };
    for (op, shape) in [
        (PLAIN, Shape::new(1, 1, 1, 1)),
        (PLAIN, Shape::new(2, 5, 4, 3)),
        (two, Shape::new(2, 9, 7, 3)),
        (two, Shape::new(1, 12, 11, 16)),
        (wide, Shape::new(2, 9, 8, 29)),
        (wide, Shape::new(3, 5, 5, 64)),
        (odd, Shape::new(2, 6, 9, 12)),
        (Int8Conv2d { outputs: 70, ..ONE }, Shape::new(2, 5, 5, 116)),
        (Int8Conv2d { outputs: 1, relu: true, ..ONE }, Shape::new(3, 3, 4, 33)),
        (Int8Conv2d { stride: [2; 2], outputs: 32, ..ONE }, Shape::new(1, 8, 6, 48)),
    ] {
        let bytes = Bytes::new(op, shape);
        let case = bytes.case();
        // Both were floats on their way.
        let want: Vec<i32> = bytes.definition().into_iter().map(|v| v as f32 as i32).collect();
        assert!(exact(&case) == want, "{}", case.name);
        let op = round4(op.outputs) as usize;
        let raw = words(&case);
        assert!(raw.chunks(op).all(|y| y[bytes.op.outputs as usize..].iter().all(|v| *v == 0)), "{}", case.name);
    }
}

/// Largest products of one sign, past what a float sums exactly: channels in several parts, taps in groups.
#[test]
fn int8_conv2d_sums_the_largest_products() {
    for (kernel, c) in [(1, 5000), (3, 1500), (3, 257), (5, 64)] {
        let op = Int8Conv2d { kernel: [kernel; 2], padding: [kernel / 2; 2], outputs: 9, pad: 0x8080_8080, ..PLAIN };
        let shape = Shape::new(1, 2, 3, c);
        for (x, w) in [(-128, -128), (-128, 127), (127, 127)] {
            let mut bytes = Bytes::new(op, shape);
            bytes.x.fill(x);
            bytes.w.fill(w);
            // The sums themselves, but for the fit in 30 bits.
            bytes.affine = [vec![1; 9], vec![2; 9], vec![0; 9], vec![0; 9]];
            let want: Vec<i32> = bytes.definition().into_iter().map(|v| v as f32 as i32).collect();
            assert!(exact(&bytes.case()) == want, "{kernel} {c} {x} {w}");
        }
    }
}

/// What machines without byte products run gives the same words.
#[test]
fn both_ways_of_the_twin_agree() {
    for (op, shape) in [
        (Int8Conv2d { outputs: 37, pad: 0x7f80_ff01, ..PLAIN }, Shape::new(2, 7, 9, 3)),
        (Int8Conv2d { outputs: 66, relu: true, pad: 0x8080_8080, ..PLAIN }, Shape::new(1, 8, 9, 130)),
        (Int8Conv2d { outputs: 20, ..ONE }, Shape::new(1, 9, 9, 1100)),
    ] {
        let bytes = Bytes::new(op, shape);
        let dims = ConvDims { relu: op.relu as u32, pad: op.pad, ..bytes.dims() };
        let inputs = bytes.inputs();
        let raw = |i: usize| -> Vec<u32> { inputs[i].data.iter().map(|v| v.to_bits()).collect() };
        let affine: Vec<i32> = raw(2).into_iter().map(|v| v as i32).collect();
        let wd = shape.c.div_ceil(4) as usize;
        let mut x = vec![0u32; shape.pixels() as usize * wd];
        for (i, v) in bytes.x.iter().enumerate() {
            let plane = (shape.h * shape.w) as usize;
            let (n, c, p) = (i / plane / shape.c as usize, i / plane % shape.c as usize, i % plane);
            x[(n * plane + p) * wd + c / 4] |= (*v as u8 as u32) << (8 * (c % 4));
        }
        let d = bytes.dims();
        let len = (d.n * d.p * d.q * round4(d.o)) as usize;
        let (mut a, mut b) = (vec![1i32; len], vec![2i32; len]);
        int8_conv2d(&dims, &x, &raw(1), &affine, &mut a);
        int8_conv2d_by_floats(&dims, &x, &raw(1), &affine, &mut b);
        assert!(a == b, "{op:?} {shape}");
    }
}

#[test]
fn int8_conv2d_refusals() {
    let shape = Shape::new(2, 5, 4, 5);
    let inputs = || Bytes::new(PLAIN, shape).inputs();
    let run = |part: &str, inputs: Vec<TestInput>, op: Int8Conv2d| {
        refused(part, inputs, move |b, t| b.apply(op, "layer3", t));
    };
    run("layer3: expected int8_conv2d: x, weights and affine", inputs()[..2].to_vec(), PLAIN);
    run("layer3: expected int8_conv2d: at least one output", inputs(), Int8Conv2d { outputs: 0, ..PLAIN });
    run("layer3, int8_conv2d: weights", inputs(), Int8Conv2d { outputs: 16, ..PLAIN });
    run("layer3, int8_conv2d: weights", inputs(), Int8Conv2d { kernel: [1; 2], ..PLAIN });
    run("int8_conv2d: a stride of 1 or more", inputs(), Int8Conv2d { stride: [0; 2], ..PLAIN });
    run("a padded input of at least 11", inputs(), Int8Conv2d { dilation: [5; 2], ..PLAIN });
    let mut wrong = inputs();
    wrong[0].format = Format::Fixed;
    run("layer3, int8_conv2d: x: expected Bytes of 2 images", wrong, PLAIN);
    let mut wrong = inputs();
    wrong[2] = int_dense("affine", Shape::new(1, 1, 3, 8), Format::FlatI32, [0; 24]);
    run("layer3, int8_conv2d: affine: expected 1x1x4x8 FlatI32", wrong, PLAIN);
    let deep = Shape::new(1, 1, 1, 65_540);
    let x = int_map(deep, Format::Bytes, &vec![0; 65_540]);
    let w = int_dense("w", Shape::new(1, 1, 16_385, 8), Format::FlatU32, vec![0; 16_385 * 8]);
    run("at most 65536 products", vec![x, w, inputs()[2].clone()], ONE);
}
