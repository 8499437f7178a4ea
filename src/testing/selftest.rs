//! `autobidet selftest`: does this machine compute what it should?
//!
//! First the crate's own cases: every operation over a small grid of shapes, the device against the CPU twins, the batch
//! in slices against the batch in one piece, gradients against finite differences. Then, where a folder is given, every
//! conformance case in it, on the device and on the twins.

use std::path::PathBuf;

use web_time::Instant;

use super::adapters::{ADAPTERS, LATER, Named, Own, adapter};
use super::cases::{CaseFile, case_files};
use super::{OpCase, TestDevice};
use crate::Result;

/// What to test.
#[derive(Clone, Default)]
pub struct SelfTest {
    /// The adapter; `None` tests the twins alone.
    pub device: Option<TestDevice>,
    /// A folder of case files.
    pub cases: Option<PathBuf>,
}

/// The results of one operation.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Line {
    /// The operation.
    pub op: String,
    /// `own` for the crate's own cases, `files` for case files.
    pub source: &'static str,
    /// Cases that ran.
    pub cases: usize,
    /// Of those, how many passed everywhere.
    pub passed: usize,
    /// Cases of operations that this crate does not have by design ([`LATER`]); not counted.
    pub later: usize,
    /// The largest error of any float array: of own cases between device and twins, of files against the file.
    pub largest_error: f64,
    /// Seconds.
    pub seconds: f64,
    /// What was wrong, a sentence a case.
    pub problems: Vec<String>,
}

/// The sum of all lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Summary {
    /// Cases that passed everywhere.
    pub passed: usize,
    /// Cases that did not.
    pub failed: usize,
    /// Cases of operations that this crate does not have by design.
    pub later: usize,
}

impl Line {
    fn new(op: &str, source: &'static str) -> Self {
        Line {
            op: op.to_string(),
            source,
            cases: 0,
            passed: 0,
            later: 0,
            largest_error: 0.0,
            seconds: 0.0,
            problems: Vec::new(),
        }
    }

    fn note(&mut self, case: &str, result: std::result::Result<f64, String>) {
        self.cases += 1;
        match result {
            Ok(e) => {
                self.passed += 1;
                self.largest_error = self.largest_error.max(e);
            }
            Err(problem) => self.problems.push(format!("{case}: {problem}")),
        }
    }
}

impl Summary {
    fn add(&mut self, line: &Line) {
        self.passed += line.passed;
        self.failed += line.cases - line.passed;
        self.later += line.later;
    }
}

impl SelfTest {
    /// Runs everything; `report` gets a line as soon as an operation is done.
    ///
    /// # Errors
    /// When the folder of cases cannot be read or holds none. A case that fails, also for its own malformed file, is a
    /// result and no error.
    pub fn run(&self, report: &mut dyn FnMut(&Line)) -> Result<Summary> {
        pollster::block_on(self.run_async(report))
    }

    /// [`SelfTest::run`] where nothing may block; case files are for machines that have files.
    ///
    /// # Errors
    /// As [`SelfTest::run`].
    pub async fn run_async(&self, report: &mut dyn FnMut(&Line)) -> Result<Summary> {
        let files = match &self.cases {
            Some(folder) => case_files(folder)?,
            None => Vec::new(),
        };
        let mut summary = Summary::default();
        let mut finish = |line: Line| {
            summary.add(&line);
            report(&line);
        };
        for a in ADAPTERS {
            let mut lines: Vec<Line> = Vec::new();
            for own in (a.own)() {
                let begin = Instant::now();
                let result = self.own(&own).await.map_err(|e| e.to_string());
                let line = line_of(&mut lines, own.op, "own");
                line.note(&own.case.name, result);
                line.seconds += begin.elapsed().as_secs_f64();
            }
            lines.into_iter().for_each(&mut finish);
        }
        // Files of one operation stand together, as their names begin with it.
        let mut lines: Vec<Line> = Vec::new();
        for path in files {
            let begin = Instant::now();
            match CaseFile::read(&path) {
                Err(e) => {
                    let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
                    let op = name.split("__").next().unwrap_or_default().to_string();
                    line_of(&mut lines, &op, "files").note(&name, Err(e.to_string()));
                }
                Ok(file) if LATER.contains(&file.op.as_str()) && adapter(&file.op).is_none() => {
                    line_of(&mut lines, &file.op, "files").later += 1;
                }
                Ok(file) => line_of(&mut lines, &file.op, "files").note(&file.name, self.file(&file)),
            }
            if lines.len() > 1 {
                finish(lines.remove(0));
            }
            lines[0].seconds += begin.elapsed().as_secs_f64();
        }
        lines.into_iter().for_each(&mut finish);
        Ok(summary)
    }

    async fn own(&self, own: &Own) -> Result<f64> {
        let (_, worst) = own.case.check_async(self.device.as_ref(), own.tolerance).await?;
        if let Some((samples, step, tolerance)) = own.differences {
            own.case.finite_difference(samples, step, tolerance)?;
        }
        Ok(worst)
    }

    /// The largest error of a case file on twins and device, or what is wrong.
    fn file(&self, file: &CaseFile) -> std::result::Result<f64, String> {
        let Some(a) = adapter(&file.op) else { return Err(format!("operation {} is not implemented", file.op)) };
        let prepared = (a.prepare)(file).map_err(|e| e.to_string())?;
        let mut worst = None;
        let mut note = |place: &str, named: Result<Named>| {
            let judged = named.map_err(|e| e.to_string()).and_then(|n| file.judge(&n));
            let error = judged.map_err(|e| format!("on {place}: {e}"))?;
            worst = Some(error.max(worst.unwrap_or(0.0)));
            Ok::<(), String>(())
        };
        if let Some(named) = prepared.host {
            note("the host", Ok(named))?;
        }
        if let Some(run) = prepared.device {
            for device in [Some(&TestDevice::Cpu), self.device.as_ref()].into_iter().flatten() {
                note(&device.name(), run(device))?;
            }
        }
        worst.ok_or_else(|| "nothing was computed".to_string())
    }
}

fn line_of<'l>(lines: &'l mut Vec<Line>, op: &str, source: &'static str) -> &'l mut Line {
    let at = lines.iter().position(|l| l.op == op).unwrap_or_else(|| {
        lines.push(Line::new(op, source));
        lines.len() - 1
    });
    &mut lines[at]
}

/// The crate's own cases, all of them.
pub fn own_cases() -> impl Iterator<Item = OpCase<'static>> {
    ADAPTERS.iter().flat_map(|a| (a.own)()).map(|o| o.case)
}
