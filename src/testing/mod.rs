//! The project's tests as a library: everything that `autobidet selftest` and the integration tests share, and that others
//! may use for their own kernels. docs/testing.md tells how to run it.
//!
//! - [`KernelTest`]: any WGSL kernel against a Rust twin, on any adapter.
//! - [`OpCase`]: an operation, forward and backward, on the twins, on an adapter, and cut into slices;
//!   [`OpCase::finite_difference`] checks gradients numerically.
//! - [`reflect`]: the kernel table against the shaders; [`portable`]: the shaders as SPIR-V, MSL, HLSL and GLSL.
//! - [`cases`] and [`adapters`]: conformance cases from files; [`selftest`] runs them with the crate's own.
//! - [`trace`]: a plan step by step, each step beside its twin; [`parity`]: a network layer by layer beside PyTorch's.

pub mod adapters;
pub mod cases;
mod compare;
mod devices;
#[cfg(not(target_family = "wasm"))]
pub mod kernel;
mod op;
pub mod parity;
#[cfg(not(target_family = "wasm"))]
pub mod portable;
#[cfg(not(target_family = "wasm"))]
pub mod reflect;
pub mod selftest;
pub mod trace;

pub use compare::{Difference, compare};
pub use devices::{TestDevice, all_adapters, test_gpu};
#[cfg(not(target_family = "wasm"))]
pub use kernel::{ExpectedFailure, KernelCase, KernelTest};
pub use op::{OpCase, Outcome, TestInput};
