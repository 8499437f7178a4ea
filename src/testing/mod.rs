//! Run any WGSL kernel against a Rust twin, on any adapter.
