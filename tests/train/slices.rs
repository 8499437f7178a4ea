//! Small limits slice a plan, and change nothing; micro-batches are the mean of their gradients.

use std::sync::Arc;

use autobidet::data::{Augment, Loader, LoaderOptions, Sample};
use autobidet::detect::matching::Matcher;
use autobidet::device::Device;
use autobidet::models::Detector;
use autobidet::plan::{Executor, PlanLimits};
use autobidet::predict::VARIANCES;
use autobidet::testing::test_gpu;
use autobidet::train::{Scalars, Targets, TrainNetwork, feed, first_weights, targets, training_plan};
use autobidet::weights::{FileTensor, collect};

use super::config;

/// Two training images with their targets.
pub fn batch(detector: &Detector) -> (Vec<f32>, Vec<Targets>) {
    let spec = autobidet::data::scenes::SceneSpec { seed: 1, width: 160, height: 160 };
    let data = Arc::new(autobidet::data::scenes::train(&spec, 2));
    let matcher = Matcher::new(&detector.priors, 0.5, VARIANCES);
    let classes = data.classes.len();
    let options = LoaderOptions { batch: 2, threads: 1, ..Default::default() };
    let closure = move |s: &Sample<'_>| targets(&matcher, classes, s);
    let mut loader = Loader::train(data, detector.preprocess, Augment::none(), options, 0, closure).unwrap();
    let b = loader.next().unwrap().unwrap();
    (b.images, b.targets)
}

pub fn detector(method: &str) -> (autobidet::config::RunConfig, Detector) {
    let mut c = config();
    c.model.method = method.parse().unwrap();
    c.model.classes = autobidet::data::scenes::CLASSES.map(str::to_string).to_vec();
    let d = Detector::new(&c.model).unwrap();
    (c, d)
}

pub fn scalars(step: u32) -> Scalars {
    Scalars { step, ..Default::default() }
}

/// What two steps of twelve images came to.
struct TwoSteps {
    slices: usize,
    bytes: u64,
    /// Steps that make a map again.
    again: usize,
    losses: Vec<u32>,
    weights: Vec<(String, FileTensor)>,
}

/// Two steps with plans made for `limits`.
fn two_steps(method: &str, device: &Device, limits: PlanLimits, recompute: bool) -> TwoSteps {
    let (mut c, d) = detector(method);
    c.train.recompute = recompute;
    let (plan, net) = training_plan(&d, &c, limits, 12).unwrap();
    let (slices, bytes) = (plan.slices.len(), plan.memory.bytes());
    let again = plan.steps.iter().filter(|s| s.label.ends_with(" again")).count();
    let mut e = device.executor(Arc::new(plan)).unwrap();
    first_weights(e.as_mut(), 1).unwrap();
    let (images, targets) = batch(&d);
    let (images, targets) = (images.repeat(6), vec![targets; 6].concat());
    let mut losses = Vec::new();
    for step in 0..2 {
        feed(e.as_mut(), &net, &scalars(step), &images, &targets).unwrap();
        e.run(&["clear", "forward", "backward", "update"]).unwrap();
        losses.extend(net.losses.iter().map(|(_, t)| e.read(*t).unwrap()[0]));
    }
    TwoSteps { slices, bytes, again, losses, weights: collect(e.as_mut()).unwrap().into_iter().collect() }
}

/// The maps of 80x80x32 floats of eleven images fit, those of twelve do not.
const SMALL: PlanLimits = PlanLimits { max_binding: 9 << 20, max_buffer: 9 << 20, ..PlanLimits::FLOOR };

fn same(method: &str, a: &TwoSteps, b: &TwoSteps) {
    assert_eq!(a.losses, b.losses, "{method}");
    for ((name, a), (_, b)) in a.weights.iter().zip(&b.weights) {
        assert!(a == b, "{method}: {name} differs");
    }
}

/// Neither slices nor maps that are made again change a bit, alone or together.
fn small_limits_change_nothing(device: &Device) {
    for method in ["bidet-sc", "bidet"] {
        let whole = two_steps(method, device, device.limits(), false);
        let sliced = two_steps(method, device, SMALL, false);
        let small = two_steps(method, device, SMALL, true);
        assert!(whole.slices == 1 && sliced.slices > 1 && small.slices > 1, "{} slices", sliced.slices);
        assert!(whole.again == 0 && sliced.again == 0 && small.again > 0, "{method}: {} steps again", small.again);
        same(method, &whole, &sliced);
        same(method, &whole, &small);
    }
}

#[test]
fn maps_made_again_save_memory_and_change_nothing() {
    for (method, share) in [("autobidet-sc", 0.65), ("xnor", 0.85), ("bireal", 0.65), ("float", 0.95)] {
        let kept = two_steps(method, &Device::Cpu, PlanLimits::HOST, false);
        let again = two_steps(method, &Device::Cpu, PlanLimits::HOST, true);
        assert!(kept.again == 0 && again.again > 0, "{method}: {} steps again", again.again);
        same(method, &kept, &again);
        let found = again.bytes as f64 / kept.bytes as f64;
        assert!(found < share, "{method}: {found:.2} of the memory");
    }
}

#[test]
fn small_limits_change_nothing_on_the_twins() {
    small_limits_change_nothing(&Device::Cpu);
}

#[test]
fn small_limits_change_nothing_on_an_adapter() {
    if let Some(device) = test_gpu().unwrap() {
        small_limits_change_nothing(&device);
    }
}

/// Runs forward and backward on each part, then the update, and gives each parameter's squared mean gradient.
fn squares(e: &mut dyn Executor, net: &TrainNetwork, parts: &[(&[f32], &[Targets])]) -> Vec<f32> {
    e.run(&["clear"]).unwrap();
    for (images, targets) in parts {
        let s = Scalars { noise: 0.0, clip_norm: 0.0, gradient_scale: 1.0 / parts.len() as f32, ..scalars(0) };
        feed(e, net, &s, images, targets).unwrap();
        e.run(&["forward", "backward"]).unwrap();
    }
    e.run(&["update"]).unwrap();
    // The factor is in the norm and in the update, not in the sums of squares.
    let factor = 1.0 / parts.len() as f32;
    let squares: Vec<f32> = e.read_f32(net.norm.squares).unwrap().iter().map(|s| s * factor * factor).collect();
    let norm = e.read_f32(net.norm.norm).unwrap()[0];
    assert!((norm.powi(2) / squares.iter().sum::<f32>() - 1.0).abs() < 1e-3);
    squares
}

#[test]
fn micro_batches_are_the_mean_of_their_gradients() {
    // Images A B A B have the batch-norm statistics of A B, so the gradient of the four is the mean of the two parts'.
    let (c, d) = detector("float");
    let (images, targets) = batch(&d);
    let run = |n: u32, parts: &[(&[f32], &[Targets])]| {
        let (plan, net) = training_plan(&d, &c, PlanLimits::HOST, n).unwrap();
        let mut e = Device::Cpu.executor(Arc::new(plan)).unwrap();
        first_weights(e.as_mut(), 1).unwrap();
        squares(e.as_mut(), &net, parts)
    };
    let (doubled, all) = ([images.clone(), images.clone()].concat(), [targets.clone(), targets.clone()].concat());
    let whole = run(4, &[(&doubled, &all)]);
    let parts = run(2, &[(&images, &targets), (&images, &targets)]);
    let norm: f32 = whole.iter().sum();
    assert!(norm > 0.0);
    for (i, (a, b)) in whole.iter().zip(&parts).enumerate() {
        assert!((a - b).abs() <= 1e-3 * a.max(1e-4 * norm), "parameter {i}: {a} and {b}");
    }
}
