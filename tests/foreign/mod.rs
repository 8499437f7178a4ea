//! Weights of other programs: PyTorch's checkpoints, made here byte by byte and real ones where they are at hand.

mod hostile;
mod parity;
mod pth;
pub mod torch_file;

use std::path::{Path, PathBuf};

/// A file of the shared folder; says so where it is missing.
pub fn shared(path: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let root = std::env::var_os("AUTOBIDET_SHARED").map(PathBuf::from).unwrap_or(beside);
    let found = root.join(path);
    if !found.exists() {
        println!("skipped: {} is not there (set AUTOBIDET_SHARED)", found.display());
        return None;
    }
    Some(found)
}
