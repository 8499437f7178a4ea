//! Memory by lifetimes: tensors that do not live at the same time share blocks.
//!
//! Blocks are whole device buffers. WebGPU forbids a buffer to be read and written in one dispatch, also at different
//! offsets, so tensors that live at the same time lie side by side in a block only if no step touches both and writes one.
//! Assignment is greedy by size: the largest tensors first, each into the smallest block that has room during its whole life.

use std::collections::{HashMap, HashSet};
use std::ops::{Range, RangeInclusive};

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

/// Views that must not lie in one block: pairs of a step's views of which one is written.
type Apart = HashSet<(View, View)>;

fn apart(steps: &[Step]) -> Apart {
    let mut pairs = Apart::new();
    for s in steps {
        let (reads, writes) = s.uses();
        for w in &writes {
            for other in reads.iter().chain(&writes).filter(|o| *o != w) {
                pairs.insert((*w, *other));
                pairs.insert((*other, *w));
            }
        }
    }
    pairs
}

/// A transient tensor in a block: the steps during which it lives, and its bytes there.
struct Tenant {
    view: View,
    life: RangeInclusive<usize>,
    place: Range<u64>,
}

impl Tenant {
    /// The first offset at which a block of so many bytes has room beside those that live there at the same time.
    fn offset(&self, others: &[Tenant], size: u64, alignment: u64, apart: &Apart) -> Option<u64> {
        let meets = |o: &&Tenant| o.life.start() <= self.life.end() && self.life.start() <= o.life.end();
        let mut taken: Vec<&Tenant> = others.iter().filter(meets).collect();
        if taken.iter().any(|o| apart.contains(&(self.view, o.view))) {
            return None;
        }
        taken.sort_by_key(|o| o.place.start);
        let mut at = 0u64;
        for o in taken {
            if at + self.place.end <= o.place.start {
                break;
            }
            at = at.max(o.place.end.next_multiple_of(alignment));
        }
        (at + self.place.end <= size).then_some(at)
    }
}

/// Assigns memory. `slices` are the images of each slice; tensors that share a block begin at multiples of `alignment`.
pub(super) fn plan_memory(
    tensors: &[TensorInfo],
    steps: &[Step],
    slices: &[u32],
    inside: &Inside,
    alignment: u64,
) -> Result<Memory> {
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
    for (i, t) in tensors.iter().enumerate() {
        if t.role == Role::Transient {
            memory.placements[i] = vec![Placement { block: u32::MAX, offset: 0, bytes: 0 }; count(t) as usize];
        }
    }
    let apart = apart(steps);
    let mut tenants: Vec<Vec<Tenant>> = Vec::new();
    for (bytes, first, last, view) in items {
        memory.unshared_bytes += bytes;
        let new = Tenant { view, life: first..=last, place: 0..bytes };
        // Sizes fall, so the last block with room is the smallest.
        let room = |(h, others): (usize, &Vec<Tenant>)| {
            let size = memory.blocks[first_shared + h].bytes;
            Some((h, new.offset(others, size, alignment, &apart)?))
        };
        let (home, offset) = tenants.iter().enumerate().rev().find_map(room).unwrap_or((tenants.len(), 0));
        if home == tenants.len() {
            memory.blocks.push(BlockInfo { bytes, name: "shared".to_string(), shared: true });
            tenants.push(Vec::new());
        }
        tenants[home].push(Tenant { place: offset..offset + bytes, ..new });
        let block = (first_shared + home) as u32;
        memory.placements[view.tensor.0 as usize][view.slice as usize] = Placement { block, offset, bytes };
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
