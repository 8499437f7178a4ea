//! A plan with one packed binary convolution, run on the CPU twins and on an adapter: equal integers.
//!
//! `cargo run --release --example 02_binary_conv2d`

use std::sync::Arc;
use std::time::Instant;

use autobidet::device::Device;
use autobidet::gpu::{DeviceChoice, LimitsChoice, adapters};
use autobidet::ops::binary_conv2d::{ActivationGrad, BinaryConv2d, InputDomain, PadValue, WeightScale};
use autobidet::plan::{Builder, Format, Mode, Shape};
use autobidet::rng::Counter;

/// One map of 38x38 pixels, 256 channels in and out, 3x3 taps: a layer of SSD300's body.
const SIDE: u32 = 38;
const CHANNELS: u32 = 256;
const TAPS: u32 = 3;

fn main() -> autobidet::Result<()> {
    let x_shape = Shape::new(1, SIDE, SIDE, CHANNELS);
    let w_shape = Shape::new(TAPS, TAPS, CHANNELS, CHANNELS);
    let random = |name: &str, shape: Shape| -> Vec<f32> {
        let rng = Counter::named(1, name);
        (0..shape.len() as u32).map(|i| rng.normal(i)).collect()
    };
    // N,C,H,W and O,I,KH,KW, as PyTorch has them; the executor turns them into the engine's own layout.
    let (x, w) = (random("x", x_shape), random("w", w_shape));

    let mut devices = vec![Device::Cpu];
    match adapters().first() {
        Some(a) => devices.push(Device::open(&DeviceChoice::Index(a.index), LimitsChoice::Adapter)?.0),
        None => println!("no adapter was found, so only the twins run (Debian: apt-get install mesa-vulkan-drivers)"),
    }

    let mut results: Vec<Vec<f32>> = Vec::new();
    for device in &devices {
        // The network is walked once: what comes out is a list of dispatches and a memory map, nothing is computed yet.
        let (plan, (input, weights, y)) = Builder::build("example", Mode::Eval, device.limits(), 1, |b| {
            let input = b.input("x", x_shape, Format::Map, true);
            let weights = b.input("w", w_shape, Format::Weight, false);
            let op = BinaryConv2d {
                kernel: [TAPS; 2],
                stride: [1; 2],
                padding: [1; 2],
                dilation: [1; 2],
                groups: 1,
                pad: PadValue::MinusOne,
                domain: InputDomain::Sign,
                activation_grad: ActivationGrad::ApproxSign,
                // No alpha: the output is the integer that the bits give.
                weight_scale: WeightScale::None,
            };
            let y = b.apply1(op, "layer", &[input, weights])?;
            b.keep(y);
            Ok((input, weights, y))
        })?;
        if results.is_empty() {
            print!("{plan}");
        }
        let macs: u64 = plan.steps.iter().map(|s| s.cost.binary_macs).sum();
        let multiply = plan.steps.iter().position(|s| s.cost.binary_macs > 0).unwrap_or(0);

        let mut e = device.executor(Arc::new(plan))?;
        e.write_nchw(input, &x)?;
        e.write_nchw(weights, &w)?;
        e.run(&["forward"])?;
        results.push(e.read_nchw(y)?);

        // The step that multiplies, by itself: the best of ten.
        let mut best = f64::INFINITY;
        for _ in 0..10 {
            let clock = Instant::now();
            e.run_steps(&[multiply])?;
            e.wait()?;
            best = best.min(clock.elapsed().as_secs_f64());
        }
        let speed = 2.0 * macs as f64 / best / 1e9;
        println!("{:<60} {:>8.2} ms {speed:>7.0} Gop/s", e.device_name(), best * 1e3);
    }

    // The definition at some outputs: signs multiplied one by one, -1 outside the map.
    let sign = |v: f32| if v < 0.0 { -1.0 } else { 1.0 };
    let side = SIDE as i32;
    for (o, p, q) in [(0, 0, 0), (7, 0, 37), (100, 19, 20), (255, 37, 37), (31, 37, 5)] {
        let mut sum = 0.0;
        for c in 0..CHANNELS as usize {
            for (kh, kw) in (0..3).flat_map(|kh| (0..3).map(move |kw| (kh, kw))) {
                let (row, column) = (p + kh - 1, q + kw - 1);
                let inside = (0..side).contains(&row) && (0..side).contains(&column);
                let at = (c as i32 * side + row) * side + column;
                let value = if inside { sign(x[at as usize]) } else { -1.0 };
                sum += value * sign(w[((o * CHANNELS as usize + c) * 3 + kh as usize) * 3 + kw as usize]);
            }
        }
        let at = (o as i32 * side + p) * side + q;
        assert!(results.iter().all(|r| r[at as usize] == sum), "output {o} at row {p}, column {q}");
    }
    assert!(results.iter().all(|r| r == &results[0]));
    println!("{} outputs, the same integers everywhere", results[0].len());
    Ok(())
}
