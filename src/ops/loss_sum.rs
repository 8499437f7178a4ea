//! The last stage of the losses that keep partial sums an image and block, and their weight in the whole objective.
//! Not an operation of its own.

use super::LANE_SUM;
use crate::cpu::loss_sum::{LossSumDims, loss_sum as loss_sum_twin};
use crate::plan::{Builder, Cost, Format, Groups, Kernel, Shape, TensorId};
use crate::{Error, Result, kernel};

/// The kernel.
pub static LOSS_SUM: Kernel = kernel!(
    "loss_sum",
    [LANE_SUM],
    LossSumDims,
    [read partials: f32, read weights: f32, write loss: f32],
    [],
    loss_sum_twin
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&LOSS_SUM];

/// Adds the step loss = factor * sum of weight(image) * partial, over `partials` [maps][images][blocks], weight 1
/// without `weights`. Returns the loss, a dense tensor of one value.
pub(super) fn loss_sum(
    b: &mut Builder,
    label: &str,
    partials: TensorId,
    weights: Option<TensorId>,
    factor: f32,
) -> Result<TensorId> {
    let shape = b.shape(partials);
    let dims = LossSumDims {
        rows: shape.h * shape.w,
        images: shape.w,
        blocks: shape.c,
        weighted: weights.is_some() as u32,
        factor,
    };
    let loss = b.scratch(&format!("{label}.loss"), Shape::vector(1), Format::Flat);
    let views = [b.at(partials, 0), b.at(weights.unwrap_or(partials), 0), b.at(loss, 0)];
    b.dispatch(&LOSS_SUM, label, &dims, &views, Groups::Fixed([1, 1, 1]), Cost::default())?;
    Ok(loss)
}

/// Checks a loss's `scale`, a place in a dense tensor that the host writes.
pub(super) fn check_scale(b: &Builder, label: &str, scale: Option<(TensorId, u32)>) -> Result<()> {
    let Some((t, index)) = scale else { return Ok(()) };
    let info = b.info(t);
    if info.format == Format::Flat && !info.sliced && (index as u64) < info.shape.len() {
        return Ok(());
    }
    Err(Error::shape(
        label,
        format!("scale: element {index} of a dense float tensor that is not sliced"),
        format!("{} {} as {:?}", info.name, info.shape, info.format),
    ))
}

/// The tensor and element that a backward kernel multiplies by; a constant 1 where there is no scale.
pub(super) fn scale_or_one(b: &mut Builder, label: &str, scale: Option<(TensorId, u32)>) -> (TensorId, u32) {
    scale.unwrap_or_else(|| {
        (b.constant(&format!("{label}.one"), Shape::vector(1), Format::Flat, vec![1f32.to_bits()]), 0)
    })
}
