// Radix selection by one workgroup of 256 invocations: which of `count` items have the `wanted` largest keys, ties to
// the lower index.  The kernel supplies `fn select_key(i: u32) -> u32`: the key of item i, 0 where it is no candidate.
// Keys stay where they are; each round counts one digit of 8 bits, from the top.  Twin: src/cpu/select.rs.

// Item i is chosen where its key is larger than `key`, or equal to it and i <= last.
struct Selection { key: u32, last: u32 }

var<workgroup> select_bins: array<atomic<u32>, 256>;
var<workgroup> select_sums: array<u32, 16>;
var<workgroup> select_found: vec3<u32>;

fn is_selected(s: Selection, key: u32, i: u32) -> bool {
    return key != 0u && (key > s.key || (key == s.key && i <= s.last));
}

// A key that orders floats: a < b gives a smaller key.  Never 0 for a number.
fn float_key(v: f32) -> u32 {
    let bits = bitcast<u32>(v);
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

// The bin that holds the `left`-th item counted from the top bin: (bin, which of its items, its items).
fn select_bin(t: u32, left: u32) -> vec3<u32> {
    workgroupBarrier();
    if t < 16u {
        var sum = 0u;
        for (var j = 0u; j < 16u; j++) { sum += atomicLoad(&select_bins[16u * t + j]); }
        select_sums[t] = sum;
    }
    workgroupBarrier();
    if t == 0u {
        var above = 0u;
        var group = 15u;
        while group > 0u && above + select_sums[group] < left {
            above += select_sums[group];
            group--;
        }
        var bin = 16u * group + 15u;
        var items = atomicLoad(&select_bins[bin]);
        while bin > 16u * group && above + items < left {
            above += items;
            bin--;
            items = atomicLoad(&select_bins[bin]);
        }
        select_found = vec3<u32>(bin, left - above, items);
    }
    return workgroupUniformLoad(&select_found);
}

// `wanted` is at least 1 and at most the number of candidates, and the same in all invocations.
fn select_largest(t: u32, count: u32, wanted: u32) -> Selection {
    var key = 0u;
    var mask = 0u;
    var left = wanted;
    var equal = 0u;
    for (var round = 0u; round < 4u; round++) {
        let shift = 24u - 8u * round;
        atomicStore(&select_bins[t], 0u);
        workgroupBarrier();
        for (var i = t; i < count; i += 256u) {
            let k = select_key(i);
            if k != 0u && (k & mask) == key { atomicAdd(&select_bins[(k >> shift) & 255u], 1u); }
        }
        let found = select_bin(t, left);
        key |= found.x << shift;
        mask |= 255u << shift;
        left = found.y;
        equal = found.z;
    }
    if left == equal { return Selection(key, 0xffffffffu); }
    // More items have this key than are wanted: the lowest indices, which are the largest complements.
    var flipped = 0u;
    mask = 0u;
    for (var round = 0u; round < 4u; round++) {
        let shift = 24u - 8u * round;
        atomicStore(&select_bins[t], 0u);
        workgroupBarrier();
        for (var i = t; i < count; i += 256u) {
            if ((~i) & mask) == flipped && select_key(i) == key { atomicAdd(&select_bins[((~i) >> shift) & 255u], 1u); }
        }
        let found = select_bin(t, left);
        flipped |= found.x << shift;
        mask |= 255u << shift;
        left = found.y;
    }
    return Selection(key, ~flipped);
}
