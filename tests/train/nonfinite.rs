//! Values that are not finite change nothing, are named, and end the run when they stay.

use std::sync::Arc;

use autobidet::Error;
use autobidet::device::Device;
use autobidet::models::Detector;
use autobidet::plan::Role;
use autobidet::testing::test_gpu;
use autobidet::train::{RunFolder, Scalars, Targets, feed, first_weights, training_plan};
use autobidet::weights::WeightFile;

use super::{Session, blind, config};

/// The words of every parameter and state of a plan.
fn state(e: &mut dyn autobidet::plan::Executor) -> Vec<(String, Vec<u32>)> {
    let plan = e.plan().clone();
    let mut out = Vec::new();
    for (i, t) in plan.tensors.iter().enumerate() {
        let id = autobidet::plan::TensorId(i as u32);
        if t.role == Role::State && !t.name.starts_with("slab.") || plan.params.iter().any(|p| p.tensor == id) {
            out.push((t.name.clone(), e.read(id).unwrap()));
        }
    }
    out
}

fn a_bad_batch_changes_nothing(device: &Device) {
    let mut c = config();
    c.model.classes = vec!["a".into(), "b".into()];
    let detector = Detector::new(&c.model).unwrap();
    let (plan, net) = training_plan(&detector, &c, device.limits(), 1).unwrap();
    let mut e = device.executor(Arc::new(plan)).unwrap();
    first_weights(e.as_mut(), 1).unwrap();
    let p = detector.priors.len();
    let target = Targets {
        loc: vec![0.5; p * 4],
        conf: (0..p).map(|i| (i % 40 == 0) as i32).collect(),
        counts: vec![1, 0],
        skipped: 0,
    };
    let scalars = Scalars::default();
    let mut images: Vec<f32> = (0..detector.preprocess.floats()).map(|i| (i % 97) as f32 / 97.0 - 0.5).collect();
    let step = |e: &mut dyn autobidet::plan::Executor, images: &[f32]| {
        feed(e, &net, &scalars, images, std::slice::from_ref(&target)).unwrap();
        e.run(&["clear", "forward", "backward", "update"]).unwrap();
        (e.read(net.norm.gate).unwrap()[0], e.read(net.optimizer.step).unwrap()[0], state(e))
    };
    let (gate, applied, before) = step(e.as_mut(), &images);
    assert_eq!((gate, applied), (1, 1));
    assert!(before.iter().any(|(n, _)| n.contains("running")) && before.iter().any(|(n, _)| n.starts_with("adam.m")));
    for bad in [f32::NAN, f32::INFINITY] {
        let good = std::mem::replace(&mut images[5000], bad);
        let (gate, applied, after) = step(e.as_mut(), &images);
        assert_eq!((gate, applied), (0, 1));
        for ((name, a), (_, b)) in before.iter().zip(&after) {
            assert!(a == b, "{name} was changed by a step that was skipped");
        }
        images[5000] = good;
    }
    // The next good batch is learned from.
    let (gate, applied, after) = step(e.as_mut(), &images);
    assert_eq!((gate, applied), (1, 2));
    let changed = before.iter().zip(&after).filter(|(a, b)| a.1 != b.1).count();
    assert!(changed > before.len() / 2, "{changed} of {}", before.len());
}

#[test]
fn a_bad_batch_changes_nothing_on_the_twins() {
    a_bad_batch_changes_nothing(&Device::Cpu);
}

#[test]
fn a_bad_batch_changes_nothing_on_an_adapter() {
    if let Some(device) = test_gpu().unwrap() {
        a_bad_batch_changes_nothing(&device);
    }
}

#[test]
fn what_stays_not_finite_ends_the_run_with_the_layers_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut c = blind();
    (c.train.epochs, c.train.steps, c.train.max_skipped) = (0.0, 9, 3);
    Session { interrupt_at: Some(1), ..Default::default() }.run(dir.path(), &c).err().unwrap();
    let folder = RunFolder(dir.path().into());
    let mut file = WeightFile::read(&folder.checkpoint()).unwrap();
    for (name, value) in
        [("weight/conf.1.weight", 3e38f32), ("weight/loc.0.bias", f32::NAN), ("weight/loc.1.bias", f32::NAN)]
    {
        file.tensors.get_mut(name).unwrap().words.fill(value.to_bits());
    }
    file.write(&folder.checkpoint()).unwrap();
    let poisoned = std::fs::read(folder.checkpoint()).unwrap();

    let session = Session { resume: true, ..Default::default() };
    let error = session.run(dir.path(), &RunFolder::open(dir.path()).unwrap().1).err().unwrap();
    let text = error.to_string();
    assert!(matches!(error, Error::Diverged { step: 3, .. }), "{text}");
    for part in [
        "3 steps in a row",
        "loss loc",
        "gradient of",
        "parameters before it",
        "last good checkpoint is kept in",
        "lower --lr",
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    let warnings = session.warnings();
    assert_eq!(warnings.len(), 3);
    assert!(warnings[0].starts_with("step 2 was skipped: not finite: "), "{warnings:?}");
    assert!(std::fs::read(folder.checkpoint()).unwrap() == poisoned, "the last checkpoint is kept");
}
