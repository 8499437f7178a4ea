use std::sync::Arc;

use autobidet::ops::hyper;
use autobidet::ops::image_beta::{BetaSource, BetaTransform, ImageBeta};
use autobidet::plan::{Builder, Format, Mode, PlanLimits, Shape, TensorId};
use autobidet::testing::{OpCase, TestDevice, TestInput, test_gpu};

use super::case_file::{loss_case, map, refused};
use super::losses_support::{dense, devices};

/// The numbers of a step.
fn numbers(ready: bool, seed: u32, step: u32) -> Vec<f32> {
    let mut h = vec![0f32; hyper::LEN as usize];
    h[hyper::BETA_READY as usize] = ready as u32 as f32;
    h[hyper::SEED as usize] = f32::from_bits(seed);
    h[hyper::STEP as usize] = f32::from_bits(step);
    h
}

/// `op` on one input of `data`, or on none; a large map beside it makes slices.
fn case(op: ImageBeta, n: u32, input: Option<TestInput>, numbers: Vec<f32>) -> OpCase<'static> {
    let own = input.is_some() as usize;
    let mut inputs = vec![
        map("beside", Shape::new(n, 8, 8, 4)).no_grad(),
        dense("hyper", Shape::vector(hyper::LEN), Format::Flat, false, numbers),
    ];
    inputs.extend(input.map(TestInput::no_grad));
    let case =
        loss_case("image_beta", inputs, move |b, t| b.apply(ImageBeta { hyper: t[1], ..op }, "beta", &t[2..2 + own]));
    OpCase { backward: false, ..case }
}

fn new(source: BetaSource) -> ImageBeta {
    ImageBeta::new(source, TensorId(0))
}

fn logits(n: u32, format: Format, data: Vec<f32>) -> TestInput {
    dense("logits", Shape::new(n, 1, 1, 1), format, true, data)
}

/// Mean absolute differences, which are not looked at, and squares of these distances.
fn differences(distances: &[f32]) -> TestInput {
    let data = distances.iter().flat_map(|d| [77.0, d * d]).collect();
    dense("differences", Shape::new(distances.len() as u32, 1, 1, 2), Format::Flat, false, data)
}

/// (s, beta, weight) of the images.
fn triples(outputs: &[Vec<f32>]) -> Vec<[f32; 3]> {
    (0..outputs[0].len()).map(|n| [0, 1, 2].map(|o| outputs[o][n])).collect()
}

#[test]
fn s_is_the_discriminators_opinion_and_beta_its_transform() {
    let gpu = test_gpu().unwrap();
    let data = vec![0.0, 1.5, -2.0, 40.0, -200.0, f32::NAN, f32::INFINITY];
    let n = data.len() as u32;
    for transform in [BetaTransform::Linear, BetaTransform::Exponential, BetaTransform::Sine] {
        for format in [Format::Map, Format::Flat] {
            let op = ImageBeta { transform, delta: 7.0, theta: 3.0, initial: 4.0, ..new(BetaSource::Logit) };
            let c = case(op, n, Some(logits(n, format, data.clone())), numbers(true, 0, 0));
            let (out, _) = c.check(gpu.as_ref(), 1e-6).unwrap();
            for (x, [s, beta, weight]) in data.iter().zip(triples(&out.outputs)) {
                // What is not finite says nothing.
                let want = if x.is_finite() { 1.0 / (1.0 + (-*x as f64).exp()) } else { 0.5 };
                assert!((s as f64 - want).abs() < 1e-6, "{x}: {s}");
                let f = match transform {
                    BetaTransform::Linear => want,
                    BetaTransform::Exponential => want.exp(),
                    BetaTransform::Sine => want.sin(),
                };
                assert!((beta as f64 / (7.0 + 3.0 * f) - 1.0).abs() < 1e-6, "{x}: {beta}");
                assert!((weight * beta - 1.0).abs() < 1e-6);
            }
            let warming = case(op, n, Some(logits(n, format, data.clone())), numbers(false, 0, 0));
            let (before, _) = warming.check(gpu.as_ref(), 1e-6).unwrap();
            assert_eq!(before.outputs[0], out.outputs[0]);
            assert!(before.outputs[1].iter().all(|b| *b == 4.0) && before.outputs[2].iter().all(|w| *w == 0.25));
        }
    }
}

