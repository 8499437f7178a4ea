//! The complexity estimator in the training plan: who learns from what, gradients against finite differences, resuming.

use std::path::Path;
use std::sync::Arc;

use autobidet::config::{Beta, InformationBottleneck, RunConfig, Transform};
use autobidet::device::Device;
use autobidet::models::Detector;
use autobidet::plan::{Executor, PlanLimits, TensorId};
use autobidet::report::events::{Complexity, Event};
use autobidet::testing::test_gpu;
use autobidet::train::{Scalars, TrainNetwork, feed, first_weights, training_plan};
use autobidet::weights::{WeightFile, collect};

use super::slices::batch;
use super::{Session, blind, config, same};

fn with(beta: Beta) -> RunConfig {
    let mut c = config();
    c.model.method.beta = beta;
    c.model.classes = autobidet::data::scenes::CLASSES.map(str::to_string).to_vec();
    c
}

/// A training plan on a device with first weights, fed with two images.
struct Bench {
    e: Box<dyn Executor>,
    net: TrainNetwork,
    scalars: Scalars,
    images: Vec<f32>,
    targets: Vec<autobidet::train::Targets>,
}

impl Bench {
    fn new(device: &Device, c: &RunConfig) -> Bench {
        let d = Detector::new(&c.model).unwrap();
        let (plan, net) = training_plan(&d, c, device.limits(), 2).unwrap();
        let mut e = device.executor(Arc::new(plan)).unwrap();
        first_weights(e.as_mut(), 1).unwrap();
        let (images, targets) = batch(&d);
        // Nothing learns unless a test lets it.
        let scalars = Scalars { lr: 0.0, estimator_lr: 0.0, ib_weight: 1.0, ..Default::default() };
        Bench { e, net, scalars, images, targets }
    }

    fn step(&mut self) {
        feed(self.e.as_mut(), &self.net, &self.scalars, &self.images, &self.targets).unwrap();
        self.e.run(&["clear"]).unwrap();
        self.e.run(self.net.segments(true)).unwrap();
    }

    fn loss(&mut self, names: &[(&str, f32)]) -> f64 {
        let losses = self.net.estimator.clone().unwrap().losses;
        let of =
            |e: &mut dyn Executor, n: &str| e.read_f32(losses.iter().find(|(k, _)| *k == n).unwrap().1).unwrap()[0];
        names.iter().map(|(n, w)| *w as f64 * of(self.e.as_mut(), n) as f64).sum()
    }

    /// Parameters and gradients whose names begin so.
    fn params(&self, prefix: &str) -> Vec<(TensorId, TensorId)> {
        let plan = self.e.plan();
        let of = plan.params.iter().filter(|p| p.learned && plan.info(p.tensor).name.starts_with(prefix));
        of.map(|p| (p.tensor, p.grad.unwrap())).collect()
    }

    /// The derivative of a loss along its own gradient, by the backward pass and by two forward passes.
    fn check_gradient(&mut self, prefix: &str, names: &[(&str, f32)]) {
        self.step();
        let params = self.params(prefix);
        assert!(!params.is_empty());
        let gradients: Vec<Vec<f32>> = params.iter().map(|(_, g)| self.e.read_f32(*g).unwrap()).collect();
        let first: Vec<Vec<f32>> = params.iter().map(|(t, _)| self.e.read_f32(*t).unwrap()).collect();
        let square: f64 = gradients.iter().flatten().map(|g| (*g as f64).powi(2)).sum();
        assert!(square > 0.0, "{prefix} has no gradient");
        // Far enough for the rounding of the loss, near enough for its curvature.
        let h = 0.0001 / square.sqrt();
        let mut at = |s: f64| {
            for ((t, _), (p, g)) in params.iter().zip(first.iter().zip(&gradients)) {
                let moved: Vec<f32> = p.iter().zip(g).map(|(p, g)| (*p as f64 + s * h * *g as f64) as f32).collect();
                self.e.write_f32(*t, &moved).unwrap();
            }
            self.step();
            self.loss(names)
        };
        let slope = (at(1.0) - at(-1.0)) / (2.0 * h);
        assert!((slope / square - 1.0).abs() < 0.03, "{prefix}: {slope} by differences, {square} by the backward pass");
    }
}

#[test]
fn gradients_of_the_gan_are_those_of_its_losses() {
    let mut c = with(Beta::Gan);
    c.aic.lambda = 3.0;
    Bench::new(&Device::Cpu, &c).check_gradient("discriminator.", &[("d_real", 1.0), ("d_fake", 1.0)]);
    Bench::new(&Device::Cpu, &c).check_gradient("generator.", &[("g", 1.0), ("reconstruction", 3.0)]);
}

#[test]
fn gradients_of_the_autoencoder_are_those_of_its_losses() {
    let mut c = with(Beta::Vae);
    c.aic.vae_beta = 2.0;
    for prefix in ["encoder.", "generator."] {
        Bench::new(&Device::Cpu, &c).check_gradient(prefix, &[("reconstruction", 1.0), ("kl", 2.0)]);
    }
}

/// The estimator's updates leave the detector alone: two steps with and without one give the same detector, bit for bit.
fn the_detector_does_not_feel_it(device: &Device) {
    let detector = |beta: Beta| {
        let mut b = Bench::new(device, &with(beta));
        // Without the compression term nothing depends on beta.
        b.scalars = Scalars { ib_weight: 0.0, ..Default::default() };
        (0..2).for_each(|_| b.step());
        let mut all = collect(b.e.as_mut()).unwrap();
        let before = all.len();
        all.retain(|n, _| !autobidet::models::complexity::is_estimator(n));
        (all, before)
    };
    let (alone, n) = detector(Beta::Fixed);
    assert_eq!(alone.len(), n);
    for beta in [Beta::Gan, Beta::Vae] {
        let (beside, n) = detector(beta);
        assert!(n > beside.len(), "{beta:?} has parameters of its own");
        assert!(beside == alone, "{beta:?} changes the detector");
    }
}

