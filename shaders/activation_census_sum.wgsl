// The second stage of the census of a map: sums of its blocks.
//   counts[k][c] = sum of partials[row][k][c] over the rows
// partials: (rows, 2, Cp) u32, Cp = 4 * vectors; counts: (2, C) u32, dense. Whole numbers, so any order gives the same
// bits. One invocation makes one count.
struct ActivationCensusSumDims { rows: u32, channels: u32, vectors: u32 }
@group(0) @binding(0) var<uniform> dims: ActivationCensusSumDims;
@group(0) @binding(1) var<storage, read> partials: array<u32>;
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= 2u * dims.channels { return; }
    let width = 4u * dims.vectors;
    var at = i / dims.channels * width + i % dims.channels;
    var sum = 0u;
    for (var row = 0u; row < dims.rows; row++) {
        sum += partials[at];
        at += 2u * width;
    }
    counts[i] = sum;
}
