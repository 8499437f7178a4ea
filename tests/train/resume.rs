//! A run that is stopped and resumed is the run that was not stopped.

use std::path::Path;
use std::sync::OnceLock;

use autobidet::Error;
use autobidet::config::{OptimizerName, Schedule};
use autobidet::testing::test_gpu;
use autobidet::train::{Checkpoint, RunFolder};
use autobidet::weights::WeightFile;
use tempfile::TempDir;

use super::{Session, blind, config, same};

/// The run of [`config`] in one session, and its last and best weights.
fn whole() -> &'static [Vec<u8>; 2] {
    static WHOLE: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let outcome = Session::default().run(dir.path(), &config()).unwrap();
        assert_eq!((outcome.step, outcome.config.train.steps), (12, 12));
        assert!(outcome.best.is_some() && outcome.evaluation.is_some());
        ["last", "best"].map(|f| std::fs::read(dir.path().join(format!("{f}.safetensors"))).unwrap())
    })
}

#[track_caller]
fn is_whole(path: &Path) {
    for (bytes, name) in whole().iter().zip(["last", "best"]) {
        assert!(std::fs::read(path.join(format!("{name}.safetensors"))).unwrap() == *bytes, "{name} differs");
    }
}

#[test]
fn two_and_two_epochs_are_four() {
    let dir = tempfile::tempdir().unwrap();
    let first = Session { pause_after: Some(2.0), ..Default::default() };
    let outcome = first.run(dir.path(), &config()).unwrap();
    assert_eq!((outcome.step, outcome.config.train.steps), (6, 12));
    assert!(Session::resumed(dir.path()).unwrap().step == 12);
    is_whole(dir.path());
}

#[test]
fn ctrl_c_saves_and_threads_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // Other threads and no memory of decoded images.
    let mut c = config();
    (c.data.threads, c.data.cache_mb) = (3, 0);
    for at in [1, 5, 9] {
        let session = Session { interrupt_at: Some(at), resume: at > 1, ..Default::default() };
        let error = session.run(dir.path(), &c).err().unwrap();
        assert!(matches!(error, Error::Interrupted), "{error}");
        assert_eq!(error.exit_code(), 130);
        assert_eq!(Checkpoint::open(&RunFolder(dir.path().into()).checkpoint()).unwrap().0.step, at);
        c = RunFolder::open(dir.path()).unwrap().1;
        assert_eq!(c.train.steps, 12);
    }
    Session::resumed(dir.path()).unwrap();
    is_whole(dir.path());
    // At its end a run has nothing left to do; it is evaluated once more for its report.
    let again = Session::resumed(dir.path()).unwrap();
    assert!(again.step == 12 && again.evaluation.is_some());
    is_whole(dir.path());
}

#[test]
fn a_run_without_a_checkpoint_starts_anew() {
    let dir = tempfile::tempdir().unwrap();
    // All that a kill in the first seconds leaves.
    RunFolder::create(dir.path(), &config(), false).unwrap();
    assert!(!RunFolder(dir.path().into()).checkpoint().exists());
    Session::resumed(dir.path()).unwrap();
    is_whole(dir.path());
}

#[test]
fn a_constant_schedule_can_be_extended() {
    let [a, b] = [(); 2].map(|_| tempfile::tempdir().unwrap());
    let mut c = blind();
    c.train.schedule = Schedule::Constant;
    c.train.optimizer = OptimizerName::Sgd;
    c.train.epochs = 2.0;
    Session::default().run(a.path(), &c).unwrap();
    let mut longer = RunFolder::open(a.path()).unwrap().1;
    assert_eq!(longer.train.steps, 6);
    (longer.train.steps, longer.train.epochs) = (0, 4.0);
    let resumed = Session { resume: true, ..Default::default() };
    assert_eq!(resumed.run(a.path(), &longer).unwrap().step, 12);
    c.train.epochs = 4.0;
    Session::default().run(b.path(), &c).unwrap();
    same(a.path(), b.path(), &["last.safetensors"]);

    // Less than was done is no plan.
    (longer.train.steps, longer.train.epochs) = (7, 0.0);
    let error = resumed.run(a.path(), &longer).err().unwrap().to_string();
    assert!(error.contains("has done 12 already"), "{error}");
    // A changed setting is said, and training goes on.
    (longer.train.steps, longer.train.lr) = (13, 1e-4);
    resumed.run(a.path(), &longer).unwrap();
    let notes: Vec<_> = resumed.told.try_iter().map(|e| format!("{e:?}")).collect();
    assert!(notes.iter().any(|n| n.contains("was changed since step 12 (lr = 0.0001)")), "{notes:?}");
}

#[test]
fn micro_batches_are_equal_from_run_to_run_and_across_a_stop() {
    let [a, b] = [(); 2].map(|_| tempfile::tempdir().unwrap());
    let mut c = blind();
    (c.train.micro_batch, c.train.epochs) = (1, 2.0);
    Session::default().run(a.path(), &c).unwrap();
    Session { interrupt_at: Some(2), ..Default::default() }.run(b.path(), &c).err().unwrap();
    Session::resumed(b.path()).unwrap();
    same(a.path(), b.path(), &["last.safetensors"]);
}

