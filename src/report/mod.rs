//! Progress, plots, drawings, HTML and TensorBoard; all listen to training events.
