//! Column sums: the second stage of the reductions that keep partial sums an image and block, so that neither slices nor
//! the number of threads change a bit. Not an operation of its own.

use super::{INDEX, LANE_SUM};
use crate::cpu::sum_rows::{SumRowsDims, sum_rows as sum_rows_twin};
use crate::plan::{Builder, Cost, Format, Grad, Groups, Kernel, TensorId, flat_groups};
use crate::{Result, kernel};

/// The kernel.
pub static SUM_ROWS: Kernel = kernel!(
    "sum_rows",
    [INDEX, LANE_SUM],
    SumRowsDims,
    [read partials: f32, write sums: f32, update total: f32],
    [],
    sum_rows_twin
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&SUM_ROWS];

/// Adds up the rows of `partials`, a map of shape (rows, 1, P, C), into a new scratch tensor of shape (1, 1, P, C), which
/// is returned, and adds the result to `total` (of that shape) where there is one.
///
/// # Errors
/// Those of [`Builder::dispatch`].
pub fn sum_rows(b: &mut Builder, label: &str, partials: TensorId, total: Option<Grad>) -> Result<TensorId> {
    let shape = b.shape(partials);
    let sums = b.scratch(&format!("{label}.sums"), shape.with_n(1), Format::Map);
    let unused = match total {
        Some(t) => t.tensor,
        None => b.scratch(&format!("{label}.unused"), shape.with_n(1), Format::Map),
    };
    let columns = (Format::Map.elements(shape.with_n(1)) / 4) as u32;
    let dims = SumRowsDims { rows: shape.n, columns, accumulate: total.is_some() as u32 };
    let views = [b.at(partials, 0), b.at(sums, 0), b.at(unused, 0)];
    b.dispatch(&SUM_ROWS, label, &dims, &views, columns_groups(columns), Cost::default())?;
    Ok(sums)
}

/// One workgroup of 64 a column.
pub(super) fn columns_groups(columns: u32) -> Groups {
    flat_groups(64 * columns as u64, 64)
}

/// How an image of `pixels` is cut into blocks for a first stage: (pixels a block, blocks). At most 64 blocks an image
/// keep the second stage short; at least 16 pixels a block keep the partial sums small beside the map. It depends on
/// the size of an image alone.
pub(super) fn blocks_of(pixels: u32) -> (u32, u32) {
    let block = pixels.div_ceil(64).max(16).div_ceil(4) * 4;
    (block, pixels.div_ceil(block))
}
