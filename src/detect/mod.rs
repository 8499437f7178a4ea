//! Boxes, priors, matching and non-maximum suppression on the host. Knows nothing of wgpu.

pub mod boxes;

pub use boxes::{BBox, Detection};
