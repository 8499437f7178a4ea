use std::sync::Arc;

use autobidet::Result;
use autobidet::ops::gradient_norm::{GradientNorm, add_gradient_norm};
use autobidet::ops::hyper;
use autobidet::ops::optimizer::{Optimizer, OptimizerTensors, add_optimizer};
use autobidet::plan::{Builder, Executor, Format, Init, Mode, ParamLayout, PlanLimits, Shape, TensorId};
use autobidet::rng::Counter;
use autobidet::testing::{TestDevice, compare};

use super::losses_support::{case, devices};

struct Setup {
    exec: Box<dyn Executor>,
    params: Vec<TensorId>,
    grads: Vec<TensorId>,
    hyper: TensorId,
    loss: TensorId,
    norm: GradientNorm,
    tensors: OptimizerTensors,
}

/// Parameters of these many values in one group, with an optimizer; a small binding limit makes several slabs.
fn setup(device: &TestDevice, kind: Optimizer, sizes: &[u32], limit: Option<u64>) -> Result<Setup> {
    let limits = PlanLimits { max_binding: limit.unwrap_or(device.limits().max_binding), ..device.limits() };
    let (plan, (params, grads, hyper, loss, norm, tensors)) =
        Builder::build("optimizer", Mode::Train, limits, 1, |b| {
            let hyper = hyper::hyper_input(b);
            let loss = b.input("loss", Shape::vector(1), Format::Flat, false);
            let params: Vec<TensorId> = sizes
                .iter()
                .enumerate()
                .map(|(i, n)| {
                    let name = format!("p{i}");
                    let layout = ParamLayout::Planes(vec![name.clone()]);
                    b.param("net", &name, Shape::vector(*n), Format::Map, layout, Init::Zeros)
                })
                .collect();
            let grads = params.iter().map(|p| b.gradient(*p).unwrap()).collect::<Vec<_>>();
            let norm = add_gradient_norm(b, "net", hyper, &[loss])?;
            let tensors = add_optimizer(b, "net", kind, hyper, &norm)?;
            Ok((params, grads, hyper, loss, norm, tensors))
        })?;
    Ok(Setup { exec: device.executor(Arc::new(plan))?, params, grads, hyper, loss, norm, tensors })
}

impl Setup {
    fn step(&mut self, grads: &[Vec<f32>], lr: f32, clip: f32, loss: f32) {
        let mut h = [0f32; hyper::LEN as usize];
        h[hyper::LR as usize] = lr;
        h[hyper::CLIP_NORM as usize] = clip;
        self.exec.write_f32(self.hyper, &h).unwrap();
        self.exec.write_f32(self.loss, &[loss]).unwrap();
        for (t, g) in self.grads.iter().zip(grads) {
            self.exec.write_nchw(*t, g).unwrap();
        }
        let all: Vec<usize> = (0..self.exec.plan().steps.len()).collect();
        self.exec.run_steps(&all).unwrap();
    }
    /// All that must not change when the gate is closed.
    fn state(&mut self) -> Vec<Vec<u32>> {
        let mut all: Vec<TensorId> = self.params.clone();
        all.extend(&self.tensors.moments);
        all.push(self.tensors.step);
        all.into_iter().map(|t| self.exec.read(t).unwrap()).collect()
    }
}

#[test]
fn optimizer_conformance() {
    for name in ["optimizer__adam", "optimizer__sgd_momentum"] {
        let Some(c) = case(name) else { return };
        let kind = match c.attrs["kind"].as_str().unwrap() {
            "adam" => Optimizer::Adam {
                beta1: c.number("beta1"),
                beta2: c.number("beta2"),
                eps: c.number("eps") as f32,
                weight_decay: 0.0,
            },
            _ => {
                Optimizer::Sgd { momentum: c.number("momentum") as f32, weight_decay: c.number("weight_decay") as f32 }
            }
        };
        let (shape, grads) = c.get("in.grads");
        let (first, want) = (c.values("in.param"), c.values("out.param"));
        for device in devices() {
            let mut s = setup(&device, kind, &[shape[1] as u32], None).unwrap();
            s.exec.write_nchw(s.params[0], &first).unwrap();
            for g in grads.chunks_exact(shape[1]) {
                s.step(&[g.to_vec()], c.number("lr") as f32, 0.0, 0.0);
            }
            let got = s.exec.read_nchw(s.params[0]).unwrap();
            let d = compare(&got, &want);
            println!("{name} on {}: {:.2e}", device.name(), d.error);
            assert!(d.error <= c.tolerance, "{name} on {}: {d:?}", device.name());
        }
    }
}

