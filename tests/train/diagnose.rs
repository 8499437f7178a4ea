//! Looks at the binary layers: what they see, that they change nothing, and what a run that cannot learn is told.

use std::sync::Arc;

use autobidet::config::RunConfig;
use autobidet::device::Device;
use autobidet::models::Detector;
use autobidet::ops::activation_census::{SEGMENT, census_name};
use autobidet::plan::PlanLimits;
use autobidet::report::diagnosis::Diagnosis;
use autobidet::report::events::Event;
use autobidet::testing::test_gpu;
use autobidet::train::{RunFolder, training_plan};

use super::{Session, blind, same};

/// What a session told.
fn told(session: &Session) -> Vec<Event> {
    session.told.try_iter().collect()
}

/// The looks among it.
fn looks(events: &[Event]) -> Vec<Diagnosis> {
    events.iter().filter_map(|e| if let Event::Diagnosed(d) = e { Some(d.clone()) } else { None }).collect()
}

fn every(steps: i64) -> RunConfig {
    let mut c = blind();
    c.train.diagnose_every = steps;
    c
}

fn looking_changes_nothing(device: &Device, c: RunConfig) {
    let [a, b] = [(); 2].map(|_| tempfile::tempdir().unwrap());
    let with = Session { device: device.clone(), ..Default::default() };
    let mut looked = c.clone();
    looked.train.diagnose_every = 1;
    with.run(a.path(), &looked).unwrap();
    let without = Session { device: device.clone(), ..Default::default() };
    let mut blind = c;
    blind.train.diagnose_every = -1;
    without.run(b.path(), &blind).unwrap();
    let seen = looks(&told(&with));
    assert!(seen.len() >= 2 && looks(&told(&without)).is_empty());
    assert!(seen.iter().any(|d| d.flipped() > 0.0));
    same(a.path(), b.path(), &["last.safetensors"]);
}

#[test]
fn looking_changes_nothing_on_the_twins() {
    looking_changes_nothing(&Device::Cpu, blind());
    let mut parts = blind();
    (parts.train.micro_batch, parts.train.epochs) = (1, 1.0);
    looking_changes_nothing(&Device::Cpu, parts);
}

#[test]
fn looking_changes_nothing_on_an_adapter() {
    let Some(device) = test_gpu().unwrap() else { return };
    let mut c = blind();
    (c.train.epochs, c.train.steps) = (0.0, 3);
    looking_changes_nothing(&device, c);
}

#[test]
fn a_look_sees_every_binary_layer() {
    let dir = tempfile::tempdir().unwrap();
    let session = Session::default();
    session.run(dir.path(), &every(0)).unwrap();
    let events = told(&session);
    // Four epochs of three steps.
    let seen = looks(&events);
    assert_eq!(seen.iter().map(|d| (d.step, d.since)).collect::<Vec<_>>(), [(3, 3), (6, 3), (9, 3), (12, 3)]);
    for d in &seen {
        let names: Vec<&str> = d.layers.iter().map(|l| l.layer.as_str()).collect();
        assert_eq!(names, (2..=10).map(|i| format!("body.{i}.conv")).collect::<Vec<_>>());
        assert_eq!((d.of, d.epoch), (12, d.step as f64 / 3.0));
        for (i, l) in d.layers.iter().enumerate() {
            let shares = [l.flipped, l.near_zero, l.zeros, l.inside, l.constant_inputs];
            assert!(shares.iter().all(|s| (0.0..=1.0).contains(s)), "{l:?}");
            assert!(l.inside > 0.1 && l.norm > 0.0 && l.lowest < 0.0 && l.highest > 0.0, "{l:?}");
            // The last layers have no gradient where no object is large enough for their heads.
            assert!(l.gradient > 0.0 || i > 3, "{l:?}");
            assert_eq!(l.histogram.iter().sum::<u64>(), l.weights);
            // What a layer puts out is what the next one reads.
            assert_eq!(l.dead_outputs, d.layers.get(i + 1).map(|next| next.constant_inputs));
        }
        // A layer's gradient is part of the whole one.
        let step =
            events.iter().find_map(|e| if let Event::Step(s) = e { (s.step == d.step).then_some(s) } else { None });
        let whole = step.unwrap().grad_norm.unwrap();
        let binary = d.layers.iter().map(|l| l.gradient.powi(2)).sum::<f64>().sqrt();
        assert!(binary > 0.01 * whole && binary < whole * 1.0001, "{binary} of {whole}");
        assert_eq!((d.layers[0].weights, d.layers[0].values), (3 * 3 * 32 * 48, 2 * 80 * 80));
    }
}

#[test]
fn a_resumed_run_is_looked_at_from_where_it_was_stopped() {
    let dir = tempfile::tempdir().unwrap();
    Session { interrupt_at: Some(4), ..Default::default() }.run(dir.path(), &every(3)).err().unwrap();
    let (_, config) = RunFolder::open(dir.path()).unwrap();
    let session = Session { resume: true, ..Default::default() };
    session.run(dir.path(), &config).unwrap();
    let seen = looks(&told(&session));
    assert_eq!(seen.iter().map(|d| (d.step, d.since)).collect::<Vec<_>>(), [(6, 2), (9, 3), (12, 3)]);
    assert!(seen[0].flipped() > 0.0 && seen[0].flipped() < 0.5);
}

#[test]
fn a_rate_that_moves_nothing_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut c = every(1);
    (c.train.lr, c.train.epochs, c.train.steps) = (1e-8, 0.0, 8);
    let session = Session::default();
    session.run(dir.path(), &c).unwrap();
    let advice: Vec<String> = looks(&told(&session)).into_iter().flat_map(|d| d.advice).collect();
    let few: Vec<&String> = advice.iter().filter(|a| a.starts_with("hardly any sign flips")).collect();
    assert!(few.len() == 1 && few[0].contains("raise --lr"), "{advice:?}");
}

#[test]
fn a_float_network_has_nothing_to_look_at() {
    let dir = tempfile::tempdir().unwrap();
    let mut c = every(1);
    c.model.method = "float".parse().unwrap();
    (c.train.epochs, c.train.steps) = (0.0, 2);
    let session = Session::default();
    session.run(dir.path(), &c).unwrap();
    assert!(looks(&told(&session)).is_empty());
}

/// The census costs no memory but its own, and only when it is asked for.
#[test]
fn the_large_network_is_counted_too() {
    let mut c = blind();
    (c.model.name, c.model.classes) = ("ssd300-vgg16".parse().unwrap(), vec!["a".into()]);
    let detector = Detector::new(&c.model).unwrap();
    let (plan, _) = training_plan(&detector, &c, PlanLimits::HOST, 2).unwrap();
    let plan = Arc::new(plan);
    let binary: Vec<_> = plan.layers.iter().filter(|l| l.op == "binary_conv2d").collect();
    assert_eq!(binary.len(), 16 + 1 + 8);
    for l in &binary {
        let info = plan.info(plan.tensor(&census_name(&l.label)).unwrap());
        assert_eq!((info.shape.w, info.shape.c), (2, l.input.c));
    }
    assert_eq!(plan.steps_of(&[SEGMENT]).unwrap().len(), 2 * binary.len());
}
