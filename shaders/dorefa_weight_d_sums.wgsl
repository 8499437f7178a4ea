// Weights on a grid, backward, first stage: each block's share of what the maximum needs,
//   sums[block] = sum of g tanh(w),   sums[blocks + block] = number of w whose |w| is the maximum
// The block's elements are those of dorefa_weight_max; lanes are added as a tree, in a fixed order.
//
// Grid: x = blocks.
struct DorefaWeightDims { vectors: u32, o4: u32, cp: u32, c: u32, o: u32, blocks: u32, levels: f32 }
@group(0) @binding(0) var<uniform> dims: DorefaWeightDims;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> maxima: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;

var<workgroup> lanes: array<vec2<f32>, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    var largest = 0.0;
    for (var k = 0u; k < dims.blocks; k += 1u) { largest = max(largest, maxima[k]); }
    var sum = vec4<f32>();
    var count = vec4<f32>();
    for (var i = group.x * 64u + lane.x; i < dims.vectors; i += dims.blocks * 64u) {
        sum += g[i] * tanh(clamp(w[i], vec4<f32>(-10.0), vec4<f32>(10.0)));
        count += select(vec4<f32>(), vec4<f32>(1.0), abs(w[i]) == vec4<f32>(largest));
    }
    lanes[lane.x] = vec2<f32>((sum.x + sum.y) + (sum.z + sum.w), (count.x + count.y) + (count.z + count.w));
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane.x < half { lanes[lane.x] += lanes[lane.x + half]; }
        workgroupBarrier();
    }
    if lane.x == 0u {
        sums[group.x] = lanes[0].x;
        sums[dims.blocks + group.x] = lanes[0].y;
    }
}
