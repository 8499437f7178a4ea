//! Nearest-neighbour enlargement by a whole factor.

use super::elementwise::{one_input, vectors};
use super::{INDEX, map_shape};
use crate::cpu::upsample_nearest::*;
use crate::plan::{Builder, Cost, Io, Kernel, Op, Saved, Shape, TensorId, flat_groups, round4};
use crate::{Error, Result, kernel};

/// Forward kernel.
pub static FORWARD: Kernel =
    kernel!("upsample_nearest", [INDEX], UpsampleNearestDims, [read x: f32, write y: f32], [], upsample_nearest);
/// Backward kernel.
pub static D_INPUT: Kernel = kernel!(
    "upsample_nearest_d_input",
    [INDEX],
    UpsampleNearestDims,
    [read d_y: f32, update d_x: f32],
    [],
    upsample_nearest_d_input
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD, &D_INPUT];

/// y(row, column) = x(row / scale, column / scale). One map in; one map out, `scale` times as high and wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpsampleNearest {
    /// The factor, 1 or more.
    pub scale: u32,
}

impl UpsampleNearest {
    fn dims(&self, x: Shape, images: u32) -> UpsampleNearestDims {
        let vectors = round4(x.c) / 4;
        UpsampleNearestDims { images, h: x.h, w: x.w, vectors, scale: self.scale, accumulate: 0 }
    }
}

impl Op for UpsampleNearest {
    fn name(&self) -> &'static str {
        "upsample_nearest"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let x = one_input(label, "upsample_nearest", inputs)?;
        let shape = map_shape(b, label, "upsample_nearest", x)?;
        if self.scale == 0 {
            return Err(Error::shape(label, "upsample_nearest: a factor of 1 or more", "0"));
        }
        let y = b.map(&format!("{label}.y"), Shape { h: shape.h * self.scale, w: shape.w * self.scale, ..shape });
        for (s, _, n) in b.slices() {
            let views = [b.at(x, s), b.at(y, s)];
            let groups = flat_groups(vectors(b, y, n) as u64, 64);
            b.dispatch(&FORWARD, label, &self.dims(shape, n), &views, groups, Cost::default())?;
        }
        Ok((vec![y], vec![]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, _saved: &Saved) -> Result<()> {
        let Some(d_y) = b.d_output(io, 0) else { return Ok(()) };
        let Some(d_x) = b.d_input(io, 0) else { return Ok(()) };
        for (s, _, n) in b.slices() {
            let dims = UpsampleNearestDims { accumulate: d_x.flag(), ..self.dims(b.shape(io.inputs[0]), n) };
            let views = [b.at(d_y, s), b.at(d_x.tensor, s)];
            let groups = flat_groups(vectors(b, io.inputs[0], n) as u64, 64);
            b.dispatch(&D_INPUT, &io.label, &dims, &views, groups, Cost::default())?;
        }
        Ok(())
    }
}
