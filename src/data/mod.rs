//! Data sets, augmentation and loading. Knows nothing of wgpu.

pub mod scenes;
pub mod types;

pub use types::{Dataset, ImageRecord, ImageSource, Note, Object};
