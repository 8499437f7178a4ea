//! Sum of two maps, and gradients that pass unchanged.

use super::INDEX;
use crate::cpu::add::{AddDims, add, add_d_input};
use crate::plan::{Builder, Cost, Format, Grad, Io, Kernel, Op, Role, Saved, TensorId, flat_groups};
use crate::{Error, Result, kernel};

/// Forward kernel.
pub static FORWARD: Kernel = kernel!("add", [INDEX], AddDims, [read a: f32, read b: f32, write y: f32], [], add);
/// Backward kernel.
pub static D_INPUT: Kernel =
    kernel!("add_d_input", [INDEX], AddDims, [read d_y: f32, update d_x: f32], [], add_d_input);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD, &D_INPUT];

/// y = a + b. Two inputs, maps of one shape; one output of the same shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Add;

impl Op for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let &[left, right] = inputs else {
            return Err(Error::shape(label, "add: two inputs", inputs.len().to_string()));
        };
        let shape = super::map_shape(b, label, "add", left)?;
        super::same_map(b, label, "add", left, right)?;
        let y = b.map(&format!("{label}.y"), shape);
        for (s, _, n) in b.slices() {
            let vectors = (Format::Map.elements(shape.with_n(n)) / 4) as u32;
            let dims = AddDims { vectors, accumulate: 0 };
            let views = [b.at(left, s), b.at(right, s), b.at(y, s)];
            b.dispatch(&FORWARD, label, &dims, &views, flat_groups(vectors as u64, 64), Cost::default())?;
        }
        Ok((vec![y], vec![]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, _saved: &Saved) -> Result<()> {
        let Some(d_y) = b.d_output(io, 0) else { return Ok(()) };
        // Only the last of the two may take d_y itself, and it should be one that has no gradient yet.
        let taken = b.gradient(io.inputs[0]).is_some() || !b.wants_gradient(io.inputs[0]);
        let (first, last) = if taken { (0, 1) } else { (1, 0) };
        if let Some(grad) = b.d_input(io, first) {
            add_gradient(b, &io.label, d_y, grad)?;
        }
        pass_gradient(b, io, last, d_y)
    }
}

/// Passes `d_y` on as the gradient of input `i`: without a copy where that input has no gradient yet, else added to it.
/// `d_y` must not be read by steps that are added later, since others may then add to it; so pass it on to one input
/// only, after everything else.
///
/// # Errors
/// [`Error::Shape`] when `d_y` is not of the input's shape and format.
pub fn pass_gradient(b: &mut Builder, io: &Io, i: usize, d_y: TensorId) -> Result<()> {
    let (input, given) = (b.info(io.inputs[i]).clone(), b.info(d_y).clone());
    if !b.wants_gradient(io.inputs[i]) {
        return Ok(());
    }
    if (input.shape, input.format, input.sliced) != (given.shape, given.format, given.sliced) {
        return Err(Error::shape(
            format!("{}: gradient of input {i}", io.label),
            format!("{} {:?}", input.shape, input.format),
            format!("{} {:?}", given.shape, given.format),
        ));
    }
    // What the host wrote, or will read, must stay as it is.
    let grad = if given.role == Role::Transient { b.give_gradient(io, i, d_y) } else { b.d_input(io, i) };
    match grad {
        Some(grad) => add_gradient(b, &io.label, d_y, grad),
        None => Ok(()),
    }
}

/// Adds (or copies, as `grad` says) the gradient `d_y` to a gradient of the same shape and format.
///
/// # Errors
/// [`Error::Shape`] when the number of values is not a multiple of 4, which only dense tensors can have.
pub fn add_gradient(b: &mut Builder, label: &str, d_y: TensorId, grad: Grad) -> Result<()> {
    let info = b.info(d_y).clone();
    let slices = if info.sliced { b.slices() } else { vec![(0, 0, info.shape.n)] };
    for (s, _, n) in slices {
        let elements = info.bytes_of(n) / 4;
        if !elements.is_multiple_of(4) {
            return Err(Error::shape(
                format!("{label}: gradient {}", info.name),
                "a multiple of 4 values",
                elements.to_string(),
            ));
        }
        let dims = AddDims { vectors: (elements / 4) as u32, accumulate: grad.flag() };
        let views = [b.at(d_y, s), b.at(grad.tensor, s)];
        b.dispatch(&D_INPUT, label, &dims, &views, flat_groups(elements / 4, 64), Cost::default())?;
    }
    Ok(())
}
