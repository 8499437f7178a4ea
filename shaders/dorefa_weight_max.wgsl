// Weights on a grid, first stage: maxima[block] = max |w| over the block's share of a tensor of `vectors` vec4<f32>,
// those whose index is block * 64 + lane plus a multiple of blocks * 64. A maximum does not depend on its order.
//
// Grid: x = blocks.
struct DorefaWeightDims { vectors: u32, o4: u32, cp: u32, c: u32, o: u32, blocks: u32, levels: f32 }
@group(0) @binding(0) var<uniform> dims: DorefaWeightDims;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> maxima: array<f32>;

var<workgroup> largest: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    var m = vec4<f32>();
    for (var i = group.x * 64u + lane.x; i < dims.vectors; i += dims.blocks * 64u) {
        m = max(m, abs(w[i]));
    }
    largest[lane.x] = max(max(m.x, m.y), max(m.z, m.w));
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane.x < half { largest[lane.x] = max(largest[lane.x], largest[lane.x + half]); }
        workgroupBarrier();
    }
    if lane.x == 0u { maxima[group.x] = largest[0]; }
}