/// Runs steps on these distances, each with its gate, and gives s of each and the state after it.
fn steps(device: &TestDevice, source: BetaSource, steps: &[(Vec<f32>, bool)], cut: bool) -> Vec<(Vec<f32>, Vec<f32>)> {
    let n = steps[0].0.len() as u32;
    let limits =
        if cut { PlanLimits { max_binding: 1024 * (n as u64 - 1), ..device.limits() } } else { device.limits() };
    let (plan, (hyper, gate, input, s)) = Builder::build("image_beta", Mode::Train, limits, n, |b| {
        b.input("beside", Shape::new(n, 8, 8, 4), Format::Map, true);
        let hyper = hyper::hyper_input(b);
        let gate = b.input("gate", Shape::vector(1), Format::FlatU32, false);
        let input = b.input("differences", Shape::new(n, 1, 1, 2), Format::Flat, false);
        let out = b.apply(ImageBeta { hyper, ..new(source) }, "beta", &[input])?;
        b.set_gate(gate);
        b.add_deferred()?;
        Ok((hyper, gate, input, out[0]))
    })
    .unwrap();
    assert_eq!(plan.slices.len() > 1, cut);
    let state = plan.tensor("beta.range").unwrap();
    let all: Vec<usize> = (0..plan.steps.len()).collect();
    let mut e = device.executor(Arc::new(plan)).unwrap();
    let run = |(distances, open): &(Vec<f32>, bool)| {
        e.write_nchw(hyper, &numbers(true, 0, 0)).unwrap();
        e.write(gate, &[*open as u32]).unwrap();
        e.write_nchw(input, &differences(distances).data).unwrap();
        e.run_steps(&all).unwrap();
        (e.read_f32(s).unwrap(), e.read_f32(state).unwrap()[..3].to_vec())
    };
    steps.iter().map(run).collect()
}

#[test]
fn distances_are_scaled_by_moving_extremes() {
    let batches = [
        (vec![0.5, 0.25, 0.75], true),
        (vec![2.0, 1.0, 0.5], true),
        // A skipped step leaves the extremes alone, but its own s has its batch in them.
        (vec![100.0, 1.0, 0.5], false),
        (vec![f32::NAN, 0.5, 0.0], true),
        (vec![f32::NAN; 3], true),
    ];
    for device in devices() {
        let got = steps(&device, BetaSource::Distance, &batches, false);
        let mut range: Option<[f64; 2]> = None;
        for (k, ((d, open), (s, state))) in batches.iter().zip(&got).enumerate() {
            let finite: Vec<f64> = d.iter().filter(|v| v.is_finite()).map(|v| *v as f64).collect();
            let ends =
                [finite.iter().copied().fold(f64::INFINITY, f64::min), finite.iter().copied().fold(0.0, f64::max)];
            let new = match (range, finite.is_empty()) {
                (Some(old), true) => old,
                (None, _) => ends,
                (Some(old), _) => [0, 1].map(|i| 0.99 * old[i] + 0.01 * ends[i]),
            };
            for (d, s) in d.iter().zip(s) {
                let want = ((*d as f64 - new[0]) / (new[1] - new[0])).clamp(0.0, 1.0);
                let want = if d.is_finite() { want } else { 0.5 };
                assert!((*s as f64 - want).abs() < 1e-5, "step {k} on {}: {s} {want}", device.name());
            }
            if *open {
                range = Some(new);
            }
            let want = range.unwrap();
            assert!((0..2).all(|i| (state[i] as f64 - want[i]).abs() < 1e-6) && state[2] == 1.0, "step {k}: {state:?}");
        }
        assert_eq!(got[0].0, [0.5, 0.0, 1.0]);
        assert_eq!(got[1].1, got[2].1);
        // Reversed, and in slices.
        let reversed = steps(&device, BetaSource::DistanceReversed, &batches, false);
        for ((d, _), ((a, _), (b, _))) in batches.iter().zip(got.iter().zip(&reversed)) {
            for ((a, b), d) in a.iter().zip(b).zip(d) {
                assert_eq!(*b, if d.is_finite() { 1.0 - a } else { 0.5 });
            }
        }
        let bits = |r: &[(Vec<f32>, Vec<f32>)]| -> Vec<u32> {
            r.iter().flat_map(|(s, t)| s.iter().chain(t).map(|v| v.to_bits()).collect::<Vec<_>>()).collect()
        };
        assert_eq!(bits(&steps(&device, BetaSource::Distance, &batches, true)), bits(&got));
    }
}

