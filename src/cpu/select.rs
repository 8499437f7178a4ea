//! Twin of `shaders/common/select.wgsl`.

/// Which items are the largest: those with a key above `key`, and of those with `key` itself the ones up to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// The smallest chosen key.
    pub key: u32,
    /// The last chosen index among equals.
    pub last: u32,
}

impl Selection {
    /// No item.
    pub const NONE: Selection = Selection { key: u32::MAX, last: 0 };
    /// Every candidate.
    pub const ALL: Selection = Selection { key: 0, last: 0 };

    /// Whether item `i` with this key (0: no candidate) is chosen.
    pub fn contains(&self, key: u32, i: u32) -> bool {
        key != 0 && (key > self.key || (key == self.key && i <= self.last))
    }
}

/// A key that orders floats; never 0 for a number.
pub fn float_key(v: f32) -> u32 {
    let bits = v.to_bits();
    if bits >= 0x8000_0000 { !bits } else { bits | 0x8000_0000 }
}

/// The `wanted` largest keys, ties to the lower index; 0 is no candidate. `wanted` is at least 1 and at most the number
/// of candidates.
pub fn select_largest(keys: &[u32], wanted: usize) -> Selection {
    let mut all: Vec<u64> =
        (0u32..).zip(keys).filter(|(_, k)| **k != 0).map(|(i, k)| (*k as u64) << 32 | !i as u64).collect();
    let (_, least, _) = all.select_nth_unstable_by(wanted - 1, |a, b| b.cmp(a));
    let (key, last) = ((*least >> 32) as u32, !(*least as u32));
    // Where no item of that key is left out the kernel does not look for the last one.
    let left_out = keys.iter().skip(last as usize + 1).any(|k| *k == key);
    Selection { key, last: if left_out { last } else { u32::MAX } }
}
