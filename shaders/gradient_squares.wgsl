// Sum of squares of blocks of a gradient slab, one workgroup a block.
// blocks: (first element, elements) of each block; first is a multiple of 4 and what lies between two parameters is 0.
// sums[block] = sum of g^2, bad[block] = 1 where an element is infinite or not a number, else 0.  Elements are read as
// bits, since shaders may assume that floats are finite; without the sign, the bits of those that are not are the
// largest.
struct GradientSquaresDims { first: u32, count: u32 }
@group(0) @binding(0) var<uniform> dims: GradientSquaresDims;
@group(0) @binding(1) var<storage, read> grads: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> blocks: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;
@group(0) @binding(4) var<storage, read_write> bad: array<u32>;

var<workgroup> lane_sum: array<f32, 64>;
var<workgroup> lane_largest: array<u32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
    let group = flat_group(wid, groups);
    if group >= dims.count { return; }
    let block = blocks[dims.first + group];
    let start = block.x / 4u;
    let vectors = (block.y + 3u) / 4u;
    var sum = vec4<f32>(0.0);
    var largest = vec4<u32>(0u);
    for (var i = t; i < vectors; i += 64u) {
        let bits = grads[start + i];
        largest = max(largest, bits & vec4<u32>(0x7fffffffu));
        let g = bitcast<vec4<f32>>(bits);
        sum += g * g;
    }
    lane_sum[t] = (sum.x + sum.y) + (sum.z + sum.w);
    lane_largest[t] = max(max(largest.x, largest.y), max(largest.z, largest.w));
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if t < half {
            lane_sum[t] += lane_sum[t + half];
            lane_largest[t] = max(lane_largest[t], lane_largest[t + half]);
        }
        workgroupBarrier();
    }
    if t == 0u {
        sums[dims.first + group] = lane_sum[0];
        bad[dims.first + group] = select(0u, 1u, lane_largest[0] >= 0x7f800000u);
    }
}
