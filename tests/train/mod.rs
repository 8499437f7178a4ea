//! Training as a whole: what stops it, what it leaves, and that equal runs are equal to the last bit.

mod budget;
mod csop;
mod diagnose;
mod estimator;
mod methods;
mod nonfinite;
mod resume;
mod slices;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use autobidet::Result;
use autobidet::config::RunConfig;
use autobidet::data::scenes::{SceneSpec, test as test_scenes, train as train_scenes};
use autobidet::device::Device;
use autobidet::report::events::{Event, Listener};
use autobidet::train::{Job, Outcome, RunFolder, train};

/// Six images in batches of two, four epochs: twelve steps of `tiny`. Three test images, evaluated every five steps.
pub fn config() -> RunConfig {
    let mut c = RunConfig::default();
    (c.data.scenes_train, c.data.scenes_test, c.data.threads) = (6, 3, 1);
    (c.train.epochs, c.train.batch, c.train.eval_every) = (4.0, 2, 5);
    c
}

/// The same without a test split.
pub fn blind() -> RunConfig {
    let mut c = config();
    c.data.test = String::new();
    c
}

/// How a session is run.
pub struct Session {
    pub device: Device,
    pub resume: bool,
    pub pause_after: Option<f64>,
    /// Ctrl-C after this step.
    pub interrupt_at: Option<u64>,
    /// The test images have no annotated objects.
    pub without_objects: bool,
    /// Takes in every event.
    pub events: std::sync::mpsc::Sender<Event>,
    /// What was sent there.
    pub told: std::sync::mpsc::Receiver<Event>,
}

impl Default for Session {
    fn default() -> Self {
        let (events, told) = std::sync::mpsc::channel();
        Session {
            device: Device::Cpu,
            resume: false,
            pause_after: None,
            interrupt_at: None,
            without_objects: false,
            events,
            told,
        }
    }
}

struct Told {
    stop: Arc<AtomicBool>,
    at: Option<u64>,
    events: std::sync::mpsc::Sender<Event>,
}

impl Listener for Told {
    fn event(&mut self, event: &Event) -> Result<()> {
        if let (Event::Step(s), Some(at)) = (event, self.at)
            && s.step >= at
        {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.events.send(event.clone()).unwrap();
        Ok(())
    }
}

impl Session {
    /// Trains in `path`: a new run of `config`, or the one that is there.
    pub fn run(&self, path: &Path, config: &RunConfig) -> Result<Outcome> {
        let (folder, config) = match self.resume {
            true => (RunFolder(path.to_path_buf()), config.clone()),
            false => (RunFolder::create(path, config, false)?, config.clone()),
        };
        let spec = SceneSpec { seed: 1, width: 160, height: 160 };
        let mut test = test_scenes(&spec, config.data.scenes_test);
        if self.without_objects {
            test.images.iter_mut().for_each(|i| i.objects.clear());
        }
        let stop = Arc::new(AtomicBool::new(false));
        let told = Told { stop: stop.clone(), at: self.interrupt_at, events: self.events.clone() };
        train(Job {
            folder,
            device: self.device.clone(),
            train: Arc::new(train_scenes(&spec, config.data.scenes_train)),
            test: (!config.data.test.is_empty()).then(|| Arc::new(test)),
            config,
            resume: self.resume,
            pause_after: self.pause_after,
            stop,
            listeners: vec![Box::new(told)],
        })
    }

    /// Goes on with the run in `path` as its own configuration says.
    pub fn resumed(path: &Path) -> Result<Outcome> {
        let (_, config) = RunFolder::open(path)?;
        Session { resume: true, ..Default::default() }.run(path, &config)
    }

    /// The warnings so far.
    pub fn warnings(&self) -> Vec<String> {
        let warning = |e| if let Event::Warning { message } = e { Some(message) } else { None };
        self.told.try_iter().filter_map(warning).collect()
    }
}

/// Asserts that two run folders hold the same bytes of weights.
#[track_caller]
pub fn same(a: &Path, b: &Path, files: &[&str]) {
    for f in files {
        let (x, y) = (std::fs::read(a.join(f)).unwrap(), std::fs::read(b.join(f)).unwrap());
        assert!(x.len() > 1_000_000, "{f} holds a network");
        assert!(x == y, "{f} differs");
    }
}
