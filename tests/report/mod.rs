//! Scenes, drawings, plots, the HTML report, logs and TensorBoard files.

mod draw;
mod scenes;