#[test]
fn equal_distances_say_nothing() {
    for device in devices() {
        for source in [BetaSource::Distance, BetaSource::DistanceReversed] {
            let got = steps(&device, source, &[(vec![0.3; 3], true)], false);
            assert_eq!(got[0].0, [0.5; 3]);
        }
        // A first batch with nothing in it does not count as the first.
        let got = steps(&device, BetaSource::Distance, &[(vec![f32::NAN; 2], true), (vec![1.0, 3.0], true)], false);
        assert_eq!((got[0].1.clone(), got[1].1.clone()), (vec![0.0; 3], vec![1.0, 3.0, 1.0]));
    }
}

#[test]
fn drawn_values_have_their_distributions_and_follow_their_counter() {
    let gpu = test_gpu().unwrap();
    let n = 4000u32;
    // Mean and variance of Beta(a, b): a / (a + b) and a b / ((a + b)^2 (a + b + 1)).
    for (source, mean, variance) in [
        (BetaSource::Uniform, 0.5, 1.0 / 12.0),
        (BetaSource::Beta13, 0.25, 3.0 / 80.0),
        (BetaSource::Beta22, 0.5, 1.0 / 20.0),
        (BetaSource::Beta31, 0.75, 3.0 / 80.0),
    ] {
        let draw = |seed, step| case(new(source), n, None, numbers(true, seed, step)).run(&TestDevice::Cpu).unwrap();
        let s = draw(3, 9).outputs.remove(0);
        let m = s.iter().map(|v| *v as f64).sum::<f64>() / n as f64;
        let v = s.iter().map(|v| (*v as f64 - m).powi(2)).sum::<f64>() / n as f64;
        assert!((m - mean).abs() < 0.02 && (v / variance - 1.0).abs() < 0.1, "{source:?}: {m} {v}");
        assert!(s.iter().all(|v| (0.0..1.0).contains(v)));
        for other in [draw(4, 9), draw(3, 10)] {
            assert!(s.iter().zip(&other.outputs[0]).filter(|(a, b)| a == b).count() < 10);
        }
        // The draws themselves are exact; beta is within the rounding of its sine.
        let (few, _) = case(new(source), 5, None, numbers(true, 3, 9)).check(gpu.as_ref(), 1e-6).unwrap();
        assert_eq!(few.outputs[0], s[..5]);
        for [s, beta, _] in triples(&few.outputs) {
            assert!((beta as f64 - (10.0 + 5.0 * (s as f64).sin())).abs() < 2e-6);
        }
    }
}

#[test]
fn image_beta_refusals() {
    let input = |shape| {
        vec![map("x", shape), dense("hyper", Shape::vector(hyper::LEN), Format::Flat, false, numbers(true, 0, 0))]
    };
    let one = Shape::new(2, 1, 1, 1);
    let with = |part: &str, shape: Shape, op: ImageBeta, count: usize| {
        refused(part, input(shape), |b, t| b.apply(ImageBeta { hyper: t[1], ..op }, "beta", &t[..count]));
    };
    with("beta, logits: expected 2x1x1x1 Map of the batch", one.with_c(2), new(BetaSource::Logit), 1);
    with("beta, differences: expected 2x1x1x2 Flat", one, new(BetaSource::Distance), 1);
    with("one input for Logit", one, new(BetaSource::Logit), 0);
    with("no inputs where s is drawn", one, new(BetaSource::Uniform), 1);
    let negative = ImageBeta { theta: -20.0, ..new(BetaSource::Logit) };
    with("gives a beta of -6.8", one, negative, 1);
    with("beta, decay", one, ImageBeta { decay: 1.0, ..new(BetaSource::Logit) }, 1);
    refused("beta, hyper", vec![map("x", one)], |b, t| b.apply(new(BetaSource::Logit), "beta", t));
}
