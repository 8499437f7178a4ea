//! The one error type of the library. Every variant is a whole sentence for a person: what was wrong, where,
//! what was expected, and what to do about it.

use std::path::{Path, PathBuf};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong for a reason outside this crate. Its `Debug` is the sentence, too, because that is what Rust
/// prints where `main` returns an error or a result is unwrapped.
#[derive(thiserror::Error)]
pub enum Error {
    // === Files ===
    /// The operating system refused a file operation.
    #[error("{path}: cannot {action}: {source}{}", remedy_of(.source))]
    Io {
        /// What was tried: `read`, `create`, `write`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file was read but does not hold what it should.
    #[error("{path}{}: {problem}. {remedy}", .line.map(|l| format!(":{l}")).unwrap_or_default())]
    Format {
        /// The file.
        path: PathBuf,
        /// The 1-based line, where the format has lines.
        line: Option<usize>,
        /// What was found and what was expected.
        problem: String,
        /// What the user can do.
        remedy: String,
    },
    /// A data set as a whole cannot be used.
    #[error("data set {path}: {problem}. {remedy}")]
    Data {
        /// The data folder or file.
        path: PathBuf,
        /// What was found and what was expected.
        problem: String,
        /// What the user can do.
        remedy: String,
    },

    // === Configuration and command line ===
    /// A setting has an impossible value or an unknown name.
    #[error("{key}: {problem}. {remedy}")]
    Config {
        /// The setting as the user writes it, e.g. `--batch` or `train.lr`.
        key: String,
        /// What was found and what was expected.
        problem: String,
        /// What the user can do.
        remedy: String,
    },

    // === Shapes, plans and devices ===
    /// An operation was given tensors that it cannot work on.
    #[error("{op}: expected {expected}, got {got}")]
    Shape {
        /// The operation (and layer, if known).
        op: String,
        /// What it needs.
        expected: String,
        /// What it was given.
        got: String,
    },
    /// Something does not fit a limit of the device.
    #[error("{what} needs {need}, but {limit} is {have}. {remedy}")]
    Limit {
        /// The tensor or step.
        what: String,
        /// The amount needed, with its unit.
        need: String,
        /// The name of the limit.
        limit: String,
        /// The amount there is.
        have: String,
        /// What the user can do.
        remedy: String,
    },
    /// The adapter or its driver failed.
    #[error("device {device}: {problem}. {remedy}")]
    Device {
        /// The adapter's name, or what was asked for.
        device: String,
        /// What happened.
        problem: String,
        /// What the user can do.
        remedy: String,
    },
    /// A shader does not compile, or does not match its row in the kernel table.
    #[error("shader {name}: {problem}")]
    Shader {
        /// The file stem.
        name: String,
        /// naga's or our message.
        problem: String,
    },

    /// `autobidet selftest` found cases that fail.
    #[error("{failed} cases of the self-test failed")]
    SelfTest {
        /// How many.
        failed: usize,
    },

    /// `autobidet selftest` found no adapter to run shaders on.
    #[error(
        "no Vulkan, Metal or DX12 adapter was found: NO SHADER WAS TESTED, only the CPU twins. Install a driver (Debian, \
         Ubuntu: mesa-vulkan-drivers), or give --device cpu to test the twins alone"
    )]
    NoAdapter,

    // === Training ===
    /// Loss or gradients stayed non-finite.
    #[error("training stopped at step {step}: {problem}. {remedy}")]
    Diverged {
        /// The 0-based step.
        step: u64,
        /// Which layer, what was seen.
        problem: String,
        /// What the user can do.
        remedy: String,
    },
    /// The user asked to stop (Ctrl-C); what had been done is saved.
    #[error("interrupted")]
    Interrupted,
}

impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Error::Io { action, path: path.as_ref().to_path_buf(), source }
    }

    /// An [`Error::Format`] without a line.
    pub fn format(path: impl AsRef<Path>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Error::Format { path: path.as_ref().to_path_buf(), line: None, problem: problem.into(), remedy: remedy.into() }
    }

    /// An [`Error::Data`].
    pub fn data(path: impl AsRef<Path>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Error::Data { path: path.as_ref().to_path_buf(), problem: problem.into(), remedy: remedy.into() }
    }

    /// An [`Error::Config`].
    pub fn config(key: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Error::Config { key: key.into(), problem: problem.into(), remedy: remedy.into() }
    }

    /// An [`Error::Shape`].
    pub fn shape(op: impl Into<String>, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Error::Shape { op: op.into(), expected: expected.into(), got: got.into() }
    }

    /// The process exit code for this error: 2 for wrong use, 3 for a self-test without an adapter, 130 for Ctrl-C, 1 for the
    /// rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Config { .. } => 2,
            Error::NoAdapter => 3,
            Error::Interrupted => 130,
            _ => 1,
        }
    }
}

fn remedy_of(e: &std::io::Error) -> &'static str {
    use std::io::ErrorKind as K;
    match e.kind() {
        K::NotFound => ". Check the path; relative paths start at the current folder",
        K::PermissionDenied => ". Check who owns it and its permissions",
        K::StorageFull | K::QuotaExceeded | K::FileTooLarge => {
            ". The disk is full: free some space or choose another --out; what was saved before is whole"
        }
        K::IsADirectory => ". It is a folder, expected a file",
        K::NotADirectory => ". A part of the path is a file, expected a folder",
        K::AlreadyExists => ". Choose another name",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn main_prints_the_sentence() {
        let e = Error::config("--lr", "is -1, expected 0 to 10", "Give a number over 0.");
        assert_eq!(format!("{e:?}"), "--lr: is -1, expected 0 to 10. Give a number over 0.");
        let e = Error::io("read", "no/where", std::io::ErrorKind::NotFound.into());
        assert_eq!(format!("{e:?}"), e.to_string());
        assert_eq!(format!("{e:#?}"), e.to_string());
    }
}
