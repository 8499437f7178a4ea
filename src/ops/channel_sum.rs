//! Sum of a map over images and pixels, a channel: the gradient of a bias. Not an operation of its own.
//!
//! First stage: a partial sum for each (image, block of pixels), so that slices change nothing; second stage: `sum_rows`.

use super::INDEX;
use super::sum_rows::{blocks_of, sum_rows};
use crate::cpu::channel_sum::{ChannelSumDims, channel_sum as channel_sum_twin};
use crate::plan::{Builder, Cost, Format, Grad, Kernel, Shape, TensorId, flat_groups, round4};
use crate::{Result, kernel};

/// The first stage.
pub static CHANNEL_SUM: Kernel = kernel!(
    "channel_sum",
    [INDEX],
    ChannelSumDims,
    [read x: f32, write partials: f32],
    [],
    channel_sum_twin
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&CHANNEL_SUM];

/// Adds the sum of `x` over images and pixels to `total`, a map of shape (1,1,1,C).
pub fn channel_sum(b: &mut Builder, label: &str, x: TensorId, total: Grad) -> Result<()> {
    let shape = b.shape(x);
    let (block, blocks) = blocks_of(shape.h * shape.w);
    let partials = b.scratch(&format!("{label}.channel_sum"), Shape::new(shape.n * blocks, 1, 1, shape.c), Format::Map);
    for (s, first, n) in b.slices() {
        let vectors = round4(shape.c) / 4;
        let dims =
            ChannelSumDims { first: first * blocks, images: n, pixels: shape.h * shape.w, block, blocks, vectors };
        let views = [b.at(x, s), b.at(partials, 0)];
        let threads = n as u64 * blocks as u64 * vectors as u64;
        b.dispatch(&CHANNEL_SUM, label, &dims, &views, flat_groups(threads, 64), Cost::default())?;
    }
    sum_rows(b, label, partials, Some(total))?;
    Ok(())
}
