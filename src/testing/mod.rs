//! Run any WGSL kernel or operation against a Rust twin, on any adapter.
//!
//! [`OpCase`] runs an operation (forward and backward) on the twins, on an adapter, and cut into slices, and compares;
//! [`OpCase::finite_difference`] checks gradients numerically.

mod compare;
mod devices;
pub mod kernel;
mod op;
pub mod portable;
pub mod reflect;

pub use compare::{Difference, compare};
pub use devices::{TestDevice, all_adapters, test_gpu};
pub use kernel::{ExpectedFailure, KernelCase, KernelTest};
pub use op::{OpCase, Outcome, TestInput};
