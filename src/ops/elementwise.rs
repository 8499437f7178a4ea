//! Steps shared by the elementwise operations: one map in, one map of the same shape out, a vec4 an invocation.

use super::map_shape;
use crate::plan::{Builder, Cost, Dims, Format, Io, Kernel, TensorId, flat_groups};
use crate::{Error, Result};

/// The one input of an operation.
pub(super) fn one_input(label: &str, op: &str, inputs: &[TensorId]) -> Result<TensorId> {
    match inputs {
        &[x] => Ok(x),
        _ => Err(Error::shape(label, format!("{op}: one input"), format!("{}", inputs.len()))),
    }
}

/// `vec4<f32>` of `n` images of a map.
pub(super) fn vectors(b: &Builder, t: TensorId, n: u32) -> u32 {
    (Format::Map.elements(b.shape(t).with_n(n)) / 4) as u32
}

/// y = kernel(x); `dims` is given the number of `vec4<f32>`.
pub(super) fn forward<D: Dims>(
    b: &mut Builder,
    kernel: &'static Kernel,
    label: &str,
    x: TensorId,
    dims: impl Fn(u32) -> D,
) -> Result<TensorId> {
    let shape = map_shape(b, label, kernel.name, x)?;
    let y = b.map(&format!("{label}.y"), shape);
    for (s, _, n) in b.slices() {
        let vectors = vectors(b, x, n);
        let views = [b.at(x, s), b.at(y, s)];
        b.dispatch(kernel, label, &dims(vectors), &views, flat_groups(vectors as u64, 64), Cost::default())?;
    }
    Ok(y)
}

/// d_x (+)= kernel(kept, d_y); `dims` is given the number of `vec4<f32>` and the accumulate flag.
pub(super) fn backward<D: Dims>(
    b: &mut Builder,
    kernel: &'static Kernel,
    io: &Io,
    kept: TensorId,
    dims: impl Fn(u32, u32) -> D,
) -> Result<()> {
    let Some(d_y) = b.d_output(io, 0) else { return Ok(()) };
    let Some(d_x) = b.d_input(io, 0) else { return Ok(()) };
    for (s, _, n) in b.slices() {
        let vectors = vectors(b, kept, n);
        let views = [b.at(kept, s), b.at(d_y, s), b.at(d_x.tensor, s)];
        let dims = dims(vectors, d_x.flag());
        b.dispatch(kernel, &io.label, &dims, &views, flat_groups(vectors as u64, 64), Cost::default())?;
    }
    Ok(())
}
