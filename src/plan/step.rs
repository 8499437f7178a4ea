//! One step of a plan.

use super::{Cost, Kernel, TensorId};

/// A tensor, or one slice of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct View {
    /// The tensor.
    pub tensor: TensorId,
    /// Index into [`Plan::slices`](super::Plan::slices) for sliced tensors, 0 for others.
    pub slice: u32,
}

/// How many workgroups run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Groups {
    /// Known when the plan is made.
    Fixed([u32; 3]),
    /// Three u32 at the start of this tensor, written by an earlier step. Twins take the count from their own bindings.
    Indirect(View),
}

/// Workgroups for `threads` invocations of `size` a group, spread over two dimensions where one is not enough. Kernels
/// find their index with `flat_index` of `shaders/common/index.wgsl`.
pub fn flat_groups(threads: u64, size: u32) -> Groups {
    let groups = threads.div_ceil(size as u64).max(1);
    if groups <= 65_535 {
        return Groups::Fixed([groups as u32, 1, 1]);
    }
    // The smallest number of rows, then the smallest row: at most rows - 1 groups too many.
    let rows = groups.div_ceil(65_535);
    Groups::Fixed([groups.div_ceil(rows) as u32, rows as u32, 1])
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum StepKind {
    /// Runs a kernel.
    Dispatch {
        /// Which one.
        kernel: &'static Kernel,
        /// Values of its `override` constants.
        constants: Vec<(&'static str, f64)>,
        /// The bytes of its uniform struct.
        dims: Vec<u8>,
        /// Its storage buffers in binding order.
        bindings: Vec<View>,
        /// How many workgroups.
        groups: Groups,
    },
    /// Sets a tensor to zero bytes.
    Clear(View),
    /// Copies a tensor to one of the same size.
    Copy {
        /// Source.
        from: View,
        /// Destination.
        to: View,
    },
}

/// One step: a dispatch, a clear or a copy, with its name and place.
#[derive(Debug, Clone)]
pub struct Step {
    /// `layer.kernel`, and `[slice]` where there is more than one slice.
    pub label: String,
    /// Index into the plan's segments.
    pub segment: usize,
    /// What it does.
    pub kind: StepKind,
    /// What it costs (for one dispatch).
    pub cost: Cost,
}

impl Step {
    /// Tensors it reads and tensors it writes (a tensor that is updated is in both).
    pub fn uses(&self) -> (Vec<View>, Vec<View>) {
        use super::Access;
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        match &self.kind {
            StepKind::Dispatch { kernel, bindings, groups, .. } => {
                for (b, v) in kernel.bindings.iter().zip(bindings) {
                    if b.access != Access::Write {
                        reads.push(*v);
                    }
                    if b.access != Access::Read {
                        writes.push(*v);
                    }
                }
                if let Groups::Indirect(v) = groups {
                    reads.push(*v);
                }
            }
            StepKind::Clear(v) => writes.push(*v),
            StepKind::Copy { from, to } => {
                reads.push(*from);
                writes.push(*to);
            }
        }
        (reads, writes)
    }
}
