//! What a person sees of a run: progress, logs, TensorBoard, plots, drawings and the HTML report.
//!
//! Nothing here knows how a detector is trained or evaluated. [`events`] is the language in which training speaks;
//! [`jsonl`], [`progress`] and [`tensorboard`] listen; [`log_reader`] turns a log back into curves; [`html`] makes one
//! page of everything, with [`plot`] and [`draw`]. [`diagnosis`] and [`advice`] are about binary layers in training.

pub mod advice;
pub mod diagnosis;
pub mod draw;
pub mod events;
pub mod html;
pub mod jsonl;
pub mod log_reader;
pub mod plot;
#[cfg(not(target_family = "wasm"))]
pub mod progress;
pub mod series;
pub mod tensorboard;
pub mod text;
