use autobidet::ops::gaussian_location::GaussianLocation;
use autobidet::ops::hyper;
use autobidet::plan::{Format, Shape};
use autobidet::testing::{OpCase, TestDevice, TestInput, test_gpu};

use super::losses_support::{bits, dense, learned};

/// Sampling with scale k at a seed and step.
fn sampling(raw: Vec<f32>, targets: &[i32], n: u32, k: f32, seed: u32, step: u32) -> OpCase<'static> {
    let p = targets.len() as u32 / n;
    let shape = Shape::new(n, 1, p, 4);
    let mut h = vec![0f32; hyper::LEN as usize];
    h[hyper::NOISE as usize] = k;
    h[hyper::SEED as usize] = f32::from_bits(seed);
    h[hyper::STEP as usize] = f32::from_bits(step);
    OpCase {
        name: format!("gaussian {shape}"),
        batch: n,
        inputs: vec![
            learned("raw", shape.with_c(8), raw),
            dense("targets", shape.with_c(1), Format::FlatI32, true, bits(targets.iter().copied())),
            dense("hyper", Shape::vector(hyper::LEN), Format::Flat, false, h),
        ],
        upstream: vec![TestInput::random(shape, "g", 1.0)],
        backward: true,
        build: Box::new(|b, t| b.apply(GaussianLocation { hyper: t[2] }, "sample", &t[..2])),
    }
}

fn raw(n: u32, p: u32) -> Vec<f32> {
    TestInput::random(Shape::new(n, 1, p, 8), "raw", 1.0)
}

#[test]
fn only_positive_priors_are_sampled() {
    let gpu = test_gpu().unwrap();
    let (n, p) = (3u32, 70u32);
    let targets: Vec<i32> = (0..n * p).map(|i| if i % 3 == 0 { 1 + (i % 5) as i32 } else { 0 }).collect();
    let data = raw(n, p);
    let c = sampling(data.clone(), &targets, n, 0.5, 9, 4);
    let (out, worst) = c.check(gpu.as_ref(), 1e-5).unwrap();
    println!("gaussian_location: twin against device {worst:.2e}");
    c.finite_difference(80, 1e-2, 1e-2).unwrap();
    let gradient = out.gradients[0].as_ref().unwrap();
    for (row, t) in targets.iter().enumerate() {
        let (mean, y) = (&data[8 * row + 4..][..4], &out.outputs[0][4 * row..][..4]);
        assert_eq!(mean == y, *t == 0, "row {row}");
        assert_eq!(&gradient[8 * row + 4..][..4], &c.upstream[0][4 * row..][..4]);
        assert_eq!(gradient[8 * row..][..4].iter().all(|g| *g == 0.0), *t == 0);
    }
}

#[test]
fn noise_is_normal_and_follows_its_counter() {
    let p = 5000u32;
    let targets = vec![1; 2 * p as usize];
    let zeros = vec![0f32; 16 * p as usize];
    let draw = |seed, step| -> Vec<f32> {
        sampling(zeros.clone(), &targets, 2, 1.0, seed, step).run(&TestDevice::Cpu).unwrap().outputs.remove(0)
    };
    let a = draw(1, 7);
    let count = a.len() as f64;
    let mean = a.iter().map(|v| *v as f64).sum::<f64>() / count;
    let moment = |k: i32| a.iter().map(|v| (*v as f64 - mean).powi(k)).sum::<f64>() / count;
    assert!(mean.abs() < 0.02 && (moment(2) - 1.0).abs() < 0.03, "{mean} {}", moment(2));
    assert!((moment(4) - 3.0).abs() < 0.25, "{}", moment(4));
    // Other seeds, steps, images and coordinates have other noise.
    assert_eq!(a, draw(1, 7));
    for b in [draw(1, 8), draw(2, 7)] {
        assert!(a.iter().zip(&b).filter(|(a, b)| a == b).count() < 10);
    }
    let half = a.len() / 2;
    let correlation: f64 = a[..half].iter().zip(&a[half..]).map(|(a, b)| (a * b) as f64).sum::<f64>() / half as f64;
    assert!(correlation.abs() < 0.03, "{correlation}");
}

#[test]
fn runaway_variances_stay_finite_and_no_noise_has_no_gradient() {
    let gpu = test_gpu().unwrap();
    let targets = [1, 1, 0, 1];
    let mut data = raw(1, 4);
    data[0] = 194.0;
    data[1] = 1e30;
    data[9] = -300.0;
    data[16] = 1e30;
    let (out, _) = sampling(data.clone(), &targets, 1, 1e-3, 1, 1).check(gpu.as_ref(), 1e-5).unwrap();
    let gradient = out.gradients[0].as_ref().unwrap();
    assert!(out.outputs[0].iter().chain(gradient).all(|v| v.is_finite()));
    assert_eq!(&gradient[..2], [0.0, 0.0]);
    assert_ne!(gradient[2], 0.0);
    let (out, _) = sampling(data.clone(), &targets, 1, 0.0, 1, 1).check(gpu.as_ref(), 0.0).unwrap();
    let gradient = out.gradients[0].as_ref().unwrap();
    for row in 0..4 {
        assert_eq!(&out.outputs[0][4 * row..][..4], &data[8 * row + 4..][..4]);
        assert_eq!(&gradient[8 * row..][..4], [0.0; 4]);
    }
}

#[test]
fn refuses_heads_without_variances() {
    let mut c = sampling(raw(1, 4), &[0; 4], 1, 0.0, 0, 0);
    c.inputs[0] = learned("raw", Shape::new(1, 1, 4, 4), vec![0.0; 16]);
    let e = c.run(&TestDevice::Cpu).unwrap_err().to_string();
    assert!(e.contains("sample, head output") && e.contains("1x1x4x8"), "{e}");
}
