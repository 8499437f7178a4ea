//! What the tests of the integer operations share: their inputs, and a check that is exact.

use autobidet::plan::{Builder, Format, Op, PlanLimits, Shape, TensorId, round4};
use autobidet::rng::Counter;
use autobidet::testing::trace::{Tolerance, trace_case};
use autobidet::testing::{OpCase, TestDevice, TestInput, test_gpu};

/// Integers of `-most ..= most`, some of them at the ends.
pub fn numbers(name: &str, len: u64, most: i32) -> Vec<i32> {
    let rng = Counter::named(5, name);
    let number = |i| match rng.words(i) {
        [_, 0..0x1000_0000, ..] => -most,
        [_, 0x1000_0000..0x2000_0000, ..] => most,
        [w, ..] => (w as u64 % (2 * most as u64 + 1)) as i32 - most,
    };
    (0..len as u32).map(number).collect()
}

/// An integer map of the batch; values as N,C,H,W.
pub fn int_map(shape: Shape, format: Format, values: &[i32]) -> TestInput {
    let data = values.iter().map(|v| *v as f32).collect();
    TestInput { format, ..TestInput::map("x", shape, data).no_grad() }
}

/// Something dense and unsliced, of integers.
pub fn int_dense(name: &str, shape: Shape, format: Format, values: impl IntoIterator<Item = i32>) -> TestInput {
    let data = values.into_iter().map(|v| f32::from_bits(v as u32)).collect();
    TestInput::param(name, shape, format, data).no_grad()
}

/// Integers a channel, 0 past the last one.
pub fn int_row(name: &str, values: &[i32]) -> TestInput {
    let pitch = round4(values.len() as u32);
    let padded = values.iter().copied().chain(std::iter::repeat(0)).take(pitch as usize);
    int_dense(name, Shape::vector(pitch), Format::FlatI32, padded)
}

/// A case of an operation without a backward pass.
pub fn int_case(name: String, inputs: Vec<TestInput>, op: impl Op + Copy + 'static) -> OpCase<'static> {
    OpCase {
        name,
        batch: inputs[0].shape.n,
        inputs,
        upstream: Vec::new(),
        backward: false,
        build: Box::new(move |b: &mut Builder, t: &[TensorId]| b.apply(op, "op", t)),
    }
}

/// Device against twin word by word, slices against one piece; gives the twin's output, integers as numbers.
pub fn exact(case: &OpCase<'_>) -> Vec<i32> {
    let gpu = test_gpu().unwrap();
    let (out, _) = case.check(gpu.as_ref(), 0.0).unwrap();
    if let Some(TestDevice::Gpu(gpu)) = gpu {
        for step in trace_case(&gpu, case, Tolerance { floats: 0.0, integers: 0.0 }).unwrap().steps {
            assert!(step.agrees, "{}: {step}", case.name);
        }
    }
    out.outputs[0].iter().map(|v| *v as i32).collect()
}

/// The words of the output on the twins, padding included.
pub fn words(case: &OpCase<'_>) -> Vec<u32> {
    use autobidet::plan::{Executor, Mode, Role};
    let (plan, output) = Builder::build(&case.name, Mode::Eval, PlanLimits::HOST, case.batch, |b| {
        let inputs: Vec<_> = case.inputs.iter().map(|i| b.input(&i.name, i.shape, i.format, i.sliced)).collect();
        let out = (case.build)(b, &inputs)?;
        b.keep(out[0]);
        Ok((inputs, out[0]))
    })
    .unwrap();
    let mut e = autobidet::cpu::CpuExecutor::new(std::sync::Arc::new(plan)).unwrap();
    for (t, i) in output.0.iter().zip(&case.inputs) {
        assert_eq!(e.plan().info(*t).role, Role::Input);
        e.write_nchw(*t, &i.data).unwrap();
    }
    e.run(&["forward"]).unwrap();
    e.read(output.1).unwrap()
}

/// floor(a m / 2^s + 1/2) in integers that hold everything.
pub fn scaled(acc: i64, mul: i32, shift: i32) -> i64 {
    let doubled = (acc as i128 * mul as i128) << 17;
    (((doubled >> (shift + 16)) + 1) >> 1) as i64
}

/// Index of (n, c, y, x) in an N,C,H,W array.
pub fn at(s: Shape, n: u32, c: u32, y: u32, x: u32) -> usize {
    (((n * s.c + c) * s.h + y) * s.w + x) as usize
}
