//! The device's own clock: steps that are timed by it compute what they compute otherwise.

use std::sync::Arc;
use std::time::Instant;

use autobidet::device::Device;
use autobidet::ops::conv2d::Conv2d;
use autobidet::plan::{Builder, Format, Mode, Shape};
use autobidet::testing::test_gpu;

/// Two convolutions of a map of ones, and what they made.
fn run(device: &Device, timed: bool) -> (Option<Vec<f64>>, Vec<u32>, f64) {
    let shape = Shape::new(1, 24, 24, 32);
    let (plan, (x, w, y)) = Builder::build("clock", Mode::Eval, device.limits(), 1, |b| {
        let x = b.input("x", shape, Format::Map, true);
        let w = b.input("w", Shape::new(3, 3, 32, 32), Format::Weight, false);
        let op = Conv2d { kernel: [3; 2], padding: [1; 2], ..Default::default() };
        let middle = b.apply1(op, "first", &[x, w])?;
        let y = b.apply1(op, "second", &[middle, w])?;
        b.keep(y);
        Ok((x, w, y))
    })
    .unwrap();
    let all: Vec<usize> = (0..plan.steps.len()).collect();
    let mut e = device.executor(Arc::new(plan)).unwrap();
    e.write_nchw(x, &vec![1.0; shape.len() as usize]).unwrap();
    e.write_nchw(w, &vec![0.01; 9 * 32 * 32]).unwrap();
    let begin = Instant::now();
    let seconds = if timed { e.device_seconds(&all).unwrap() } else { None };
    if seconds.is_none() {
        e.run_steps(&all).unwrap();
        e.wait().unwrap();
    }
    (seconds, e.read(y).unwrap(), begin.elapsed().as_secs_f64())
}

#[test]
fn steps_timed_by_the_device_compute_the_same() {
    let Some(device) = test_gpu().unwrap() else { return };
    let (none, want, _) = run(&device, false);
    let (seconds, got, whole) = run(&device, true);
    assert!(none.is_none() && got == want);
    let Some(seconds) = seconds else {
        println!("{} has no clock of its own", device.name());
        return;
    };
    let sum: f64 = seconds.iter().sum();
    assert!(seconds.len() == 2 && seconds.iter().all(|s| *s >= 0.0), "{seconds:?}");
    assert!(sum > 0.0 && sum <= whole, "{sum} s of {whole} s");
}

#[test]
fn the_twins_have_no_clock_of_their_own() {
    assert_eq!(run(&Device::Cpu, true).0, None);
}
