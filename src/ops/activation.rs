//! Activations without parameters: [`LeakyRelu`], [`Sigmoid`], [`Tanh`], [`Hardtanh`]. ([`super::relu`] and
//! [`super::prelu`] are files of their own.)

use super::elementwise::{self, one_input};
use super::{INDEX, LANES};
use crate::cpu::activation::*;
use crate::plan::{Builder, Io, Kernel, Op, Saved, Shape, TensorId, round4};
use crate::{Error, Result, kernel};

/// Leaky rectifier, forward.
pub static LEAKY_RELU: Kernel =
    kernel!("leaky_relu", [INDEX], ActivationDims, [read x: f32, write y: f32], [], leaky_relu);
/// Leaky rectifier, backward.
pub static LEAKY_RELU_D_INPUT: Kernel = kernel!(
    "leaky_relu_d_input",
    [INDEX],
    ActivationDims,
    [read x: f32, read d_y: f32, update d_x: f32],
    [],
    leaky_relu_d_input
);
/// Logistic function, forward.
pub static SIGMOID: Kernel =
    kernel!("sigmoid", [INDEX, LANES], ActivationDims, [read x: f32, write y: f32], [], sigmoid);
/// Logistic function, backward.
pub static SIGMOID_D_INPUT: Kernel = kernel!(
    "sigmoid_d_input",
    [INDEX],
    ActivationDims,
    [read y: f32, read d_y: f32, update d_x: f32],
    [],
    sigmoid_d_input
);
/// Hyperbolic tangent, forward.
pub static TANH: Kernel = kernel!("tanh", [INDEX], ActivationDims, [read x: f32, write y: f32], [], tanh);
/// Hyperbolic tangent, backward.
pub static TANH_D_INPUT: Kernel = kernel!(
    "tanh_d_input",
    [INDEX],
    ActivationDims,
    [read y: f32, read d_y: f32, update d_x: f32],
    [],
    tanh_d_input
);
/// Clipping, forward.
pub static HARDTANH: Kernel =
    kernel!("hardtanh", [INDEX, LANES], ActivationDims, [read x: f32, write y: f32], [], hardtanh);
/// Clipping, backward.
pub static HARDTANH_D_INPUT: Kernel = kernel!(
    "hardtanh_d_input",
    [INDEX],
    ActivationDims,
    [read x: f32, read d_y: f32, update d_x: f32],
    [],
    hardtanh_d_input
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] =
    &[&LEAKY_RELU, &LEAKY_RELU_D_INPUT, &SIGMOID, &SIGMOID_D_INPUT, &TANH, &TANH_D_INPUT, &HARDTANH, &HARDTANH_D_INPUT];

fn dims(shape: Shape, vectors: u32, accumulate: u32, a: f32, b: f32) -> ActivationDims {
    ActivationDims { vectors, accumulate, pixel_vectors: round4(shape.c) / 4, channels: shape.c, a, b }
}

/// Whether the backward pass keeps x or y.
#[derive(Clone, Copy, PartialEq)]
enum Keeps {
    X,
    Y,
}

fn forward(
    b: &mut Builder,
    kernel: &'static Kernel,
    label: &str,
    inputs: &[TensorId],
    (low, high): (f32, f32),
    keeps: Keeps,
) -> Result<(Vec<TensorId>, Saved)> {
    let x = one_input(label, kernel.name, inputs)?;
    let shape = b.shape(x);
    let y = elementwise::forward(b, kernel, label, x, |v| dims(shape, v, 0, low, high))?;
    Ok((vec![y], vec![if keeps == Keeps::X { x } else { y }]))
}

fn backward(b: &mut Builder, kernel: &'static Kernel, io: &Io, saved: &Saved, (low, high): (f32, f32)) -> Result<()> {
    let shape = b.shape(saved[0]);
    elementwise::backward(b, kernel, io, saved[0], |v, accumulate| dims(shape, v, accumulate, low, high))
}

/// y = x where x > 0, else slope x. One map in, one map of the same shape out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeakyRelu {
    /// The slope below 0.
    pub slope: f32,
}

impl Op for LeakyRelu {
    fn name(&self) -> &'static str {
        "leaky_relu"
    }
    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        forward(b, &LEAKY_RELU, label, inputs, (self.slope, 0.0), Keeps::X)
    }
    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        backward(b, &LEAKY_RELU_D_INPUT, io, saved, (self.slope, 0.0))
    }
}

/// y = 1 / (1 + exp(-x)). One map in, one map of the same shape out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sigmoid;

impl Op for Sigmoid {
    fn name(&self) -> &'static str {
        "sigmoid"
    }
    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        forward(b, &SIGMOID, label, inputs, (0.0, 0.0), Keeps::Y)
    }
    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        backward(b, &SIGMOID_D_INPUT, io, saved, (0.0, 0.0))
    }
}

/// y = tanh x. One map in, one map of the same shape out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tanh;

impl Op for Tanh {
    fn name(&self) -> &'static str {
        "tanh"
    }
    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        forward(b, &TANH, label, inputs, (0.0, 0.0), Keeps::Y)
    }
    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        backward(b, &TANH_D_INPUT, io, saved, (0.0, 0.0))
    }
}

/// y = min(max(x, min), max). One map in, one map of the same shape out. The gradient passes strictly between the bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hardtanh {
    /// The lower bound.
    pub min: f32,
    /// The upper bound, not below the lower.
    pub max: f32,
}

impl Default for Hardtanh {
    /// -1 to 1.
    fn default() -> Self {
        Hardtanh { min: -1.0, max: 1.0 }
    }
}

impl Op for Hardtanh {
    fn name(&self) -> &'static str {
        "hardtanh"
    }
    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        if self.min > self.max || self.min.is_nan() || self.max.is_nan() {
            let got = format!("{} and {}", self.min, self.max);
            return Err(Error::shape(label, "hardtanh: a lower bound not above the upper one", got));
        }
        forward(b, &HARDTANH, label, inputs, (self.min, self.max), Keeps::X)
    }
    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        backward(b, &HARDTANH_D_INPUT, io, saved, (self.min, self.max))
    }
}
