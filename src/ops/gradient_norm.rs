//! The norm of a group's gradient, its clipping, and the gate that closes when something is not finite.

use super::INDEX;
use super::hyper;
use crate::cpu::gradient_norm::{
    FiniteFlagDims, GradientGateDims, GradientSquaresDims, GradientSumsDims, finite_flag, gradient_gate,
    gradient_squares, gradient_sums,
};
use crate::plan::{Builder, Cost, Format, Kernel, Shape, TensorId, flat_groups};
use crate::{Error, Result, kernel};

/// Sums of squares of blocks.
pub static SQUARES: Kernel = kernel!(
    "gradient_squares",
    [INDEX],
    GradientSquaresDims,
    [read grads: u32, read blocks: u32, update sums: f32, update bad: u32],
    [],
    gradient_squares
);
/// Sums of parameters.
pub static SUMS: Kernel = kernel!(
    "gradient_sums",
    [INDEX],
    GradientSumsDims,
    [read ranges: u32, read sums: f32, read bad: u32, write squares: u32],
    [],
    gradient_sums
);
/// Whether a tensor is finite.
pub static FLAG: Kernel = kernel!("finite_flag", [], FiniteFlagDims, [read x: u32, update flags: u32], [], finite_flag);
/// Norm, clip scale and gate.
pub static GATE: Kernel = kernel!(
    "gradient_gate",
    [],
    GradientGateDims,
    [read squares: u32, read flags: u32, read hyper: f32, write norm: u32, write gate: u32],
    [],
    gradient_gate
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&SQUARES, &SUMS, &FLAG, &GATE];

/// Elements of a block: one workgroup's share.
const BLOCK: u32 = 8192;

/// What [`add_gradient_norm`] made. The host may read all of it after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GradientNorm {
    /// `gradient_squares.<group>`, [`Format::Flat`] (1, 1, 1, parameters): the sum of squares of each parameter of the
    /// group in plan order; infinite where an element was not finite or the sum overflowed.
    pub squares: TensorId,
    /// `gradient_norm.<group>`, [`Format::Flat`] of 2 values: the norm over the group before clipping (infinite where
    /// it is not finite), and the scale factor * min(1, clip / (norm + 1e-6)), as PyTorch's `clip_grad_norm_`. The factor
    /// is `hyper[GRADIENT_SCALE]` (0 counts as 1) and is in the norm, too.
    pub norm: TensorId,
    /// `gate.<group>`, [`Format::FlatU32`] of 1 value: 1 where the gradients and the checked scalars are finite.
    pub gate: TensorId,
}

/// Adds the steps that measure the gradient of `group`, to stand between the backward pass and the optimizer. The
/// largest norm is `hyper[CLIP_NORM]`, 0 for no limit. `scalars` are small tensors (losses) that must be finite, too.
/// The gate becomes the builder's ([`Builder::set_gate`]).
///
/// # Errors
/// [`Error::Shape`] when the plan has no gradients of that group.
pub fn add_gradient_norm(b: &mut Builder, group: &str, hyper: TensorId, scalars: &[TensorId]) -> Result<GradientNorm> {
    let label = format!("gradient_norm.{group}");
    hyper::expect_hyper(b, &label, hyper)?;
    let slabs = b.close_group(group);
    // (first element, elements) of the blocks of each slab; (first block, blocks) of each parameter.
    let (mut blocks, mut ranges, mut slices) = (Vec::new(), Vec::new(), Vec::new());
    for slab in &slabs {
        let Some(grads) = slab.grads else { break };
        let first = blocks.len() as u32 / 2;
        for (_, start, elements) in &slab.entries {
            ranges.extend([blocks.len() as u32 / 2, elements.div_ceil(BLOCK)]);
            for at in (0..*elements).step_by(BLOCK as usize) {
                blocks.extend([start + at, (elements - at).min(BLOCK)]);
            }
        }
        slices.push((grads, first, blocks.len() as u32 / 2 - first));
    }
    let (params, count) = (ranges.len() as u32 / 2, blocks.len() as u32 / 2);
    if params == 0 {
        return Err(Error::shape(label, "a training plan with parameters in this group", "none"));
    }
    let blocks = b.constant(&format!("{label}.blocks"), Shape::new(1, 1, count, 2), Format::FlatU32, blocks);
    let ranges = b.constant(&format!("{label}.ranges"), Shape::new(1, 1, params, 2), Format::FlatU32, ranges);
    let sums = b.scratch(&format!("{label}.sums"), Shape::vector(count), Format::Flat);
    let bad = b.scratch(&format!("{label}.bad"), Shape::vector(count), Format::FlatU32);
    let flag_count = scalars.len().max(1) as u32;
    let flags = b.scratch(&format!("{label}.flags"), Shape::vector(flag_count), Format::FlatU32);
    let squares = b.output(&format!("gradient_squares.{group}"), Shape::vector(params), Format::Flat, false);
    let norm = b.output(&label, Shape::vector(2), Format::Flat, false);
    let gate = b.output(&format!("gate.{group}"), Shape::vector(1), Format::FlatU32, false);

    for (grads, first, count) in slices {
        let d = GradientSquaresDims { first, count };
        let views = [b.at(grads, 0), b.at(blocks, 0), b.at(sums, 0), b.at(bad, 0)];
        b.dispatch(&SQUARES, &label, &d, &views, flat_groups(count as u64, 1), Cost::default())?;
    }
    let views = [b.at(ranges, 0), b.at(sums, 0), b.at(bad, 0), b.at(squares, 0)];
    let d = GradientSumsDims { params };
    b.dispatch(&SUMS, &label, &d, &views, flat_groups(params as u64, 64), Cost::default())?;
    b.clear(&label, flags);
    for (slot, x) in scalars.iter().enumerate() {
        if b.info(*x).sliced {
            return Err(Error::shape(label, "scalars that do not follow the batch", b.info(*x).name.clone()));
        }
        let count = b.info(*x).format.elements(b.shape(*x)) as u32;
        let d = FiniteFlagDims { count, slot: slot as u32 };
        let views = [b.at(*x, 0), b.at(flags, 0)];
        b.dispatch(&FLAG, &label, &d, &views, flat_groups(1, 64), Cost::default())?;
    }
    let d = GradientGateDims { params, flags: flag_count, clip: hyper::CLIP_NORM, factor: hyper::GRADIENT_SCALE };
    let views = [b.at(squares, 0), b.at(flags, 0), b.at(hyper, 0), b.at(norm, 0), b.at(gate, 0)];
    b.dispatch(&GATE, &label, &d, &views, flat_groups(1, 64), Cost::default())?;
    b.set_gate(gate);
    Ok(GradientNorm { squares, norm, gate })
}