/// Adam and SGD in f64 over many steps with clipping, over several slabs; and the norms.
#[test]
fn many_steps_agree_with_f64() {
    let sizes = [5u32, 9000, 64, 4097, 1];
    let kinds = [
        Optimizer::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 1e-2 },
        Optimizer::Sgd { momentum: 0.9, weight_decay: 5e-4 },
    ];
    let first: Vec<Vec<f32>> =
        sizes.iter().map(|n| (0..*n).map(|i| Counter::named(1, "p").normal(i * 7 + n)).collect()).collect();
    let grad = |step: u32| -> Vec<Vec<f32>> {
        let rng = Counter::named(step, "g");
        sizes.iter().map(|n| (0..*n).map(|i| 0.02 * rng.normal(i * 5 + n)).collect()).collect()
    };
    for kind in kinds {
        let mut want: Vec<f64> = first.iter().flatten().map(|x| *x as f64).collect();
        let (mut m, mut v) = (vec![0f64; want.len()], vec![0f64; want.len()]);
        let mut norms = Vec::new();
        for step in 1..=30 {
            let g = grad(step).concat();
            let norm = g.iter().map(|x| (*x as f64).powi(2)).sum::<f64>().sqrt();
            norms.push(norm);
            let scale = (1.5 / (norm + 1e-6)).min(1.0);
            for (((p, g), m), v) in want.iter_mut().zip(g).zip(&mut m).zip(&mut v) {
                let g = g as f64 * scale;
                match kind {
                    Optimizer::Adam { beta1, beta2, eps, weight_decay } => {
                        let g = g + weight_decay as f64 * *p;
                        *m = beta1 * *m + (1.0 - beta1) * g;
                        *v = beta2 * *v + (1.0 - beta2) * g * g;
                        let (c1, c2) = (1.0 - beta1.powi(step as i32), 1.0 - beta2.powi(step as i32));
                        *p -= 1e-2 / c1 * *m / ((*v / c2).sqrt() + eps as f64);
                    }
                    Optimizer::Sgd { momentum, weight_decay } => {
                        *m = momentum as f64 * *m + g + weight_decay as f64 * *p;
                        *p -= 1e-2 * *m;
                    }
                }
            }
        }
        for device in devices() {
            for limit in [None, Some(37_000)] {
                let mut s = setup(&device, kind, &sizes, limit).unwrap();
                for (t, p) in s.params.clone().iter().zip(&first) {
                    s.exec.write_nchw(*t, p).unwrap();
                }
                for step in 1..=30 {
                    s.step(&grad(step), 1e-2, 1.5, 0.5);
                    let norm = s.exec.read_f32(s.norm.norm).unwrap();
                    let expected = norms[step as usize - 1];
                    assert!((norm[0] as f64 / expected - 1.0).abs() < 1e-5, "{norm:?} {expected}");
                    assert!((norm[1] as f64 - (1.5 / (expected + 1e-6)).min(1.0)).abs() < 1e-5);
                }
                let squares = s.exec.read_f32(s.norm.squares).unwrap();
                assert_eq!(squares.len(), sizes.len());
                for (got, g) in squares.iter().zip(grad(30)) {
                    let w: f64 = g.iter().map(|x| (*x as f64).powi(2)).sum();
                    assert!((*got as f64 / w - 1.0).abs() < 1e-5, "{got} {w}");
                }
                assert_eq!(s.exec.read(s.tensors.step).unwrap()[0], 30);
                let got: Vec<f32> = s.params.clone().iter().flat_map(|t| s.exec.read_nchw(*t).unwrap()).collect();
                let d = compare(&got, &want.iter().map(|x| *x as f32).collect::<Vec<_>>());
                assert!(d.error < 1e-5, "{kind:?} on {}: {d:?}", device.name());
            }
        }
    }
}

#[test]
fn nothing_changes_when_something_is_not_finite() {
    let sizes = [7u32, 9000];
    let fine: Vec<Vec<f32>> = sizes.iter().map(|n| vec![0.01; *n as usize]).collect();
    let with = |value: f32, at: usize| {
        let mut g = fine.clone();
        g[1][at] = value;
        g
    };
    for device in devices() {
        for kind in [Optimizer::ADAM, Optimizer::Sgd { momentum: 0.9, weight_decay: 1e-4 }] {
            let mut s = setup(&device, kind, &sizes, None).unwrap();
            s.step(&fine, 0.1, 5.0, 1.0);
            assert_eq!(s.exec.read(s.norm.gate).unwrap(), [1]);
            let before = s.state();
            assert_eq!(before.last().unwrap()[0], 1);
            for (g, loss) in [
                (with(f32::NAN, 8999), 1.0),
                (with(f32::INFINITY, 0), 1.0),
                (with(f32::NEG_INFINITY, 8192), 1.0),
                (with(1e25, 17), 1.0), // finite, but its square is not
                (fine.clone(), f32::NAN),
                (fine.clone(), f32::NEG_INFINITY),
            ] {
                s.step(&g, 0.1, 5.0, loss);
                assert_eq!(s.exec.read(s.norm.gate).unwrap(), [0], "{loss}");
                assert_eq!(s.state(), before);
                let squares = s.exec.read_f32(s.norm.squares).unwrap();
                assert!(squares[0].is_finite());
                assert_eq!(squares[1].is_finite(), loss != 1.0, "{squares:?}");
            }
            s.step(&fine, 0.1, 5.0, 1.0);
            assert_eq!(s.exec.read(s.norm.gate).unwrap(), [1]);
            assert_eq!(s.state().last().unwrap()[0], 2);
        }
    }
}

#[test]
fn refuses_impossible_constants_and_empty_groups() {
    let bad = Optimizer::Adam { beta1: 1.0, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
    assert!(setup(&TestDevice::Cpu, bad, &[4], None).err().unwrap().to_string().contains("beta1"));
    let bad = Optimizer::Sgd { momentum: -0.1, weight_decay: 0.0 };
    assert!(setup(&TestDevice::Cpu, bad, &[4], None).err().unwrap().to_string().contains("momentum"));
    let e = setup(&TestDevice::Cpu, Optimizer::ADAM, &[], None).err().unwrap().to_string();
    assert!(e.contains("gradient_norm.net"), "{e}");
}
