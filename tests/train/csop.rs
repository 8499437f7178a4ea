//! The class-aware object prior in training: it is part of the loss, its averages move and are part of a checkpoint.

use autobidet::config::RunConfig;
use autobidet::train::RunFolder;
use autobidet::weights::WeightFile;

use super::{Session, blind, same};

/// Eight steps; the prior counts from the third on.
fn aware(method: &str) -> RunConfig {
    let mut c = blind();
    c.model.method = method.parse().unwrap();
    (c.train.epochs, c.train.steps, c.train.extra_terms_from) = (0.0, 8, 0.25);
    c
}

/// (average, seen) of each class in the checkpoint.
fn averages(path: &std::path::Path) -> Vec<f32> {
    let file = WeightFile::read(&RunFolder(path.into()).checkpoint()).unwrap();
    let state = &file.tensors["state/sparse_object_prior.averages"];
    state.words.iter().map(|w| f32::from_bits(*w)).collect()
}

#[test]
fn the_averages_start_with_the_term_and_resume_to_the_bit() {
    let [a, b] = [(); 2].map(|_| tempfile::tempdir().unwrap());
    let c = aware("bireal+csop");
    let session = Session::default();
    assert_eq!(session.run(a.path(), &c).unwrap().step, 8);
    let priors: Vec<f64> = session
        .told
        .try_iter()
        .filter_map(|e| match e {
            autobidet::report::events::Event::Step(s) => s.losses.get("sop").copied(),
            _ => None,
        })
        .collect();
    assert!(priors.len() == 8 && priors[..2] == [0.0; 2] && priors[2..].iter().all(|v| *v > 0.0), "{priors:?}");

    Session { interrupt_at: Some(2), ..Default::default() }.run(b.path(), &c).err().unwrap();
    assert!(averages(b.path()).iter().all(|v| *v == 0.0), "nothing is detected before the term counts");
    for at in [5, 8] {
        let session = Session { interrupt_at: (at < 8).then_some(at), resume: true, ..Default::default() };
        let (_, c) = RunFolder::open(b.path()).unwrap();
        let _ = session.run(b.path(), &c);
    }
    same(a.path(), b.path(), &["last.safetensors"]);
    let (whole, parts) = (averages(a.path()), averages(b.path()));
    assert_eq!(whole, parts);
    assert!(whole.chunks(2).any(|c| c[0] > 0.0 && c[1] == 1.0), "{whole:?}");
}

/// The plain prior of the same detections has another loss, as its weights differ from 1.
#[test]
fn the_class_aware_prior_is_another_loss() {
    let weights = ["bireal+sop", "bireal+csop"].map(|method| {
        let dir = tempfile::tempdir().unwrap();
        let mut c = aware(method);
        c.train.steps = 4;
        Session::default().run(dir.path(), &c).unwrap();
        std::fs::read(dir.path().join("last.safetensors")).unwrap()
    });
    assert!(weights[0] != weights[1]);
}
