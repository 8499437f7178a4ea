//! One configuration for flags, files and saved runs.
//!
//! A run is described by a [`RunConfig`]. It is read from a TOML file (`--config`), changed by flags, checked, and saved
//! whole in the run folder, so that `--resume` and `eval` need nothing else.

mod aic;
mod method;
mod run;

pub use aic::{AicConfig, Transform};
pub use method::{Beta, Binarization, InformationBottleneck, Method, Prior};
pub use run::{DataConfig, Given, ModelConfig, ModelName, OptimizerName, RunConfig, Schedule, TrainConfig};
