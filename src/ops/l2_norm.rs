//! Normalisation of each pixel's channels to a learned length a channel (Liu et al. 2015).

use super::sum_rows::{blocks_of, sum_rows};
use super::{INDEX, check_planes, map_shape};
use crate::cpu::l2_norm::*;
use crate::plan::{Builder, Cost, Format, Groups, Io, Kernel, Op, Role, Saved, Shape, TensorId, flat_groups, round4};
use crate::{Error, Result, kernel};

/// Forward kernel.
pub static FORWARD: Kernel = kernel!(
    "l2_norm",
    [INDEX],
    L2NormDims,
    [read x: f32, read weight: f32, write norm: f32, write y: f32],
    [],
    l2_norm
);
/// Gradient of x.
pub static D_INPUT: Kernel = kernel!(
    "l2_norm_d_input",
    [INDEX],
    L2NormDims,
    [read x: f32, read weight: f32, read norm: f32, read d_y: f32, update d_x: f32],
    [],
    l2_norm_d_input
);
/// Gradient of the weight, block by block.
pub static D_WEIGHT: Kernel = kernel!(
    "l2_norm_d_weight",
    [INDEX],
    L2NormDims,
    [read x: f32, read norm: f32, read d_y: f32, write partials: f32],
    [],
    l2_norm_d_weight
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD, &D_INPUT, &D_WEIGHT];

/// y_c = weight_c x_c / (sqrt(sum_c x_c^2) + eps) at each pixel. Inputs: x, a map of C channels; weight, planes
/// (1, 1, 1, C). One output of x's shape. A pixel of zeros passes no gradient to x: its direction is not defined.
/// Kept for the backward pass: both inputs and the norms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct L2Norm {
    /// Added to the norm; more than 0.
    pub eps: f32,
}

impl Default for L2Norm {
    /// SSD's 1e-10.
    fn default() -> Self {
        L2Norm { eps: 1e-10 }
    }
}

impl L2Norm {
    fn dims(&self, shape: Shape, images: u32, first: u32) -> L2NormDims {
        let pixels = shape.h * shape.w;
        let (block, blocks) = blocks_of(pixels);
        let vectors = round4(shape.c) / 4;
        L2NormDims { images, first, pixels, vectors, block, blocks, eps: self.eps, accumulate: 0 }
    }
}

/// Eight lanes a pixel.
fn pixel_groups(dims: &L2NormDims) -> Groups {
    flat_groups(8 * dims.images as u64 * dims.pixels as u64, 64)
}

impl Op for L2Norm {
    fn name(&self) -> &'static str {
        "l2_norm"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let &[x, weight] = inputs else {
            return Err(Error::shape(label, "l2_norm: x and weight", format!("{} inputs", inputs.len())));
        };
        if self.eps <= 0.0 || self.eps.is_nan() {
            return Err(Error::shape(label, "l2_norm: eps above 0", self.eps.to_string()));
        }
        let shape = map_shape(b, label, "l2_norm", x)?;
        check_planes(b, label, "l2_norm: weight", weight, 1, shape.c)?;
        let norm = b.tensor(&format!("{label}.norm"), shape.with_c(1), Format::Flat, Role::Transient, true);
        let y = b.map(&format!("{label}.y"), shape);
        for (s, first, n) in b.slices() {
            let dims = self.dims(shape, n, first);
            let views = [b.at(x, s), b.at(weight, 0), b.at(norm, s), b.at(y, s)];
            b.dispatch(&FORWARD, label, &dims, &views, pixel_groups(&dims), Cost::default())?;
        }
        Ok((vec![y], vec![x, weight, norm]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        let Some(d_y) = b.d_output(io, 0) else { return Ok(()) };
        let (x, weight, norm) = (saved[0], saved[1], saved[2]);
        let shape = b.shape(x);
        if let Some(d_weight) = b.d_input(io, 1) {
            let all = self.dims(shape, shape.n, 0);
            let rows = Shape::new(all.images * all.blocks, 1, 1, shape.c);
            let partials = b.scratch(&format!("{}.d_partials", io.label), rows, Format::Map);
            for (s, first, n) in b.slices() {
                let views = [b.at(x, s), b.at(norm, s), b.at(d_y, s), b.at(partials, 0)];
                let groups = flat_groups((n * all.blocks) as u64 * all.vectors as u64, 64);
                b.dispatch(&D_WEIGHT, &io.label, &self.dims(shape, n, first), &views, groups, Cost::default())?;
            }
            sum_rows(b, &io.label, partials, Some(d_weight))?;
        }
        let Some(d_x) = b.d_input(io, 0) else { return Ok(()) };
        for (s, first, n) in b.slices() {
            let dims = L2NormDims { accumulate: d_x.flag(), ..self.dims(shape, n, first) };
            let views = [b.at(x, s), b.at(weight, 0), b.at(norm, s), b.at(d_y, s), b.at(d_x.tensor, s)];
            b.dispatch(&D_INPUT, &io.label, &dims, &views, pixel_groups(&dims), Cost::default())?;
        }
        Ok(())
    }
}
