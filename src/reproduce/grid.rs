//! The runs of a grid: which are done, which go on, which begin.
//!
//! ```text
//! DIR/grid.json                    what all runs have in common: data, network, number of steps
//! DIR/runs/NAME-seedK/             the run folder of row NAME with seed K
//! DIR/results/NAME-seedK.json      written last, whole or not at all: the run is done
//! ```
//!
//! Seed by seed, so that a grid that is stopped early has whole tables for some seeds. A run whose result file is there is
//! not touched; one that has a checkpoint goes on from it; rows of different targets with one name are one run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::result::{About, RunResult, changed, essence, fingerprint, without_paths};
use super::rows::Row;
use crate::complexity::ComplexityEstimator;
use crate::config::RunConfig;
use crate::data::Dataset;
use crate::device::Device;
use crate::measure::measure;
use crate::models::Detector;
use crate::plan::PlanLimits;
use crate::predict::Predictor;
use crate::report::plot::axis::duration;
use crate::report::progress::Progress;
use crate::train::{FolderLock, Job, RunFolder, train, training_plan, write_report};
use crate::weights::{WeightFile, write_atomically};
use crate::{Error, Result};

/// Evaluated at the end alone: no run has so many steps.
const NEVER: u64 = u32::MAX as u64;
/// Steps between checkpoints.
const SAVE_EVERY: u64 = 250;
/// Images at a time when a finished run is measured.
const BATCH: usize = 8;

/// What a grid is made of.
pub struct Settings {
    /// Its folder.
    pub folder: PathBuf,
    /// What all runs have in common. Method, seed and the number of steps are not read from it.
    pub config: RunConfig,
    /// Steps of every run; none: the grid's own, or from `minutes`.
    pub steps: Option<u64>,
    /// Minutes of the first run, which fixes the number of steps of all.
    pub minutes: Option<f64>,
    /// Steps of every run where neither is given and the grid is new; none where one must be given.
    pub default_steps: Option<u64>,
    /// Where the runs are trained.
    pub device: Device,
    /// Training images.
    pub train: Arc<Dataset>,
    /// Test images.
    pub test: Arc<Dataset>,
    /// Set by Ctrl-C.
    pub stop: Arc<AtomicBool>,
    /// Told what happens, a line at a time.
    pub say: fn(&str),
}

/// A grid in its folder.
pub struct Grid {
    settings: Settings,
    file: GridFile,
    _lock: FolderLock,
}

/// What `grid.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct GridFile {
    /// The data's name, for people.
    data: String,
    /// The data by their contents.
    fingerprint: String,
    /// What all runs have in common; `train.steps` is 0 until it was measured.
    config: RunConfig,
}

impl Grid {
    /// Opens the grid in a folder, or begins a new one there.
    ///
    /// # Errors
    /// A folder that holds something else; a grid of other data or settings.
    pub fn open(settings: Settings) -> Result<Grid> {
        let folder = &settings.folder;
        let path = folder.join("grid.json");
        let known = read(&path)?;
        if known.is_none() {
            vacant(folder)?;
        }
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let lock = RunFolder(folder.clone()).lock()?;
        let mut config = settings.config.clone();
        config.model.method = Default::default();
        // As training fills it in, so that what a run saves equals what it was asked for.
        config.model.classes = settings.train.classes.clone();
        config.model.category_ids = settings.train.category_ids.clone();
        config.model.priors = config.model.prior_set().to_string();
        let t = &mut config.train;
        (t.seed, t.steps, t.epochs, t.eval_every) = (1, 0, 0.0, NEVER);
        (t.minutes, t.checkpoint_every) = (0.0, SAVE_EVERY);
        let mut file = GridFile {
            data: format!("{} {} and {}", settings.train.name, settings.train.split, settings.test.split),
            fingerprint: fingerprint(&[&settings.train, &settings.test]),
            config,
        };
        match known {
            Some(known) => adopt(&mut file, &known, &settings)?,
            None => match (settings.steps, settings.minutes, settings.default_steps) {
                (Some(steps), ..) => file.config.train.steps = steps,
                (None, Some(minutes), _) => file.config.train.minutes = minutes,
                (None, None, Some(steps)) => file.config.train.steps = steps,
                (None, None, None) => {
                    return Err(Error::config(
                        "--steps-per-run",
                        "is missing",
                        "Give the length of a run: --steps-per-run or --minutes-per-run.",
                    ));
                }
            },
        }
        file.config.check()?;
        let grid = Grid { settings, file, _lock: lock };
        grid.save()?;
        Ok(grid)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.settings.folder
    }

