//! Memory by lifetimes: tensors that do not live at the same time share blocks.
//!
//! Blocks are whole device buffers and a live tensor owns its block, because WebGPU forbids a buffer to be read and
//! written in one dispatch, also at different offsets. The exceptions are the parameter slabs, which no kernel reads and
//! writes at once. Assignment is greedy by size: the largest tensors first, each into the smallest block that is free
//! during its whole life.

use std::collections::HashMap;

use super::{Role, Step, TensorId, TensorInfo, View};
use crate::{Error, Result};

/// A device buffer.
#[derive(Debug, Clone)]
pub struct BlockInfo {
    /// Size in bytes.
    pub bytes: u64,
    /// What lives there: a tensor's name, or `shared`.
    pub name: String,
    /// Whether several tensors share it over time.
    pub shared: bool,
}

/// Where a tensor, or one slice of it, lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Index into [`Memory::blocks`].
    pub block: u32,
    /// Byte offset in the block.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
}

/// The memory of a plan.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// The buffers.
    pub blocks: Vec<BlockInfo>,
    /// For each tensor one placement a slice (one for tensors that are not sliced). Tensors that no step uses and that
    /// the host cannot reach have none.
    pub placements: Vec<Vec<Placement>>,
    /// Bytes if no two tensors shared memory.
    pub unshared_bytes: u64,
}

impl Memory {
    /// Bytes of all blocks.
    pub fn bytes(&self) -> u64 {
        self.blocks.iter().map(|b| b.bytes).sum()
    }

    /// Where a view lives.
    pub fn of(&self, v: View) -> Placement {
        self.placements[v.tensor.0 as usize][v.slice as usize]
    }
}

/// Tensors that lie inside another one (parameters in their slab): tensor -> (slab, byte offset).
pub(super) type Inside = HashMap<TensorId, (TensorId, u64)>;

/// Assigns memory. `slices` are the images of each slice.
pub(super) fn plan_memory(tensors: &[TensorInfo], steps: &[Step], slices: &[u32], inside: &Inside) -> Result<Memory> {
    let mut life: HashMap<View, (usize, usize)> = HashMap::new();
    for (i, s) in steps.iter().enumerate() {
        let (reads, writes) = s.uses();
        for v in reads.into_iter().chain(writes) {
            let e = life.entry(v).or_insert((i, i));
            e.1 = i;
        }
    }
    let mut memory = Memory { placements: vec![Vec::new(); tensors.len()], ..Default::default() };
    let bytes_of = |t: &TensorInfo, s: u32| if t.sliced { t.bytes_of(slices[s as usize]) } else { t.bytes() };
    let count = |t: &TensorInfo| if t.sliced { slices.len() as u32 } else { 1 };

    // Tensors that live for ever: a block each.
    for (i, t) in tensors.iter().enumerate() {
        let id = TensorId(i as u32);
        if t.role == Role::Transient || inside.contains_key(&id) {
            continue;
        }
        for s in 0..count(t) {
            let bytes = bytes_of(t, s).max(4);
            memory.placements[i].push(Placement { block: memory.blocks.len() as u32, offset: 0, bytes });
            memory.blocks.push(BlockInfo { bytes, name: t.name.clone(), shared: false });
            memory.unshared_bytes += bytes;
        }
    }
    for (id, (slab, offset)) in inside {
        let bytes = tensors[id.0 as usize].bytes();
        let home = memory.placements[slab.0 as usize][0];
        memory.placements[id.0 as usize].push(Placement { block: home.block, offset: home.offset + offset, bytes });
    }

    // The others, largest first.
    let mut items: Vec<(u64, usize, usize, View)> = life
        .iter()
        .filter(|(v, _)| tensors[v.tensor.0 as usize].role == Role::Transient)
        .map(|(v, (a, b))| (bytes_of(&tensors[v.tensor.0 as usize], v.slice).max(4), *a, *b, *v))
        .collect();
    items.sort_by_key(|(bytes, first, _, v)| (std::cmp::Reverse(*bytes), *first, v.tensor, v.slice));
    let first_shared = memory.blocks.len();
    let mut busy: Vec<Vec<(usize, usize)>> = Vec::new();
    for (i, t) in tensors.iter().enumerate() {
        if t.role == Role::Transient {
            memory.placements[i] = vec![Placement { block: u32::MAX, offset: 0, bytes: 0 }; count(t) as usize];
        }
    }
    for (bytes, first, last, v) in items {
        memory.unshared_bytes += bytes;
        // Sizes fall, so the last fitting block is the smallest.
        let home = busy.iter().rposition(|b| b.iter().all(|(a, z)| last < *a || *z < first));
        let home = match home {
            Some(h) => h,
            None => {
                memory.blocks.push(BlockInfo { bytes, name: "shared".to_string(), shared: true });
                busy.push(Vec::new());
                busy.len() - 1
            }
        };
        busy[home].push((first, last));
        let block = (first_shared + home) as u32;
        memory.placements[v.tensor.0 as usize][v.slice as usize] = Placement { block, offset: 0, bytes };
    }

    // No step may read and write one block.
    for s in steps {
        let (reads, writes) = s.uses();
        for w in &writes {
            for r in &reads {
                if r != w && memory.of(*r).block == memory.of(*w).block && memory.of(*r).block != u32::MAX {
                    return Err(Error::shape(
                        &s.label,
                        "its inputs and outputs in different buffers",
                        format!(
                            "{} and {} in one",
                            tensors[r.tensor.0 as usize].name, tensors[w.tensor.0 as usize].name
                        ),
                    ));
                }
            }
        }
    }
    Ok(memory)
}
