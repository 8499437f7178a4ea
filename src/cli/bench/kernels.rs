//! `autobidet bench kernels`: convolutions by themselves.

use std::sync::Arc;
use std::time::Instant;

use super::super::open::DeviceArgs;
use super::print_json;
use crate::Result;
use crate::device::Device;
use crate::ops::binary_conv2d::{ActivationGrad, BinaryConv2d, InputDomain, PadValue, WeightScale};
use crate::ops::conv2d::Conv2d;
use crate::ops::peak_rate::PeakRate;
use crate::plan::{Builder, Executor, Format, Mode, Shape, StepKind};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// 3x3 layers: images, side, channels in and out, stride. The first is the one that targets are stated for; the others are
/// the small network's.
const LAYERS: [(u32, u32, u32, u32, u32); 5] =
    [(1, 38, 256, 256, 1), (16, 80, 32, 64, 2), (16, 40, 64, 64, 1), (16, 20, 128, 128, 1), (16, 20, 128, 48, 1)];

/// What the device can do at best, measured in the same run.
struct Peaks {
    /// xor, popcount and addition of bits in registers, Gop/s.
    bits: f64,
    /// Multiplication and addition of floats in registers, Gop/s.
    floats: f64,
    /// Bytes read and written by a copy, GB/s.
    copy: f64,
}

/// A kernel of a layer.
struct Row {
    layer: String,
    kernel: &'static str,
    gops: f64,
    /// Bytes of its tensors, each counted once, GB/s.
    gbs: f64,
    /// Gop/s as a share of the peak of what the kernel's innermost loop does: bits or floats.
    of_peak: f64,
}

/// Measures and prints.
pub fn run(args: &Args) -> Result<()> {
    let device = args.device.open()?;
    let peaks = Peaks::measure(&device)?;
    let mut rows = Vec::new();
    for (n, side, c, o, stride) in LAYERS {
        for binary in [false, true] {
            rows.extend(layer(&device, &peaks, Shape::new(n, side, side, c), o, stride, binary)?);
        }
    }
    if args.json {
        let list: Vec<_> = rows
            .iter()
            .map(|r| {
                serde_json::json!({
                    "layer": r.layer, "kernel": r.kernel, "gops": r.gops, "share_of_peak": r.of_peak,
                    "gigabytes_per_second": r.gbs, "share_of_copy": r.gbs / peaks.copy,
                })
            })
            .collect();
        let limits = serde_json::json!({
            "popcount_gops": peaks.bits, "multiply_add_gops": peaks.floats, "copy_gigabytes_per_second": peaks.copy,
        });
        return print_json(&serde_json::json!({ "device": device.name(), "peaks": limits, "kernels": list }));
    }
    println!(
        "at best, in this run: {:.0} Gop/s of xor and popcount, {:.0} of multiply-add (in registers);",
        peaks.bits, peaks.floats
    );
    println!("{:.1} GB/s read and written by a copy", peaks.copy);
    println!("{:<28} {:<26} {:>10} {:>8} {:>8} {:>8}", "layer (3x3)", "kernel", "Gop/s", "of peak", "GB/s", "of copy");
    for r in rows {
        let [peak, copy] = [r.of_peak, r.gbs / peaks.copy].map(|v| format!("{:.0} %", 100.0 * v));
        println!("{:<28} {:<26} {:>10.1} {peak:>8} {:>8.1} {copy:>8}", r.layer, r.kernel, r.gops, r.gbs);
    }
    Ok(())
}

