use autobidet::ops::gaussian_latent::GaussianLatent;
use autobidet::ops::hyper;
use autobidet::plan::{Builder, Format, Mode, PlanLimits, Shape, TensorId};
use autobidet::testing::{OpCase, TestDevice, TestInput, test_gpu};

use super::case_file::{map, refused};
use super::losses_support::dense;

fn numbers(seed: u32, step: u32) -> TestInput {
    let mut h = vec![0f32; hyper::LEN as usize];
    h[hyper::SEED as usize] = f32::from_bits(seed);
    h[hyper::STEP as usize] = f32::from_bits(step);
    dense("hyper", Shape::vector(hyper::LEN), Format::Flat, false, h)
}

/// The draw of a map of 2 Z channels with gradient `upstream` of z (none: the divergence alone).
fn case(raw: TestInput, kl_weight: f32, upstream: bool, seed: u32, step: u32) -> OpCase<'static> {
    let z = raw.shape.with_c(raw.shape.c / 2);
    OpCase {
        name: format!("gaussian_latent {}", raw.shape),
        batch: z.n,
        inputs: vec![raw, numbers(seed, step)],
        upstream: match upstream {
            // The divergence's gradient is its own weight; as a number in the sum of outputs it counts with it.
            true => vec![TestInput::random(z, "upstream", 1.0), vec![kl_weight]],
            false => Vec::new(),
        },
        backward: true,
        build: Box::new(move |b, t| {
            let mut out = b.apply(GaussianLatent { hyper: t[1], kl_weight, sampled: true }, "latent", &t[..1])?;
            if !upstream {
                out.reverse();
            }
            Ok(out)
        }),
    }
}

const SHAPES: [Shape; 4] =
    [Shape::new(1, 1, 1, 2), Shape::new(2, 3, 5, 6), Shape::new(3, 4, 4, 64), Shape::new(2, 7, 9, 10)];

#[test]
fn the_draw_and_its_divergence_follow_their_definitions() {
    let gpu = test_gpu().unwrap();
    for shape in SHAPES {
        let z = shape.c as usize / 2;
        let pixels = (shape.h * shape.w) as usize;
        let raw = map("raw", shape);
        for upstream in [true, false] {
            // Alone, the value that is differentiated is the divergence without its weight.
            let c = case(raw.clone(), if upstream { 0.7 } else { 1.0 }, upstream, 3, 8);
            let (out, worst) = c.check(gpu.as_ref(), 2e-5).unwrap();
            println!("gaussian_latent {shape}: twin against device {worst:.2e}");
            c.finite_difference(12, 3e-2, 2e-2).unwrap();
            let kl = out.outputs[upstream as usize][0] as f64;
            let mut want = 0f64;
            for i in 0..shape.n as usize * z * pixels {
                let at = i / (z * pixels) * 2 * z * pixels + i % (z * pixels);
                let (mean, v) = (raw.data[at] as f64, raw.data[at + z * pixels] as f64);
                want += 0.5 * (mean * mean + v.exp() - 1.0 - v) / shape.n as f64;
            }
            assert!((kl / want - 1.0).abs() < 1e-5, "{kl} {want}");
        }
    }
}

#[test]
fn noise_is_normal_and_follows_its_counter() {
    let shape = Shape::new(2, 20, 20, 16);
    let half = 20 * 20 * 8;
    // Means 0; log-variance 0 in the first image, ln 4 in the second.
    let mut raw = vec![0f32; shape.len() as usize];
    raw[3 * half..].fill(4f32.ln());
    let draw = |seed, step| {
        let c = case(TestInput::map("raw", shape, raw.clone()), 1.0, true, seed, step);
        c.run(&TestDevice::Cpu).unwrap().outputs.remove(0)
    };
    let a = draw(1, 7);
    for (image, variance) in a.chunks(half).zip([1.0, 4.0]) {
        let mean = image.iter().map(|v| *v as f64).sum::<f64>() / half as f64;
        let found = image.iter().map(|v| (*v as f64 - mean).powi(2)).sum::<f64>() / half as f64;
        assert!(mean.abs() < 0.08 && (found / variance - 1.0).abs() < 0.1, "{mean} {found}");
    }
    assert_eq!(a, draw(1, 7));
    for b in [draw(1, 8), draw(2, 7)] {
        assert!(a.iter().zip(&b).filter(|(a, b)| a == b).count() < 5);
    }
    let product: f64 = (0..half).map(|i| (a[i] * a[half + i]) as f64 / 2.0).sum::<f64>() / half as f64;
    assert!(product.abs() < 0.06, "images share no noise: {product}");
}

#[test]
fn log_variances_have_limits_with_no_gradient_outside() {
    let gpu = test_gpu().unwrap();
    let shape = Shape::new(1, 1, 1, 10);
    let data = vec![0.5, 0.5, 0.5, 0.5, 0.5, 10.0, 11.0, -11.0, 1e30, -10.0];
    for upstream in [true, false] {
        let c = case(TestInput::map("raw", shape, data.clone()), 1.0, upstream, 1, 1);
        let (out, _) = c.check(gpu.as_ref(), 2e-5).unwrap();
        let gradient = out.gradients[0].as_ref().unwrap();
        assert!(out.outputs.iter().flatten().chain(gradient).all(|v| v.is_finite()));
        assert_eq!(gradient.iter().skip(5).map(|g| *g != 0.0).collect::<Vec<_>>(), [true, false, false, false, true]);
        assert!(gradient[..5].iter().all(|g| *g != 0.0));
    }
}

#[test]
fn evaluation_takes_the_mean() {
    let shape = Shape::new(1, 3, 3, 6);
    let raw = TestInput::random(shape, "raw", 1.0);
    let (plan, (x, z)) = Builder::build("evaluation", Mode::Eval, PlanLimits::HOST, 1, |b| {
        let x = b.input("x", shape, Format::Map, true);
        let hyper = hyper::hyper_input(b);
        let z = b.apply1(GaussianLatent { hyper, kl_weight: 1.0, sampled: true }, "latent", &[x])?;
        b.keep(z);
        Ok((x, z))
    })
    .unwrap();
    let all: Vec<usize> = (0..plan.steps.len()).collect();
    let mut e = TestDevice::Cpu.executor(plan.into()).unwrap();
    e.write_nchw(x, &raw).unwrap();
    e.run_steps(&all).unwrap();
    assert_eq!(e.read_nchw(z).unwrap(), raw[..27]);
}

#[test]
fn gaussian_latent_refusals() {
    let inputs = |c| vec![map("raw", Shape::new(2, 3, 3, c)), numbers(0, 0)];
    let apply = |kl_weight: f32| {
        move |b: &mut Builder, t: &[TensorId]| {
            b.apply(GaussianLatent { hyper: t[1], kl_weight, sampled: true }, "latent", &t[..1])
        }
    };
    refused("an even number of channels", inputs(5), apply(1.0));
    refused("latent, kl_weight", inputs(4), apply(-1.0));
    refused("latent, hyper", inputs(4), |b, t| {
        b.apply(GaussianLatent { hyper: t[0], kl_weight: 1.0, sampled: true }, "latent", &t[..1])
    });
}
