//! Fully connected layer: a 1x1 convolution of one pixel. It has no kernels of its own.

use super::conv2d::Conv2d;
use crate::plan::{Builder, Cost, Io, Op, Saved, TensorId};
use crate::{Error, Result};

/// `y[n][o] = bias[o] + sum over c of x[n][c] * w[c][o]`.
///
/// Inputs: x, a map of shape (N,1,1,C); the weights (`Format::Weight`, shape (1,1,C,O)); optionally the bias (1,1,1,O).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear;

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        if let Some(x) = inputs.first()
            && (b.shape(*x).h, b.shape(*x).w) != (1, 1)
        {
            return Err(Error::shape(label, "linear: one pixel an image", b.shape(*x).to_string()));
        }
        Conv2d::default().forward(b, label, inputs)
    }

    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        Conv2d::default().backward(b, io, saved)
    }

    fn cost(&self, b: &Builder, io: &Io) -> Cost {
        Conv2d::default().cost(b, io)
    }
}