impl Peaks {
    fn measure(device: &Device) -> Result<Peaks> {
        /// Values of each input, 1 MiB: read once, then the rounds stay in registers.
        const VALUES: u32 = 1 << 18;
        const ROUNDS: u32 = 256;
        let mut gops = [0.0; 2];
        for (bits, gops) in [true, false].into_iter().zip(&mut gops) {
            let (plan, x) = Builder::build("peak", Mode::Eval, device.limits(), 1, |b| {
                let format = if bits { Format::FlatU32 } else { Format::Flat };
                let x = b.input("x", Shape::vector(VALUES), format, false);
                b.apply1(PeakRate { bits, rounds: ROUNDS }, "peak", &[x])?;
                Ok(x)
            })?;
            let cost = plan.steps[0].cost;
            let mut e = device.executor(Arc::new(plan))?;
            // Floats that stay in range: 1.
            let data = (0..VALUES).map(|i| if bits { i.wrapping_mul(2_654_435_761) } else { 1f32.to_bits() });
            e.write(x, &data.collect::<Vec<_>>())?;
            *gops = 2.0 * (cost.macs + cost.binary_macs) as f64 / best_time(e.as_mut(), 0)? / 1e9;
        }
        // Beyond the caches of most machines.
        let words = (device.limits().max_binding / 4).min(16 << 20) as u32;
        let (plan, ()) = Builder::build("copy", Mode::Eval, device.limits(), 1, |b| {
            let from = b.input("from", Shape::vector(words), Format::FlatU32, false);
            let to = b.output("to", Shape::vector(words), Format::FlatU32, false);
            b.copy("peak", from, to)
        })?;
        let bytes = plan.steps[0].cost.bytes;
        let mut e = device.executor(Arc::new(plan))?;
        let copy = bytes as f64 / best_time(e.as_mut(), 0)? / 1e9;
        Ok(Peaks { bits: gops[0], floats: gops[1], copy })
    }
}

/// The kernels of one layer's forward and backward pass that multiply, each timed by itself.
fn layer(device: &Device, peaks: &Peaks, x: Shape, out: u32, stride: u32, binary: bool) -> Result<Vec<Row>> {
    let name = format!("{x} -> {out}{}", if stride == 2 { " /2" } else { "" });
    let (plan, (images, weights, seed)) = Builder::build("bench", Mode::Train, device.limits(), x.n, |b| {
        let images = b.input("x", x, Format::Map, true);
        let weights = b.input("w", Shape::new(3, 3, x.c, out), Format::Weight, false);
        b.want_grad(images);
        b.want_grad(weights);
        let y = if binary {
            let op = BinaryConv2d {
                kernel: [3; 2],
                stride: [stride; 2],
                padding: [1; 2],
                dilation: [1; 2],
                groups: 1,
                pad: PadValue::MinusOne,
                domain: InputDomain::Sign,
                activation_grad: ActivationGrad::ApproxSign,
                weight_scale: WeightScale::FilterMeanAbs,
            };
            b.apply1(op, "layer", &[images, weights])?
        } else {
            let op = Conv2d { kernel: [3; 2], stride: [stride; 2], padding: [1; 2], ..Default::default() };
            b.apply1(op, "layer", &[images, weights])?
        };
        let info = b.info(y).clone();
        let seed = b.input("d_y", info.shape, info.format, true);
        b.seed_gradient(y, seed);
        b.backward()?;
        Ok((images, weights, seed))
    })?;
    let mut e = device.executor(Arc::new(plan))?;
    for t in [images, weights, seed] {
        let info = e.plan().info(t).clone();
        let rng = crate::rng::Counter::named(1, &info.name);
        let data: Vec<f32> = (0..info.shape.len() as u32).map(|i| rng.normal(i)).collect();
        e.write_nchw(t, &data)?;
    }
    let all: Vec<usize> = (0..e.plan().steps.len()).collect();
    e.run_steps(&all)?;
    e.wait()?;
    let mut rows = Vec::new();
    for i in all {
        let cost = e.plan().steps[i].cost;
        let macs = cost.macs + cost.binary_macs;
        let StepKind::Dispatch { kernel, .. } = e.plan().steps[i].kind else { continue };
        if macs == 0 {
            continue;
        }
        let seconds = best_time(e.as_mut(), i)?;
        let gops = 2.0 * macs as f64 / seconds / 1e9;
        let of_peak = gops / if cost.binary_macs > 0 { peaks.bits } else { peaks.floats };
        let gbs = cost.bytes as f64 / seconds / 1e9;
        rows.push(Row { layer: name.clone(), kernel: kernel.name, gops, gbs, of_peak });
    }
    Ok(rows)
}

/// The shortest of several times of one step, each over enough repeats to be measured.
fn best_time(e: &mut dyn Executor, step: usize) -> Result<f64> {
    let mut time = |repeats: usize| -> Result<f64> {
        let clock = Instant::now();
        e.run_steps(&vec![step; repeats])?;
        e.wait()?;
        Ok(clock.elapsed().as_secs_f64() / repeats as f64)
    };
    let once = time(1)?;
    let repeats = ((0.1 / once) as usize).clamp(1, 10_000);
    let mut best = once;
    for _ in 0..5 {
        best = best.min(time(repeats)?);
    }
    Ok(best)
}
