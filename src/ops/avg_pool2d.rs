//! Average pooling.

use super::INDEX;
use super::elementwise::{one_input, vectors};
use super::pool::PoolWindow;
use crate::cpu::pool::{PoolDims, avg_pool2d, avg_pool2d_d_input};
use crate::plan::{Builder, Cost, Io, Kernel, Op, Saved, TensorId, flat_groups};
use crate::{Result, kernel};

/// Forward kernel.
pub static FORWARD: Kernel = kernel!("avg_pool2d", [INDEX], PoolDims, [read x: f32, write y: f32], [], avg_pool2d);
/// Backward kernel.
pub static D_INPUT: Kernel =
    kernel!("avg_pool2d_d_input", [INDEX], PoolDims, [read d_y: f32, update d_x: f32], [], avg_pool2d_d_input);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD, &D_INPUT];

/// y = sum of x over each window / number of its pixels. One map in, one map out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvgPool2d {
    /// The window.
    pub window: PoolWindow,
    /// Whether pixels of the padding count; what a window of `ceil_mode` reaches beyond it never does.
    pub count_include_pad: bool,
}

impl Op for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let x = one_input(label, "avg_pool2d", inputs)?;
        let (shape, dims) = self.window.plan(b, label, "avg_pool2d", x)?;
        let y = b.map(&format!("{label}.y"), shape);
        for (s, _, images) in b.slices() {
            let dims = PoolDims { images, include_pad: self.count_include_pad as u32, ..dims };
            let views = [b.at(x, s), b.at(y, s)];
            let groups = flat_groups(vectors(b, y, images) as u64, 64);
            b.dispatch(&FORWARD, label, &dims, &views, groups, Cost::default())?;
        }
        Ok((vec![y], vec![]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, _saved: &Saved) -> Result<()> {
        let Some(d_y) = b.d_output(io, 0) else { return Ok(()) };
        let (_, dims) = self.window.plan(b, &io.label, "avg_pool2d", io.inputs[0])?;
        let Some(d_x) = b.d_input(io, 0) else { return Ok(()) };
        for (s, _, images) in b.slices() {
            let include_pad = self.count_include_pad as u32;
            let dims = PoolDims { images, include_pad, accumulate: d_x.flag(), ..dims };
            let views = [b.at(d_y, s), b.at(d_x.tensor, s)];
            let groups = flat_groups(vectors(b, io.inputs[0], images) as u64, 64);
            b.dispatch(&D_INPUT, &io.label, &dims, &views, groups, Cost::default())?;
        }
        Ok(())
    }
}
