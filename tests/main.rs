//! All integration tests in one binary, so that the crate links once.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cli;
mod clock;
mod config;
mod conformance;
mod data;
mod deploy;
mod detect;
mod eval;
mod foreign;
mod kernel_test;
mod kernels;
mod lost;
mod models;
mod noop;
mod ops;
mod readme;
mod report;
mod shaders;
mod trace;
mod train;
mod weights;
