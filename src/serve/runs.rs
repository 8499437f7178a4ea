//! Which runs there are, and what can be said of one at a glance, without reading its whole log.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::files::{inside, is_plain};
use super::history::State;
use crate::report::events::Event;
use crate::train::RunFolder;
use crate::{Error, Result};

/// Entries of a folder that are looked at.
const ENTRIES: usize = 10_000;
/// Runs in a list.
const LISTED: usize = 200;
/// Bytes that are read at the beginning and at the end of a log. A step's line has about 300.
const GLANCE: u64 = 48 << 10;
/// Bytes at the end of a log in which the last evaluation is looked for.
const EVALUATION: u64 = 4 << 20;

/// The runs that are shown, by their names in addresses.
#[derive(Debug)]
pub(super) struct Runs {
    /// Those that were given one by one. They go before those of the folder.
    named: Vec<(String, PathBuf)>,
    folder: Option<PathBuf>,
}

/// One run in a list.
#[derive(Debug, Serialize)]
pub(super) struct Glance {
    name: String,
    state: State,
    stopped: Option<String>,
    model: String,
    step: u64,
    of: u64,
    map: Option<f64>,
    /// When its log was last written, in seconds since 1970.
    modified: f64,
    /// Why there is nothing more, where something is wrong.
    problem: Option<String>,
}

/// All runs, the latest first.
#[derive(Debug, Serialize)]
pub(super) struct List {
    /// This server's clock, in seconds since 1970.
    now: f64,
    runs: Vec<Glance>,
    /// Runs that are not listed.
    more: usize,
    /// The folder that is searched, as it was given.
    folder: Option<String>,
}

/// Seconds since 1970.
pub(super) fn seconds(t: SystemTime) -> f64 {
    t.duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

impl Runs {
    /// Runs that are given one by one, and those in a folder. Either may come into being later.
    ///
    /// # Errors
    /// Something that is there and is no folder, or is no run's.
    pub fn new(named: &[PathBuf], folder: Option<&Path>) -> Result<Runs> {
        let mut runs = Runs { named: Vec::new(), folder: folder.map(Path::to_path_buf) };
        if let Some(folder) = folder {
            if folder.exists() && !folder.is_dir() {
                let problem = format!("{} is a file, expected a folder of runs", folder.display());
                return Err(Error::config("--folder", problem, "Give the folder that holds the runs."));
            }
            if is_run(folder) {
                let problem = format!("{} is a run itself, expected a folder of runs", folder.display());
                return Err(Error::config("--folder", problem, "Give it without --folder."));
            }
        }
        for path in named {
            if path.exists() && !path.is_dir() {
                let problem = "is a file, not the folder of a run";
                return Err(Error::config(path.display().to_string(), problem, "Give the folder that `train` wrote."));
            }
            if path.is_dir() && !is_run(path) && std::fs::read_dir(path).is_ok_and(|mut d| d.next().is_some()) {
                let problem = "is not a run: it has no config.toml";
                let remedy = "Give the folder that `train --out` wrote, or --folder for a folder of runs.";
                return Err(Error::config(path.display().to_string(), problem, remedy));
            }
            let full = std::path::absolute(path).map_err(|e| Error::io("read", path, e))?;
            // `.` and `..` have a name only when they are followed.
            let full = std::fs::canonicalize(&full).unwrap_or(full);
            let own = full.file_name().and_then(|n| n.to_str()).filter(|n| is_plain(n)).unwrap_or("run");
            let taken = |n: &str| runs.named.iter().any(|r| r.0 == n);
            let name = std::iter::once(own.to_string()).chain((2..).map(|i| format!("{own}~{i}"))).find(|n| !taken(n));
            runs.named.extend(name.map(|n| (n, full)));
        }
        Ok(runs)
    }

    /// Whether a run of this name is here or may come.
    pub fn may_have(&self, name: &str) -> bool {
        is_plain(name) && (self.folder.is_some() || self.named.iter().any(|r| r.0 == name))
    }

    /// The folder of a run, where there is one now.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        if let Some((_, path)) = self.named.iter().find(|r| r.0 == name) {
            return path.is_dir().then(|| path.clone());
        }
        let folder = self.folder.as_ref().filter(|_| is_plain(name))?;
        let root = std::fs::canonicalize(folder).ok()?;
        let path = std::fs::canonicalize(root.join(name)).ok()?;
        (path.starts_with(&root) && path != root && path.is_dir()).then_some(path)
    }

    /// The only run that was given, where no folder was.
    pub fn only(&self) -> Option<&str> {
        match (&self.folder, &self.named[..]) {
            (None, [(name, _)]) => Some(name),
            _ => None,
        }
    }

    /// All of them.
    pub fn list(&self) -> List {
        let named = self.named.iter().map(|(name, path)| (name.clone(), Some(path.clone())));
        let entries = self.folder.as_ref().and_then(|f| std::fs::read_dir(f).ok());
        let found = entries.into_iter().flatten().take(ENTRIES).flatten();
        let found = found.filter_map(|e| e.file_name().into_string().ok());
        let found = found.filter(|n| !self.named.iter().any(|r| r.0 == *n));
        let found = found.filter_map(|n| self.find(&n).filter(|p| is_run(p)).map(|p| (n, Some(p))));
        let mut all: Vec<(String, Option<PathBuf>, f64)> = named
            .chain(found)
            .map(|(name, path)| {
                let at = path.as_ref().map_or(0.0, |p| modified(p));
                (name, path, at)
            })
            .collect();
        all.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
        let more = all.len().saturating_sub(LISTED);
        let runs = all.into_iter().take(LISTED).map(|(name, path, _)| glance(name, path.as_deref())).collect();
        let folder = self.folder.as_ref().map(|f| f.display().to_string());
        List { now: seconds(SystemTime::now()), runs, more, folder }
    }
}