#[test]
fn the_detector_does_not_feel_the_estimator_on_the_twins() {
    the_detector_does_not_feel_it(&Device::Cpu);
}

#[test]
fn the_detector_does_not_feel_the_estimator_on_an_adapter() {
    if let Some(device) = test_gpu().unwrap() {
        the_detector_does_not_feel_it(&device);
    }
}

#[test]
fn each_image_has_its_beta() {
    let betas = |c: &RunConfig, ready: bool| {
        let mut b = Bench::new(&Device::Cpu, c);
        b.scalars.beta_ready = ready;
        b.step();
        let t = b.net.betas.unwrap();
        [t.s, t.beta, t.weight].map(|t| b.e.read_f32(t).unwrap())
    };
    for beta in [Beta::Gan, Beta::Vae, Beta::VaeReversed, Beta::Uniform, Beta::Beta13, Beta::Beta22, Beta::Beta31] {
        for transform in [Transform::Linear, Transform::Exponential, Transform::Sine] {
            let mut c = with(beta);
            c.aic.transform = transform;
            let [s, b, w] = betas(&c, true);
            for i in 0..2 {
                let want = transform.beta(transform.constants(), s[i]);
                assert!(
                    (0.0..=1.0).contains(&s[i]) && (b[i] - want).abs() < 1e-4,
                    "{beta:?} {transform:?}: {s:?} {b:?}"
                );
                assert!((w[i] * b[i] - 1.0).abs() < 1e-6);
            }
        }
        let [_, b, _] = betas(&with(beta), false);
        assert_eq!(b, [10.0, 10.0], "{beta:?} while the estimator warms up");
    }
}

#[test]
fn the_reconstruction_of_a_constant_image_tends_to_it() {
    let mut c = with(Beta::Gan);
    c.model.method.information_bottleneck = InformationBottleneck::None;
    let mut b = Bench::new(&Device::Cpu, &c);
    let pixels = b.images.len() / 4;
    b.images = [0.4, -0.3, 0.1, 0.0].repeat(pixels);
    b.scalars.estimator_lr = 2e-3;
    let mut error = |steps: usize| {
        (0..steps).for_each(|_| b.step());
        b.loss(&[("reconstruction", 1.0)])
    };
    let (first, last) = (error(1), error(60));
    assert!(first > 0.2 && last < 0.06, "{first} at first, {last} after 60 steps");
}

#[test]
fn a_run_with_an_estimator_resumes_to_the_last_bit() {
    for beta in [Beta::Gan, Beta::Vae] {
        let [a, b] = [(); 2].map(|_| tempfile::tempdir().unwrap());
        let mut c = blind();
        c.model.method.beta = beta;
        (c.train.epochs, c.aic.warm_up) = (2.0, 2);
        let whole = Session::default();
        whole.run(a.path(), &c).unwrap();
        Session { pause_after: Some(1.0), ..Default::default() }.run(b.path(), &c).unwrap();
        Session::resumed(b.path()).unwrap();
        same(a.path(), b.path(), &["last.safetensors"]);
        let bytes = |p: &Path| std::fs::read(p.join("estimator.safetensors")).unwrap();
        assert!(bytes(a.path()) == bytes(b.path()), "{beta:?}: the estimator differs");
        // The detector's file holds what detects, and no more.
        let last = WeightFile::read(&a.path().join("last.safetensors")).unwrap();
        assert!(last.tensors.keys().all(|n| !autobidet::models::complexity::is_estimator(n)));
        let seen: Vec<Complexity> =
            whole.told.try_iter().filter_map(|e| if let Event::Complexity(c) = e { Some(c) } else { None }).collect();
        assert_eq!(seen.iter().map(|c| c.step).collect::<Vec<_>>(), [3, 6], "an event an epoch");
        assert!(seen.iter().all(|c| c.psnr.unwrap().is_finite() && c.s.low <= c.s.high));
        assert_eq!(seen[0].discriminator_accuracy.is_some(), beta == Beta::Gan);
        let picture = image::open(a.path().join("reconstructions.png")).unwrap();
        assert_eq!((picture.width(), picture.height()), (2 * 80 + 2, 2 * 80 + 2));
    }
}

#[test]
fn small_limits_change_nothing_with_an_estimator() {
    let run = |limits: PlanLimits| {
        let c = with(Beta::Gan);
        let d = Detector::new(&c.model).unwrap();
        let (plan, net) = training_plan(&d, &c, limits, 12).unwrap();
        let slices = plan.slices.len();
        let mut e = Device::Cpu.executor(Arc::new(plan)).unwrap();
        first_weights(e.as_mut(), 1).unwrap();
        let (images, targets) = batch(&d);
        feed(e.as_mut(), &net, &Scalars::default(), &images.repeat(6), &vec![targets; 6].concat()).unwrap();
        e.run(&["clear"]).unwrap();
        e.run(net.segments(true)).unwrap();
        (slices, collect(e.as_mut()).unwrap())
    };
    let (one, whole) = run(PlanLimits::HOST);
    let (many, sliced) = run(PlanLimits { max_binding: 9 << 20, max_buffer: 9 << 20, ..PlanLimits::FLOOR });
    assert!(one == 1 && many > 1);
    for (name, t) in &whole {
        assert!(sliced[name] == *t, "{name} differs");
    }
}
