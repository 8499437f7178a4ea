//! The folder of a run.

use std::path::{Path, PathBuf};

use super::Checkpoint;
use crate::config::RunConfig;
use crate::report::jsonl::JsonLog;
use crate::weights::write_atomically;
use crate::{Error, Result};

/// The right to write a run; see [`RunFolder::lock`].
#[derive(Debug)]
pub struct FolderLock {
    #[cfg(unix)]
    _folder: std::fs::File,
}

/// Where the files of a run lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder(pub PathBuf);

impl RunFolder {
    /// Whether a new run may be made here; the value tells whether an earlier run is to be replaced.
    ///
    /// # Errors
    /// A file, or a folder that holds anything, unless it is a run and is to be overwritten.
    pub fn vacant(path: &Path, overwrite: bool) -> Result<bool> {
        let folder = RunFolder(path.to_path_buf());
        if path.exists() && !path.is_dir() {
            return Err(Error::config(
                "--out",
                format!("{} is a file, expected a folder", path.display()),
                "Choose another name.",
            ));
        }
        if !path.is_dir() {
            return Ok(false);
        }
        // What a kill in the first instant leaves is nothing.
        let counts = |e: &std::fs::DirEntry| e.file_name() != "config.toml.new";
        let mut entries = std::fs::read_dir(path).map_err(|e| Error::io("read", path, e))?;
        if !entries.any(|e| e.as_ref().map_or(true, counts)) {
            return Ok(false);
        }
        let run = folder.log().is_file() || RunConfig::read(&folder.config()).is_ok();
        let (what, remedy) = match (run, overwrite) {
            (true, true) => return Ok(true),
            (true, false) => (
                "holds another run",
                "Choose another folder, go on with it by --resume, or give --overwrite to replace the run in it.",
            ),
            (false, _) => ("is not empty, and what it holds is no run", "Choose another folder."),
        };
        Err(Error::config("--out", format!("{} {what}", path.display()), remedy))
    }

    /// Makes a folder for a new run and saves its configuration there.
    ///
    /// # Errors
    /// A folder that holds anything already, unless it is a run and `overwrite`: then the files of the earlier run are
    /// removed (only those that a run writes).
    pub fn create(path: &Path, config: &RunConfig, overwrite: bool) -> Result<RunFolder> {
        let folder = RunFolder(path.to_path_buf());
        let taken = RunFolder::vacant(path, overwrite)?;
        std::fs::create_dir_all(path).map_err(|e| Error::io("create", path, e))?;
        let _lock = folder.lock()?;
        if taken {
            for file in folder.files()? {
                std::fs::remove_file(&file).map_err(|e| Error::io("remove", &file, e))?;
            }
        }
        folder.save_config(config)?;
        Ok(folder)
    }

    /// The folder of an existing run.
    pub fn open(path: &Path) -> Result<(RunFolder, RunConfig)> {
        let folder = RunFolder(path.to_path_buf());
        if !folder.config().is_file() {
            let problem = match (path.exists(), path.is_dir()) {
                (false, _) => "does not exist",
                (_, false) => "is a file, not the folder of a run",
                _ => "is not a run: it has no config.toml",
            };
            return Err(Error::config(
                path.display().to_string(),
                problem,
                "Give the folder that `train --out` wrote.",
            ));
        }
        let config = RunConfig::read(&folder.config())?;
        Ok((folder, config))
    }

    /// A fresh folder `<base>-1`, `-2`, ... below `parent`.
    pub fn numbered(parent: &Path, base: &str, config: &RunConfig) -> Result<RunFolder> {
        std::fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
        for i in 1..100_000 {
            let path = parent.join(format!("{base}-{i}"));
            match std::fs::create_dir(&path) {
                Ok(()) => return RunFolder::create(&path, config, false),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(Error::io("create", path, e)),
            }
        }
        Err(Error::data(parent, "has 100,000 runs of that name", "Remove some."))
    }

    /// Keeps other sessions out while the value lives, so that two of them never write one run. (Unix only: elsewhere a
    /// folder cannot be locked, and a locked file could not be read.)
    ///
    /// # Errors
    /// Another session is at work in the folder.
    pub fn lock(&self) -> Result<FolderLock> {
        #[cfg(unix)]
        {
            let folder = std::fs::File::open(&self.0).map_err(|e| Error::io("read", &self.0, e))?;
            if let Err(std::fs::TryLockError::WouldBlock) = folder.try_lock() {
                return Err(Error::config(
                    self.0.display().to_string(),
                    "another session is training in this folder",
                    "Wait for it or stop it with Ctrl-C, or choose another folder.",
                ));
            }
            Ok(FolderLock { _folder: folder })
        }
        #[cfg(not(unix))]
        Ok(FolderLock {})
    }

    /// Saves the configuration.
    pub fn save_config(&self, config: &RunConfig) -> Result<()> {
        write_atomically(&self.config(), config.to_toml()?.as_bytes())
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        let own = [
            self.config(),
            self.checkpoint(),
            self.last(),
            self.best(),
            self.estimator(),
            self.reconstructions(),
            self.latest(),
            self.log(),
            self.report(),
            self.evaluation(),
        ];
        let with_new = own.into_iter().flat_map(|p| [p.with_added_extension("new"), p]);
        let mut out: Vec<PathBuf> = with_new.filter(|p| p.is_file()).collect();
        for entry in std::fs::read_dir(&self.0).map_err(|e| Error::io("read", &self.0, e))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("events.out.tfevents.") {
                out.push(entry.path());
            }
        }
        Ok(out)
    }

    /// The log of a session: a new one, or the one that is there, cut after the last checkpoint's step.
    pub fn open_log(&self, resume: bool) -> Result<JsonLog> {
        if !resume || !self.log().is_file() {
            return JsonLog::create(self.log());
        }
        let step = match self.checkpoint().is_file() {
            true => Checkpoint::open(&self.checkpoint())?.0.step,
            false => 0,
        };
        JsonLog::resume(self.log(), step)
    }

    /// The whole configuration.
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }
    /// The complete state to resume from.
    pub fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint.safetensors")
    }
    /// Weights after the last step.
    pub fn last(&self) -> PathBuf {
        self.0.join("last.safetensors")
    }
    /// Weights of the best evaluation.
    pub fn best(&self) -> PathBuf {
        self.0.join("best.safetensors")
    }
    /// The log, a JSON object a line.
    pub fn log(&self) -> PathBuf {
        self.0.join("log.jsonl")
    }
    /// The report.
    pub fn report(&self) -> PathBuf {
        self.0.join("report.html")
    }
    /// The complexity estimator's weights after the last step, where one is trained.
    pub fn estimator(&self) -> PathBuf {
        self.0.join("estimator.safetensors")
    }
    /// Training images and their reconstructions, where a complexity estimator is trained.
    pub fn reconstructions(&self) -> PathBuf {
        self.0.join("reconstructions.png")
    }
    /// What the last evaluation found in a few test images.
    pub fn latest(&self) -> PathBuf {
        self.0.join("latest.jpg")
    }
    /// The last evaluation as JSON.
    pub fn evaluation(&self) -> PathBuf {
        self.0.join("evaluation.json")
    }
}
