//! Scenes, drawings, plots, the HTML report, logs and TensorBoard files.

mod draw;
mod html;
mod log;
mod plot;
mod sample;
mod scenes;
mod tensorboard;
