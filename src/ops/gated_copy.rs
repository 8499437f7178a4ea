//! New values of a state that is only replaced once the step is known to be sound. Not an operation of its own.

use super::INDEX;
use crate::cpu::gated_copy::{GatedCopyDims, gated_copy as gated_copy_twin};
use crate::plan::{Builder, Cost, Kernel, TensorId, flat_groups};
use crate::{Error, Result, kernel};

/// The kernel.
pub static GATED_COPY: Kernel = kernel!(
    "gated_copy",
    [INDEX],
    GatedCopyDims,
    [read source: u32, read gate: u32, update state: u32],
    [],
    gated_copy_twin
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&GATED_COPY];

/// Defers the step state = source, which obeys [`Builder::gate`]: a step that is skipped leaves the state as it was.
/// With micro-batches the source of the last one counts, as with running statistics.
pub(super) fn defer_replace(b: &mut Builder, label: &str, source: TensorId, state: TensorId) -> Result<()> {
    let (from, to) = (b.info(source), b.info(state));
    if (from.shape, from.format, from.sliced) != (to.shape, to.format, false) {
        return Err(Error::shape(
            label,
            format!("{} {:?}", to.shape, to.format),
            format!("{} {:?}", from.shape, from.format),
        ));
    }
    let dims = GatedCopyDims { count: to.format.elements(to.shape) as u32 };
    let label = label.to_string();
    b.defer(move |b| {
        let gate = b.gate();
        let views = [b.at(source, 0), b.at(gate, 0), b.at(state, 0)];
        b.dispatch(&GATED_COPY, &label, &dims, &views, flat_groups(dims.count as u64, 64), Cost::default())
    });
    Ok(())
}
