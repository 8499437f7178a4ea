//! Rectifier with a learned slope a channel (He et al. 2015).

use super::elementwise::vectors;
use super::sum_rows::{blocks_of, sum_rows};
use super::{INDEX, check_planes, map_shape};
use crate::cpu::prelu::*;
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Saved, Shape, TensorId, flat_groups, round4};
use crate::{Error, Result, kernel};

/// Forward kernel.
pub static FORWARD: Kernel =
    kernel!("prelu", [INDEX], PreluDims, [read x: f32, read slope: f32, write y: f32], [], prelu);
/// Gradient of x.
pub static D_INPUT: Kernel = kernel!(
    "prelu_d_input",
    [INDEX],
    PreluDims,
    [read x: f32, read slope: f32, read d_y: f32, update d_x: f32],
    [],
    prelu_d_input
);
/// Gradient of the slope, block by block.
pub static D_SLOPE: Kernel = kernel!(
    "prelu_d_slope",
    [INDEX],
    PreluDims,
    [read x: f32, read d_y: f32, write partials: f32],
    [],
    prelu_d_slope
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD, &D_INPUT, &D_SLOPE];

/// y = x where x > 0, else slope x. Inputs: x, a map of C channels; slope, planes (1, 1, 1, C). One output of x's shape.
/// Kept for the backward pass: both inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prelu;

fn dims(shape: Shape, images: u32, first: u32) -> PreluDims {
    let pixels = shape.h * shape.w;
    let (block, blocks) = blocks_of(pixels);
    PreluDims { images, first, pixels, vectors: round4(shape.c) / 4, block, blocks, accumulate: 0 }
}

impl Op for Prelu {
    fn name(&self) -> &'static str {
        "prelu"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let &[x, slope] = inputs else {
            return Err(Error::shape(label, "prelu: x and slope", format!("{} inputs", inputs.len())));
        };
        let shape = map_shape(b, label, "prelu", x)?;
        check_planes(b, label, "prelu: slope", slope, 1, shape.c)?;
        let y = b.map(&format!("{label}.y"), shape);
        for (s, first, n) in b.slices() {
            let views = [b.at(x, s), b.at(slope, 0), b.at(y, s)];
            let groups = flat_groups(vectors(b, x, n) as u64, 64);
            b.dispatch(&FORWARD, label, &dims(shape, n, first), &views, groups, Cost::default())?;
        }
        Ok((vec![y], vec![x, slope]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        let Some(d_y) = b.d_output(io, 0) else { return Ok(()) };
        let (x, slope) = (saved[0], saved[1]);
        let shape = b.shape(x);
        if let Some(d_slope) = b.d_input(io, 1) {
            let all = dims(shape, shape.n, 0);
            let rows = Shape::new(all.images * all.blocks, 1, 1, shape.c);
            let partials = b.scratch(&format!("{}.d_partials", io.label), rows, Format::Map);
            for (s, first, n) in b.slices() {
                let views = [b.at(x, s), b.at(d_y, s), b.at(partials, 0)];
                let groups = flat_groups((n * all.blocks) as u64 * all.vectors as u64, 64);
                b.dispatch(&D_SLOPE, &io.label, &dims(shape, n, first), &views, groups, Cost::default())?;
            }
            sum_rows(b, &io.label, partials, Some(d_slope))?;
        }
        let Some(d_x) = b.d_input(io, 0) else { return Ok(()) };
        for (s, first, n) in b.slices() {
            let dims = PreluDims { accumulate: d_x.flag(), ..dims(shape, n, first) };
            let views = [b.at(x, s), b.at(slope, 0), b.at(d_y, s), b.at(d_x.tensor, s)];
            let groups = flat_groups(vectors(b, x, n) as u64, 64);
            b.dispatch(&D_INPUT, &io.label, &dims, &views, groups, Cost::default())?;
        }
        Ok(())
    }
}