    /// What all runs have in common; the number of steps is known once a run was begun.
    pub fn config(&self) -> &RunConfig {
        &self.file.config
    }

    /// Where it is trained.
    pub fn device(&self) -> &Device {
        &self.settings.device
    }

    /// The training images.
    pub fn train(&self) -> &Arc<Dataset> {
        &self.settings.train
    }

    /// The test images.
    pub fn test(&self) -> &Arc<Dataset> {
        &self.settings.test
    }

    /// The folder of a run.
    pub fn run_folder(&self, row: &Row, seed: u32) -> RunFolder {
        RunFolder(self.folder().join("runs").join(row.run(seed)))
    }

    /// Trains and measures what is missing; the value are the results by row and seed.
    ///
    /// # Errors
    /// Before anything is trained: a row that cannot be built, a result of other settings. Then what training may say;
    /// [`Error::Interrupted`] after Ctrl-C, when the run at hand is saved.
    pub fn run(&mut self, rows: &[Row], seeds: u32) -> Result<Vec<Vec<RunResult>>> {
        self.check_rows(rows)?;
        let mut done: Vec<Vec<Option<RunResult>>> = Vec::new();
        for row in rows {
            done.push((1..=seeds).map(|seed| self.result(row, seed)).collect::<Result<_>>()?);
        }
        let mut left: Vec<(usize, usize)> =
            (0..seeds as usize).flat_map(|s| (0..rows.len()).map(move |r| (r, s))).collect();
        left.retain(|(r, s)| done[*r][*s].is_none());
        if self.file.config.train.steps == 0 && !left.is_empty() {
            // The last row has the most parts: with its speed measured, the others fit the time, too.
            let last = left.iter().rposition(|(r, s)| *s == 0 && *r + 1 == rows.len()).unwrap_or(0);
            let first = left.remove(last);
            left.insert(0, first);
        }
        let all = rows.len() * seeds as usize;
        let before = all - left.len();
        let begin = Instant::now();
        for (i, (r, s)) in left.iter().enumerate() {
            let eta = match i {
                0 => String::new(),
                _ => {
                    let each = begin.elapsed().as_secs_f64() / i as f64;
                    format!(", about {} left", duration(each * (left.len() - i) as f64))
                }
            };
            let (row, seed) = (&rows[*r], *s as u32 + 1);
            (self.settings.say)(&format!(
                "run {} of {all}: {} ({}), seed {seed}{eta}",
                before + i + 1,
                row.label,
                row.name
            ));
            let result = self.train_and_measure(row, seed)?;
            if let Some(map) = result.map {
                (self.settings.say)(&format!("{} seed {seed}: mAP {map:.4}", row.label));
            }
            done[*r][*s] = Some(result);
        }
        Ok(done.into_iter().map(|row| row.into_iter().flatten().collect()).collect())
    }

    fn save(&self) -> Result<()> {
        let path = self.folder().join("grid.json");
        let file = GridFile { config: without_paths(&self.file.config), ..self.file.clone() };
        let text = serde_json::to_string_pretty(&file)
            .map_err(|e| Error::format(&path, format!("cannot be written: {e}"), "This is a mistake of ours."))?;
        write_atomically(&path, format!("{text}\n").as_bytes())
    }

