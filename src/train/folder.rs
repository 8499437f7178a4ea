//! The folder of a run.

use std::path::{Path, PathBuf};

use crate::config::RunConfig;
use crate::weights::write_atomically;
use crate::{Error, Result};

/// Where the files of a run lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder(pub PathBuf);

impl RunFolder {
    /// Makes a folder for a new run and saves its configuration there.
    ///
    /// # Errors
    /// A folder that holds anything already, unless `overwrite`: then the files of the earlier run are removed (only
    /// those that a run writes).
    pub fn create(path: &Path, config: &RunConfig, overwrite: bool) -> Result<RunFolder> {
        let folder = RunFolder(path.to_path_buf());
        if path.is_file() {
            return Err(Error::config(
                "--out",
                format!("{} is a file, expected a folder", path.display()),
                "Choose another name.",
            ));
        }
        let taken = path.is_dir() && std::fs::read_dir(path).map_err(|e| Error::io("read", path, e))?.next().is_some();
        if taken && !overwrite {
            let what = if folder.config().exists() { "holds another run" } else { "is not empty" };
            return Err(Error::config(
                "--out",
                format!("{} {what}", path.display()),
                "Choose another folder, go on with it by --resume, or give --overwrite to replace the run in it.",
            ));
        }
        std::fs::create_dir_all(path).map_err(|e| Error::io("create", path, e))?;
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
            return Err(Error::data(
                path,
                "is not a run: it has no config.toml",
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

    /// Saves the configuration.
    pub fn save_config(&self, config: &RunConfig) -> Result<()> {
        write_atomically(&self.config(), config.to_toml()?.as_bytes())
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        let mut out: Vec<PathBuf> =
            [self.config(), self.checkpoint(), self.last(), self.best(), self.log(), self.report(), self.evaluation()]
                .into_iter()
                .filter(|p| p.is_file())
                .collect();
        for entry in std::fs::read_dir(&self.0).map_err(|e| Error::io("read", &self.0, e))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("events.out.tfevents.") {
                out.push(entry.path());
            }
        }
        Ok(out)
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
    /// The last evaluation as JSON.
    pub fn evaluation(&self) -> PathBuf {
        self.0.join("evaluation.json")
    }
}
