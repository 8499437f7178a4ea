//! Progress, plots, drawings, HTML and TensorBoard; all listen to training events.

pub mod draw;
// pub mod events;
// pub mod html;
// pub mod plot;
pub mod text;
