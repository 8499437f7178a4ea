//! autobidet trains and runs binarized object detectors through WGSL compute shaders on wgpu.
//!
//! # The map
//!
//! | module | what it is |
//! |---|---|
//! | [`plan`] | the static plan: a [`plan::Builder`] walks a network once; out come tensors, steps and memory |
//! | [`gpu`] | everything that touches wgpu, and nothing that knows what a network is |
//! | [`cpu`] | the CPU twins: a plain Rust function a kernel, which defines it; runs plans where there is no adapter |
//! | [`ops`] | the operations: shapes, forward and backward steps, cost; [`ops::KERNELS`] is the kernel table |
//! | [`models`] | networks as graphs of operations |
//! | [`train`] | the training plan, the loop, schedules, checkpoints, run folders |
//! | [`predict`] | from images to detections with a trained network ([`predict::Predictor::open`]) |
//! | [`deploy`] | one small file for use ([`Detector::load`]), and a plan that only infers |
//! | [`measure`], [`complexity`] | everything that is measured of one; how complex images are to it |
//! | [`data`], [`detect`], [`eval`] | data sets and loading; boxes, priors, matching, suppression; VOC and COCO metrics |
//! | [`report`] | listeners of the loop: progress, logs, TensorBoard, plots, the HTML report; drawing |
//! | [`testing`] | the tests as a library: any WGSL kernel against a Rust twin, on any adapter |
//! | [`weights`], [`config`], [`device`], [`rng`] | safetensors, PyTorch checkpoints; the one configuration; where plans run; counted random numbers |
//! | [`reproduce`] | the paper's tables and figures: a grid of runs, and pages that set its numbers beside the paper's |
//! | [`serve`] | the web page and the live dashboard of runs, over HTTP |
//! | `web` | the engine of the web page and of the JavaScript package; only where the target is WebAssembly |
//! | [`cli`] | the command, a file a subcommand |
//!
//! Arrows go one way: `plan <- gpu, cpu`, `plan, cpu <- ops <- models <- train <- reproduce <- cli`, `report, train <- serve <- cli`; `data`,
//! `detect`, `eval` and `report` know nothing of wgpu.
//!
//! # How a training step comes about
//!
//! [`models::Detector`] puts a network on a builder, [`train::training_plan`] adds losses, backward pass and optimizer.
//! The [`plan::Plan`] goes to an [`plan::Executor`] ([`gpu::GpuExecutor`] or [`cpu::CpuExecutor`], see
//! [`device::Device`]), and [`train::train`] replays it for every batch of a [`data::Loader`], telling
//! [`report::events::Event`]s. `examples/` has small programs that do parts of this; `docs/architecture.md` says why
//! it is built so.
//!
//! A kernel has one name everywhere. To read one from end to end: `shaders/binary_conv2d.wgsl`,
//! [`cpu::binary_conv2d`], [`ops::binary_conv2d`], `tests/ops/binary_conv2d.rs`.

#[cfg(not(target_family = "wasm"))]
pub mod cli;
pub mod complexity;
pub mod config;
pub mod cpu;
pub mod data;
pub mod deploy;
pub mod detect;
pub mod device;
mod error;
pub mod eval;
pub mod gpu;
pub mod measure;
pub mod models;
pub mod ops;
pub mod plan;
pub mod predict;
pub mod report;
#[cfg(not(target_family = "wasm"))]
pub mod reproduce;
pub mod rng;
#[cfg(not(target_family = "wasm"))]
pub mod serve;
pub mod testing;
pub mod train;
#[cfg(target_family = "wasm")]
pub mod web;
pub mod weights;

pub use deploy::Detector;
pub use error::{Error, Result};