fn is_run(path: &Path) -> bool {
    let folder = RunFolder(path.to_path_buf());
    folder.config().is_file() || folder.log().is_file()
}

/// When a run's log was last written, else its folder.
pub(super) fn modified(folder: &Path) -> f64 {
    let log = std::fs::metadata(RunFolder(folder.to_path_buf()).log());
    let facts = log.or_else(|_| std::fs::metadata(folder));
    facts.and_then(|f| f.modified()).map_or(0.0, seconds)
}

/// Opens the log of a run where it is a regular file inside the run's folder.
pub(super) fn open_log(folder: &Path) -> Option<File> {
    let (path, _) = inside(folder, &RunFolder(PathBuf::new()).log())?;
    File::open(path).ok()
}

/// What the first and the last lines of a log say.
pub(super) fn glance(name: String, folder: Option<&Path>) -> Glance {
    let mut g = Glance {
        name,
        state: State::Missing,
        stopped: None,
        model: String::new(),
        step: 0,
        of: 0,
        map: None,
        modified: 0.0,
        problem: None,
    };
    let Some(folder) = folder else { return g };
    (g.state, g.modified) = (State::Waiting, modified(folder));
    let Some(mut log) = open_log(folder) else { return g };
    let Ok((lines, empty)) = ends(&mut log) else {
        g.problem = Some("its log cannot be read".to_string());
        return g;
    };
    let mut events = 0;
    for event in lines {
        events += 1;
        match event {
            Event::RunStarted(s) => {
                (g.state, g.model, g.of) = (State::Running, s.model.chars().take(100).collect(), s.steps);
                g.step = s.resumed_at.unwrap_or(0);
            }
            Event::Step(s) => (g.state, g.step, g.of) = (State::Running, s.step, s.of),
            Event::Evaluated(e) => g.map = e.map.is_finite().then_some(e.map),
            Event::RunFinished(f) => {
                g.state = if f.stopped.is_some() { State::Stopped } else { State::Finished };
                (g.step, g.map) = (f.step, f.map.or(g.map));
                g.stopped = f.stopped.map(|s| s.chars().take(100).collect());
            }
            _ => {}
        }
    }
    if g.state == State::Running && g.map.is_none() {
        g.map = last_map(&mut log).unwrap_or_default();
    }
    if events == 0 && !empty {
        g.problem = Some("its log holds no training events".to_string());
    }
    g
}

/// The last evaluation's mAP, where it is not too far back.
fn last_map(log: &mut File) -> std::io::Result<Option<f64>> {
    let length = log.metadata()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(EVALUATION)))?;
    let mut bytes = Vec::new();
    log.take(EVALUATION).read_to_end(&mut bytes)?;
    let mut lines = bytes.rsplit(|b| *b == b'\n').filter(|l| l.starts_with(br#"{"type":"evaluated""#));
    Ok(lines.find_map(|l| match serde_json::from_slice(l) {
        Ok(Event::Evaluated(e)) => Some(e.map).filter(|m| m.is_finite()),
        _ => None,
    }))
}

/// The events at both ends of a log, and whether it is empty.
fn ends(log: &mut File) -> std::io::Result<(Vec<Event>, bool)> {
    let length = log.metadata()?.len();
    let mut bytes = Vec::new();
    log.by_ref().take(GLANCE).read_to_end(&mut bytes)?;
    if length > GLANCE {
        // The first line that is cut by where reading begins is no event, and is passed over as the last one is.
        log.seek(SeekFrom::Start(length.saturating_sub(GLANCE).max(GLANCE)))?;
        bytes.push(b'\n');
        log.by_ref().take(GLANCE).read_to_end(&mut bytes)?;
    }
    let events = bytes.split(|b| *b == b'\n').filter_map(|l| serde_json::from_slice(l).ok()).collect();
    Ok((events, length == 0))
}
