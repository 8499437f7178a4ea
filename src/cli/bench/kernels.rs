//! `autobidet bench kernels`: convolutions by themselves.

use std::sync::Arc;
use std::time::Instant;

use super::super::open::DeviceArgs;
use super::print_json;
use crate::Result;
use crate::device::Device;
use crate::ops::binary_conv2d::{ActivationGrad, BinaryConv2d, InputDomain, PadValue, WeightScale};
use crate::ops::conv2d::Conv2d;
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

/// Measures and prints.
pub fn run(args: &Args) -> Result<()> {
    let device = args.device.open()?;
    let mut rows = Vec::new();
    for (n, side, c, o, stride) in LAYERS {
        for binary in [false, true] {
            rows.extend(layer(&device, Shape::new(n, side, side, c), o, stride, binary)?);
        }
    }
    if args.json {
        let list: Vec<_> = rows
            .iter()
            .map(|(layer, kernel, gops)| serde_json::json!({"layer": layer, "kernel": kernel, "gops": gops}))
            .collect();
        print_json(&serde_json::json!({ "device": device.name(), "kernels": list }))?;
    } else {
        println!("{:<28} {:<26} {:>10}", "layer (3x3)", "kernel", "Gop/s");
        for (layer, kernel, gops) in rows {
            println!("{layer:<28} {kernel:<26} {gops:>10.1}");
        }
    }
    Ok(())
}

/// The kernels of one layer's forward and backward pass that multiply, each timed by itself.
fn layer(device: &Device, x: Shape, out: u32, stride: u32, binary: bool) -> Result<Vec<(String, &'static str, f64)>> {
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
        rows.push((name.clone(), kernel.name, 2.0 * macs as f64 / seconds / 1e9));
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
