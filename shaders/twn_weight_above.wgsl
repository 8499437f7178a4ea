// Ternary weights, second stage: what lies above the threshold, filter by filter.
//   above[0][o] = delta_o = threshold * mean |w|, the mean of the filter, or of the layer with `per_layer`
//   above[1][o] = sum of the |w[k,o]| > delta_o,   above[2][o] = their number
//
// w: (rows, Op) as in twn_weight_sums, `filter_size` of the rows being values; sums: (Op); above: (3, Op).
//
// Grid: x = Op / 4.
struct TwnWeightDims { rows: u32, o4: u32, o: u32, filter_size: f32, threshold: f32, per_layer: u32 }
@group(0) @binding(0) var<uniform> dims: TwnWeightDims;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> above: array<vec4<f32>>;

var<workgroup> lane_sums: array<vec4<f32>, 64>;
var<workgroup> lane_counts: array<vec4<f32>, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    var delta = dims.threshold * (sums[group.x] / dims.filter_size);
    if dims.per_layer == 1u {
        var total = vec4<f32>();
        for (var v = 0u; v < dims.o4; v += 1u) { total += sums[v]; }
        let mean = ((total.x + total.y) + (total.z + total.w)) / (dims.filter_size * f32(dims.o));
        delta = select(vec4<f32>(), vec4<f32>(dims.threshold * mean), lane_mask(group.x, dims.o));
    }
    var sum = vec4<f32>();
    var count = vec4<f32>();
    for (var k = lane.x; k < dims.rows; k += 64u) {
        let a = abs(w[k * dims.o4 + group.x]);
        sum += select(vec4<f32>(), a, a > delta);
        count += select(vec4<f32>(), vec4<f32>(1.0), a > delta);
    }
    lane_sums[lane.x] = sum;
    lane_counts[lane.x] = count;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane.x < half {
            lane_sums[lane.x] += lane_sums[lane.x + half];
            lane_counts[lane.x] += lane_counts[lane.x + half];
        }
        workgroupBarrier();
    }
    if lane.x == 0u {
        above[group.x] = delta;
        above[dims.o4 + group.x] = lane_sums[0];
        above[2u * dims.o4 + group.x] = lane_counts[0];
    }
}
