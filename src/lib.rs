//! autobidet trains and runs binarized object detectors through WGSL compute shaders on wgpu.
//!
//! Arrows between the folders go one way: `plan <- gpu, cpu`, `plan, cpu <- ops <- models <- train <- cli`;
//! `detect`, `data` and `eval` know nothing of wgpu.

pub mod cli;
pub mod config;
pub mod cpu;
pub mod data;
pub mod detect;
pub mod device;
mod error;
pub mod eval;
pub mod gpu;
pub mod models;
pub mod ops;
pub mod plan;
pub mod predict;
pub mod report;
pub mod rng;
pub mod testing;
pub mod train;
pub mod weights;

pub use error::{Error, Result};
