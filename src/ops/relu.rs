//! Rectifier: y = max(x, 0).

use super::INDEX;
use crate::cpu::relu::{ReluDims, relu, relu_d_input};
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Saved, TensorId, flat_groups};
use crate::{Error, Result, kernel};

/// Forward kernel.
pub static FORWARD: Kernel = kernel!("relu", [INDEX], ReluDims, [read x: f32, write y: f32], [], relu);
/// Backward kernel.
pub static D_INPUT: Kernel =
    kernel!("relu_d_input", [INDEX], ReluDims, [read x: f32, read d_y: f32, update d_x: f32], [], relu_d_input);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD, &D_INPUT];

/// y = max(x, 0). One input, a map of any shape; one output of the same shape. Kept for the backward pass: the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relu;

impl Op for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let &[x] = inputs else { return Err(Error::shape(label, "relu: one input", inputs.len().to_string())) };
        let shape = b.shape(x);
        let y = b.map(&format!("{label}.y"), shape);
        for (s, _, n) in b.slices() {
            let vectors = (Format::Map.elements(shape.with_n(n)) / 4) as u32;
            let dims = ReluDims { vectors, accumulate: 0 };
            let views = [b.at(x, s), b.at(y, s)];
            b.dispatch(&FORWARD, label, &dims, &views, flat_groups(vectors as u64, 64), Cost::default())?;
        }
        Ok((vec![y], vec![x]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        let Some(d_y) = b.d_output(io, 0) else { return Ok(()) };
        let Some(d_x) = b.d_input(io, 0) else { return Ok(()) };
        for (s, _, n) in b.slices() {
            let vectors = (Format::Map.elements(b.shape(saved[0]).with_n(n)) / 4) as u32;
            let dims = ReluDims { vectors, accumulate: d_x.flag() };
            let views = [b.at(saved[0], s), b.at(d_y, s), b.at(d_x.tensor, s)];
            b.dispatch(&D_INPUT, &io.label, &dims, &views, flat_groups(vectors as u64, 64), Cost::default())?;
        }
        Ok(())
    }
}
