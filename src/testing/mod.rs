//! Run any WGSL kernel or operation against a Rust twin, on any adapter.
//!
//! [`OpCase`] runs an operation (forward and backward) on the twins, on an adapter, and cut into slices, and compares;
//! [`OpCase::finite_difference`] checks gradients numerically.

mod compare;
mod devices;
mod op;

pub use compare::{Difference, compare};
pub use devices::{TestDevice, test_gpu};
pub use op::{OpCase, Outcome, TestInput};
