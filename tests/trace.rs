//! The trace finds the kernel whose twin computes something else, and only that one.

use std::sync::Arc;

use autobidet::dims;
use autobidet::gpu::Gpu;
use autobidet::ops::INDEX;
use autobidet::plan::{Builder, Cost, Executor, Format, Kernel, Mode, PlanLimits, Shape, flat_groups};
use autobidet::testing::selftest::own_cases;
use autobidet::testing::trace::{Tolerance, Trace, trace_case, trace_plan};
use autobidet::testing::{TestDevice, TestInput, test_gpu};

dims! {
    /// Sizes of the test kernels.
    pub struct ReluDims {
        /// Vectors.
        vectors: u32,
        /// Unused.
        accumulate: u32,
    }
}

fn wrong_relu(_: &ReluDims, x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = if *x > 0.0 { *x + 0.5 } else { 0.0 });
}

fn right_relu(_: &ReluDims, x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = x.max(0.0));
}

fn wrong_bits(_: &ReluDims, x: &[u32], y: &mut [u32]) {
    y.iter_mut()
        .zip(x)
        .enumerate()
        .for_each(|(i, (y, x))| *y = if i == 3 { 7 } else { f32::from_bits(*x).max(0.0).to_bits() });
}

static RIGHT: Kernel = autobidet::kernel!("relu", [INDEX], ReluDims, [read x: f32, write y: f32], [], right_relu);
static WRONG: Kernel = autobidet::kernel!("relu", [INDEX], ReluDims, [read x: f32, write y: f32], [], wrong_relu);
static BITS: Kernel = autobidet::kernel!("relu", [INDEX], ReluDims, [read x: u32, write y: u32], [], wrong_bits);

/// Three layers in a row, a clear and a copy, traced.
fn run(gpu: &Arc<Gpu>, kernels: [&'static Kernel; 3]) -> Trace {
    let shape = Shape::new(2, 3, 3, 4);
    let (plan, x) = Builder::build("trace", Mode::Eval, PlanLimits::FLOOR, 2, |b| {
        let x = b.input("x", shape, Format::Map, true);
        let mut last = x;
        for (i, k) in kernels.into_iter().enumerate() {
            let y = b.map(&format!("y{i}"), shape);
            for (s, _, n) in b.slices() {
                let vectors = shape.with_n(n).len() as u32 / 4;
                let dims = ReluDims { vectors, accumulate: 0 };
                let views = [b.at(last, s), b.at(y, s)];
                b.dispatch(k, &format!("layer{i}"), &dims, &views, flat_groups(vectors as u64, 64), Cost::default())?;
            }
            last = y;
        }
        let (cleared, copied) = (b.map("cleared", shape), b.map("copied", shape));
        b.clear("end", cleared);
        b.copy("end", last, copied)?;
        Ok(x)
    })
    .unwrap();
    let data = TestInput::random(shape, "x", 1.0);
    trace_plan(gpu, plan, Tolerance::default(), |e| e.write_nchw(x, &data), &mut |_| true).unwrap()
}

#[test]
fn the_step_that_differs_is_named_and_no_other() {
    let Some(TestDevice::Gpu(gpu)) = test_gpu().unwrap() else { return };
    let good = run(&gpu, [&RIGHT; 3]);
    assert_eq!(good.steps.len(), 5);
    assert!(good.first_difference().is_none(), "{good:?}");

    // The layer after the wrong twin gets the device's input, so it is not blamed.
    let bad = run(&gpu, [&RIGHT, &WRONG, &RIGHT]);
    let step = bad.first_difference().unwrap();
    assert_eq!((step.step, step.label.as_str()), (1, "layer1.relu"));
    assert!(step.to_string().contains("y1["), "{step}");
    assert_eq!(bad.steps.iter().filter(|s| !s.agrees).count(), 1);

    let integers = run(&gpu, [&RIGHT, &RIGHT, &BITS]);
    let step = integers.first_difference().unwrap();
    assert_eq!(step.outputs[0].differing, 1.0 / 72.0);
    assert_eq!(step.outputs[0].example.unwrap().0, 3);
    assert!(step.to_string().contains("% of the integers differ"));
}

#[test]
fn a_trace_ends_when_it_is_told_to() {
    let Some(TestDevice::Gpu(gpu)) = test_gpu().unwrap() else { return };
    let shape = Shape::new(1, 1, 1, 4);
    let (plan, _) = Builder::build("clears", Mode::Eval, PlanLimits::FLOOR, 1, |b| {
        for i in 0..4 {
            let t = b.map(&format!("t{i}"), shape);
            b.clear("all", t);
        }
        Ok(())
    })
    .unwrap();
    let mut seen = 0;
    let trace = trace_plan(&gpu, plan, Tolerance::default(), |_| Ok(()), &mut |_| {
        seen += 1;
        seen < 2
    });
    assert_eq!(trace.unwrap().steps.len(), 2);
}

#[test]
fn every_step_of_every_operation_agrees_with_its_twin() {
    let Some(TestDevice::Gpu(gpu)) = test_gpu().unwrap() else { return };
    let mut wrong = Vec::new();
    for case in own_cases() {
        let trace = trace_case(&gpu, &case, Tolerance::default()).unwrap();
        wrong.extend(trace.steps.iter().filter(|s| !s.agrees).map(|s| format!("{}: {s}", case.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