    /// A row that cannot be built is told before hours of training.
    fn check_rows(&self, rows: &[Row]) -> Result<()> {
        for row in rows {
            let config = row.config(&self.file.config, 1);
            config.check()?;
            training_plan(&Detector::new(&config.model)?, &config, PlanLimits::HOST, 1)?;
        }
        Ok(())
    }

    fn result_file(&self, row: &Row, seed: u32) -> PathBuf {
        self.folder().join("results").join(format!("{}.json", row.run(seed)))
    }

    /// The result of a run that is done.
    fn result(&self, row: &Row, seed: u32) -> Result<Option<RunResult>> {
        let path = self.result_file(row, seed);
        let Some(result) = RunResult::read(&path)? else { return Ok(None) };
        let mut wanted = row.config(&self.file.config, seed);
        if wanted.train.steps == 0 {
            wanted.train.steps = result.config.train.steps;
        }
        let mut changed = changed(&result.config, &wanted)?;
        if result.data != self.file.fingerprint {
            changed.push("the data".into());
        }
        match changed.as_slice() {
            [] => Ok(Some(result)),
            changed => Err(Error::format(
                &path,
                format!("is the result of other settings than this grid's ({})", changed.join("; ")),
                "Delete it and its run folder, or choose another --out.",
            )),
        }
    }

    fn train_and_measure(&mut self, row: &Row, seed: u32) -> Result<RunResult> {
        let s = &self.settings;
        let folder = self.run_folder(row, seed);
        let mut config = row.config(&self.file.config, seed);
        let resume = folder.config().is_file();
        if resume {
            let (_, own) = RunFolder::open(&folder.0)?;
            if config.train.steps == 0 {
                config.train.steps = own.train.steps;
            }
            if essence(&own) != essence(&config) {
                return Err(Error::config(
                    folder.0.display().to_string(),
                    format!("is a run of other settings than this grid's ({})", changed(&own, &config)?.join("; ")),
                    "Delete it, or choose another --out.",
                ));
            }
        } else {
            RunFolder::create(&folder.0, &config, false)?;
        }
        let _lock = folder.lock()?;
        let job = Job {
            folder: folder.clone(),
            config,
            device: s.device.clone(),
            train: s.train.clone(),
            test: Some(s.test.clone()),
            resume,
            pause_after: None,
            stop: s.stop.clone(),
            listeners: vec![Box::new(folder.open_log(resume)?), Box::new(Progress::stderr())],
        };
        let outcome = train(job)?;
        write_report(&folder, &outcome, &s.train, Some(&s.test))?;
        let mut predictor = self.predictor(row, seed)?;
        let measured = measure(&mut predictor, &self.settings.test, 0, |_, _| Ok(()))?;
        if let Some(image) = measured.found.not_finite.first() {
            return Err(Error::format(
                folder.last(),
                format!("gives values that are not finite for image {image}"),
                "The run has diverged; choose another grid with a lower learning rate (--config) in another --out.",
            ));
        }
        let about = About {
            row: &row.name,
            config: &outcome.config,
            data: &self.file.fingerprint,
            device: self.settings.device.name(),
            seconds: outcome.seconds,
            skipped: outcome.skipped,
        };
        let result = RunResult::new(about, &self.settings.test, &measured)?;
        if self.file.config.train.steps == 0 {
            self.file.config.train.steps = outcome.config.train.steps;
            self.save()?;
        }
        let path = self.result_file(row, seed);
        let parent = self.folder().join("results");
        std::fs::create_dir_all(&parent).map_err(|e| Error::io("create", &parent, e))?;
        result.write(&path)?;
        Ok(result)
    }

    /// A predictor with the last weights of a run.
    ///
    /// # Errors
    /// [`Error::Data`] where they are not there (a result that was copied without its run).
    pub fn predictor(&self, row: &Row, seed: u32) -> Result<Predictor> {
        let weights = self.weights(row, seed, RunFolder::last)?;
        let mut predictor = Predictor::new(self.detector(row, seed)?, &self.settings.device, BATCH)?;
        predictor.load(&weights)?;
        Ok(predictor)
    }

