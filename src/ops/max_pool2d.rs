//! Maximum pooling.

use super::INDEX;
use super::elementwise::{one_input, vectors};
use super::pool::PoolWindow;
use crate::cpu::pool::{PoolDims, max_pool2d, max_pool2d_d_input};
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Role, Saved, Shape, TensorId, flat_groups, round4};
use crate::{Result, kernel};

/// Forward kernel.
pub static FORWARD: Kernel =
    kernel!("max_pool2d", [INDEX], PoolDims, [read x: f32, write y: f32, write index: u32], [], max_pool2d);
/// Backward kernel.
pub static D_INPUT: Kernel = kernel!(
    "max_pool2d_d_input",
    [INDEX],
    PoolDims,
    [read d_y: f32, read index: u32, update d_x: f32],
    [],
    max_pool2d_d_input
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD, &D_INPUT];

/// y = maximum of x over each window; padding never wins, and among equals the first in row-major order takes the
/// gradient. One map in, one map out. Kept for the backward pass: where the maxima are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool2d(pub PoolWindow);

impl Op for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let x = one_input(label, "max_pool2d", inputs)?;
        let (shape, dims) = self.0.plan(b, label, "max_pool2d", x)?;
        let y = b.map(&format!("{label}.y"), shape);
        let keep = b.wants_gradient(x);
        let name = format!("{label}.index");
        let index = if keep {
            b.tensor(&name, shape.with_c(round4(shape.c)), Format::FlatU32, Role::Transient, true)
        } else {
            b.scratch(&name, Shape::vector(4), Format::FlatU32) // Bound, not written.
        };
        for (s, _, images) in b.slices() {
            let dims = PoolDims { images, keep: keep as u32, ..dims };
            let views = [b.at(x, s), b.at(y, s), b.at(index, s)];
            let groups = flat_groups(vectors(b, y, images) as u64, 64);
            b.dispatch(&FORWARD, label, &dims, &views, groups, Cost::default())?;
        }
        Ok((vec![y], vec![index]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        let Some(d_y) = b.d_output(io, 0) else { return Ok(()) };
        let (_, dims) = self.0.plan(b, &io.label, "max_pool2d", io.inputs[0])?;
        let Some(d_x) = b.d_input(io, 0) else { return Ok(()) };
        for (s, _, images) in b.slices() {
            let dims = PoolDims { images, accumulate: d_x.flag(), ..dims };
            let views = [b.at(d_y, s), b.at(saved[0], s), b.at(d_x.tensor, s)];
            let groups = flat_groups(vectors(b, io.inputs[0], images) as u64, 64);
            b.dispatch(&D_INPUT, &io.label, &dims, &views, groups, Cost::default())?;
        }
        Ok(())
    }
}
