//! Softmax and its logarithm over channels.

use super::INDEX;
use super::elementwise::one_input;
use crate::cpu::softmax::*;
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Role, Saved, TensorId, flat_groups, round4};
use crate::{Error, Result, kernel};

/// Softmax, forward.
pub static SOFTMAX: Kernel = kernel!("softmax", [INDEX], SoftmaxDims, [read x: f32, write y: f32], [], softmax);
/// Softmax, backward.
pub static SOFTMAX_D_INPUT: Kernel = kernel!(
    "softmax_d_input",
    [INDEX],
    SoftmaxDims,
    [read y: f32, read d_y: f32, update d_x: f32],
    [],
    softmax_d_input
);
/// Logarithm of the softmax, forward.
pub static LOG_SOFTMAX: Kernel =
    kernel!("log_softmax", [INDEX], SoftmaxDims, [read x: f32, write y: f32], [], log_softmax);
/// Logarithm of the softmax, backward.
pub static LOG_SOFTMAX_D_INPUT: Kernel = kernel!(
    "log_softmax_d_input",
    [INDEX],
    SoftmaxDims,
    [read y: f32, read d_y: f32, update d_x: f32],
    [],
    log_softmax_d_input
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&SOFTMAX, &SOFTMAX_D_INPUT, &LOG_SOFTMAX, &LOG_SOFTMAX_D_INPUT];

/// y = exp(x) / sum exp(x) over the channels of a map or the last extent of a dense tensor (its rows being all that comes
/// before). One input, sliced or not; one output of the same shape, format and slices. Kept for the backward pass: y.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Softmax;

/// y = x - log sum exp(x) over the channels of a map or the last extent of a dense tensor, as [`Softmax`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSoftmax;

/// Slices of `t` as (slice, kernel sizes).
fn slices(b: &Builder, label: &str, op: &str, t: TensorId) -> Result<Vec<(u32, SoftmaxDims)>> {
    let info = b.info(t);
    let c = info.shape.c;
    let pitch = match info.format {
        Format::Map => round4(c),
        Format::Flat => c,
        _ => {
            let got = format!("{} as {:?}", info.name, info.format);
            return Err(Error::shape(label, format!("{op}: a map or a dense float tensor"), got));
        }
    };
    if info.shape.is_empty() {
        return Err(Error::shape(label, format!("{op}: at least one value"), info.shape.to_string()));
    }
    let slices = if info.sliced { b.slices() } else { vec![(0, 0, info.shape.n)] };
    let rows = |n: u32| info.shape.with_n(n).pixels() as u32;
    Ok(slices
        .into_iter()
        .map(|(s, _, n)| (s, SoftmaxDims { rows: rows(n), channels: c, pitch, accumulate: 0 }))
        .collect())
}

fn forward(
    b: &mut Builder,
    kernel: &'static Kernel,
    label: &str,
    inputs: &[TensorId],
) -> Result<(Vec<TensorId>, Saved)> {
    let x = one_input(label, kernel.name, inputs)?;
    let slices = slices(b, label, kernel.name, x)?;
    let info = b.info(x).clone();
    let y = b.tensor(&format!("{label}.y"), info.shape, info.format, Role::Transient, info.sliced);
    for (s, dims) in slices {
        let views = [b.at(x, s), b.at(y, s)];
        b.dispatch(kernel, label, &dims, &views, flat_groups(dims.rows as u64, 64), Cost::default())?;
    }
    Ok((vec![y], vec![y]))
}

fn backward(b: &mut Builder, kernel: &'static Kernel, io: &Io, saved: &Saved) -> Result<()> {
    let Some(d_y) = b.d_output(io, 0) else { return Ok(()) };
    let Some(d_x) = b.d_input(io, 0) else { return Ok(()) };
    for (s, dims) in slices(b, &io.label, kernel.name, saved[0])? {
        let dims = SoftmaxDims { accumulate: d_x.flag(), ..dims };
        let views = [b.at(saved[0], s), b.at(d_y, s), b.at(d_x.tensor, s)];
        b.dispatch(kernel, &io.label, &dims, &views, flat_groups(dims.rows as u64, 64), Cost::default())?;
    }
    Ok(())
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }
    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        forward(b, &SOFTMAX, label, inputs)
    }
    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        backward(b, &SOFTMAX_D_INPUT, io, saved)
    }
}

impl Op for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }
    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        forward(b, &LOG_SOFTMAX, label, inputs)
    }
    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        backward(b, &LOG_SOFTMAX_D_INPUT, io, saved)
    }
}