    /// The complexity estimator of a run, with its last weights.
    ///
    /// # Errors
    /// As [`Grid::predictor`].
    pub fn estimator(&self, row: &Row, seed: u32) -> Result<ComplexityEstimator> {
        let weights = self.weights(row, seed, RunFolder::last)?;
        let estimator = self.weights(row, seed, RunFolder::estimator)?;
        let aic = row.config(&self.file.config, seed).aic;
        let device = &self.settings.device;
        ComplexityEstimator::new(self.detector(row, seed)?, &aic, device, BATCH, &weights, &estimator)
    }

    fn detector(&self, row: &Row, seed: u32) -> Result<Detector> {
        Detector::new(&row.config(&self.file.config, seed).model)
    }

    fn weights(&self, row: &Row, seed: u32, file: fn(&RunFolder) -> PathBuf) -> Result<WeightFile> {
        let folder = self.run_folder(row, seed);
        let path = file(&folder);
        if !path.is_file() {
            let result = self.result_file(row, seed);
            return Err(Error::data(
                &folder.0,
                format!("has no {}, which is needed here", path.file_name().unwrap_or_default().display()),
                format!("Copy the run folder too, or delete {} to train it again.", result.display()),
            ));
        }
        WeightFile::read(&path)
    }
}

/// Takes the length of runs from a grid that is there, when all else is equal.
fn adopt(file: &mut GridFile, known: &GridFile, settings: &Settings) -> Result<()> {
    let other = |key: &str, problem: String| {
        let folder = settings.folder.display();
        Err(Error::config(key, format!("{problem} in {folder}"), "Leave it out, or choose another --out."))
    };
    if file.fingerprint != known.fingerprint {
        return other("--data", format!("is not the data ({}) of the grid", known.data));
    }
    let mut now = file.config.clone();
    now.train.steps = known.config.train.steps;
    let changed = changed(&known.config, &now)?;
    if !changed.is_empty() {
        return other("--model or --config", format!("differs ({}) from the grid", changed.join("; ")));
    }
    let (steps, minutes) = (known.config.train.steps, known.config.train.minutes);
    if let Some(asked) = settings.steps.filter(|s| *s != steps) {
        let problem = match steps {
            0 => format!("is {asked}, but --minutes-per-run fixes the length of the runs of the grid"),
            _ => format!("is {asked}, but there are {steps} in the grid"),
        };
        return other("--steps-per-run", problem);
    }
    if let Some(asked) = settings.minutes.filter(|m| *m != minutes) {
        let problem = match minutes {
            0.0 => format!("is {asked}, but runs have {steps} steps in the grid"),
            _ => format!("is {asked}, but there are {minutes} in the grid"),
        };
        return other("--minutes-per-run", problem);
    }
    (file.config.train.steps, file.config.train.minutes) = (steps, minutes);
    Ok(())
}

fn read(path: &Path) -> Result<Option<GridFile>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    let file = serde_json::from_slice(&text)
        .map_err(|e| Error::format(path, format!("is no grid: {e}"), "Choose another --out."))?;
    Ok(Some(file))
}

/// Whether a new grid may begin here.
fn vacant(folder: &Path) -> Result<()> {
    if folder.exists() && !folder.is_dir() {
        let problem = format!("{} is a file, expected a folder", folder.display());
        return Err(Error::config("--out", problem, "Choose another name."));
    }
    let Ok(mut entries) = std::fs::read_dir(folder) else { return Ok(()) };
    match entries.any(|e| e.map_or(true, |e| e.file_name() != "grid.json.new")) {
        true => Err(Error::config(
            "--out",
            format!("{} is not empty, and what it holds is no grid: it has no grid.json", folder.display()),
            "Choose another folder.",
        )),
        false => Ok(()),
    }
}
