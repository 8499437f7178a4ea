//! Head maps to one row a prior.

use super::INDEX;
use crate::cpu::gather_heads::{GatherHeadsDims, gather_heads, gather_heads_d_input};
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Role, Saved, Shape, TensorId, flat_groups, round4};
use crate::{Error, Result, kernel};

/// Forward kernel.
pub static FORWARD: Kernel =
    kernel!("gather_heads", [INDEX], GatherHeadsDims, [read x: f32, write y: f32], [], gather_heads);
/// Backward kernel.
pub static D_INPUT: Kernel = kernel!(
    "gather_heads_d_input",
    [INDEX],
    GatherHeadsDims,
    [read d_y: f32, update d_x: f32],
    [],
    gather_heads_d_input
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD, &D_INPUT];

/// Joins the outputs of the heads. Inputs: maps (N, H, W, boxes * values) in head order; boxes may differ from map to
/// map. Output: [`Format::Flat`] (N, 1, P, values), P = sum of H * W * boxes, in the order map, row, column, box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatherHeads {
    /// Values a box: 4 or 8 for locations, the number of classes for confidences.
    pub values: u32,
}

impl GatherHeads {
    fn dims(&self, b: &Builder, inputs: &[TensorId], n: u32, row: u32) -> Vec<GatherHeadsDims> {
        let mut first = 0;
        let each = inputs.iter().map(|t| {
            let s = b.shape(*t);
            let pixels = s.h * s.w;
            let start = first;
            first += pixels * s.c;
            let vectors = n * pixels * round4(s.c) / 4;
            GatherHeadsDims { vectors, pixels, channels: s.c, first: start, row, accumulate: 0 }
        });
        each.collect()
    }
}

impl Op for GatherHeads {
    fn name(&self) -> &'static str {
        "gather_heads"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        if inputs.is_empty() || self.values == 0 {
            return Err(Error::shape(label, "at least one head map and one value a box", "none"));
        }
        let mut priors = 0;
        for (k, t) in inputs.iter().enumerate() {
            let (s, format) = (b.shape(*t), b.info(*t).format);
            if format != Format::Map || s.n != b.batch() || s.is_empty() || s.c % self.values != 0 {
                return Err(Error::shape(
                    format!("{label}, head {k}"),
                    format!("a map of {} images with boxes * {} channels", b.batch(), self.values),
                    format!("{s} {format:?}"),
                ));
            }
            priors += s.h * s.w * (s.c / self.values);
        }
        let shape = Shape::new(b.batch(), 1, priors, self.values);
        let y = b.tensor(&format!("{label}.y"), shape, Format::Flat, Role::Transient, true);
        for (s, _, n) in b.slices() {
            for (t, d) in inputs.iter().zip(self.dims(b, inputs, n, priors * self.values)) {
                let views = [b.at(*t, s), b.at(y, s)];
                b.dispatch(&FORWARD, label, &d, &views, flat_groups(d.vectors as u64, 64), Cost::default())?;
            }
        }
        Ok((vec![y], Vec::new()))
    }

    fn backward(&self, b: &mut Builder, io: &Io, _saved: &Saved) -> Result<()> {
        let Some(d_y) = b.d_output(io, 0) else { return Ok(()) };
        let row = b.shape(io.outputs[0]).w * self.values;
        for i in 0..io.inputs.len() {
            let Some(d_x) = b.d_input(io, i) else { continue };
            for (s, _, n) in b.slices() {
                let d = GatherHeadsDims { accumulate: d_x.flag(), ..self.dims(b, &io.inputs, n, row)[i] };
                let views = [b.at(d_y, s), b.at(d_x.tensor, s)];
                b.dispatch(&D_INPUT, &io.label, &d, &views, flat_groups(d.vectors as u64, 64), Cost::default())?;
            }
        }
        Ok(())
    }
}