#[test]
fn an_adapter_resumes_to_the_bit() {
    let Some(device) = test_gpu().unwrap() else { return };
    let [a, b] = [(); 2].map(|_| tempfile::tempdir().unwrap());
    let mut c = blind();
    (c.train.epochs, c.train.steps) = (0.0, 4);
    Session { device: device.clone(), ..Default::default() }.run(a.path(), &c).unwrap();
    let session = Session { device: device.clone(), interrupt_at: Some(2), ..Default::default() };
    session.run(b.path(), &c).err().unwrap();
    Session { device, resume: true, ..Default::default() }.run(b.path(), &c).unwrap();
    same(a.path(), b.path(), &["last.safetensors"]);
}

/// A run with a checkpoint after two of its four steps.
fn stopped() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut c = blind();
    (c.train.epochs, c.train.steps) = (0.0, 4);
    Session { interrupt_at: Some(2), ..Default::default() }.run(dir.path(), &c).err().unwrap();
    dir
}

#[test]
fn a_damaged_checkpoint_is_refused_wherever_the_damage_is() {
    let dir = stopped();
    let path = RunFolder(dir.path().into()).checkpoint();
    let good = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let whole = WeightFile::read(&path).unwrap();
    let altered = dir.path().join("altered.safetensors");
    let says_what_to_do = |e: Error| {
        let text = e.to_string();
        assert!(
            text.contains("altered.safetensors") && text.contains("remove it: --resume then starts anew"),
            "{text}"
        );
        assert_eq!((e.exit_code(), text.lines().count()), (1, 1));
    };
    for keep in [0, 7, 100, header - 1, header, header + 1000, good.len() - 1] {
        std::fs::write(&altered, &good[..keep]).unwrap();
        says_what_to_do(Checkpoint::open(&altered).err().unwrap());
    }
    // Every seventh byte of the header's ends, and places all over the data.
    let ends = (0..400).chain(header - 400..header).step_by(7);
    let data = (0..40).map(|i| header + i * (good.len() - header) / 40);
    let mut refused = 0;
    for at in ends.chain(data) {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        std::fs::write(&altered, &bytes).unwrap();
        match Checkpoint::open(&altered) {
            Err(e) => {
                says_what_to_do(e);
                refused += 1;
            }
            // The kind of white space, or of 32-bit integer, is no matter.
            Ok((_, file)) => assert!(file.tensors == whole.tensors && file.metadata == whole.metadata, "byte {at}"),
        }
    }
    assert!(refused > 140, "{refused}");
    // The training itself refuses it too, and nothing is touched.
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    let error = Session::resumed(dir.path()).err().unwrap().to_string();
    assert!(error.contains("checkpoint.safetensors") && error.contains("cannot be read"), "{error}");
    std::fs::write(&path, &good).unwrap();
    assert_eq!(Session::resumed(dir.path()).unwrap().step, 4);
}

#[test]
fn a_checkpoint_of_another_model_is_refused() {
    let dir = stopped();
    let mut c = RunFolder::open(dir.path()).unwrap().1;
    c.model.method = "float".parse().unwrap();
    let resumed = Session { resume: true, ..Default::default() };
    // The two methods of `tiny` have the same parameters; other classes have not.
    resumed.run(dir.path(), &c).unwrap();
    let notes: Vec<_> = resumed.told.try_iter().map(|e| format!("{e:?}")).collect();
    assert!(notes.iter().any(|n| n.contains("was changed since step 2")), "{notes:?}");
    let (folder, _) = RunFolder::open(dir.path()).unwrap();
    let mut file = WeightFile::read(&folder.checkpoint()).unwrap();
    file.tensors.remove("weight/conf.0.bias");
    file.write(&folder.checkpoint()).unwrap();
    let error = resumed.run(dir.path(), &c).err().unwrap().to_string();
    assert!(error.contains("1 tensors missing (conf.0.bias)"), "{error}");
}

#[test]
fn two_sessions_do_not_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(&dir.path().join("run"), &config(), false).unwrap();
    if cfg!(unix) {
        let lock = folder.lock().unwrap();
        let error = folder.lock().unwrap_err().to_string();
        assert!(error.contains("another session is training in this folder"), "{error}");
        drop(lock);
        folder.lock().unwrap();
    }
}

#[test]
fn without_objects_to_find_there_is_no_best() {
    // No mAP is no number, and the checkpoint must be able to say so.
    let dir = tempfile::tempdir().unwrap();
    let mut c = config();
    (c.train.epochs, c.train.steps, c.train.eval_every) = (0.0, 2, 1);
    let session = Session { without_objects: true, ..Default::default() };
    let outcome = session.run(dir.path(), &c).unwrap();
    assert!(outcome.best.is_none() && outcome.evaluation.unwrap().0.map.is_none());
    let folder = RunFolder(dir.path().into());
    assert_eq!(Checkpoint::open(&folder.checkpoint()).unwrap().0.best, None);
    assert!(folder.last().exists() && !folder.best().exists());
}
