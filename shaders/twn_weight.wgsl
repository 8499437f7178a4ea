// Ternary weights, last stage.
//   y = alpha where w > delta, -alpha where w < -delta, else 0;   alpha = mean of the |w| > delta
// of the filter, or of the layer with `per_layer`; 0 where none is above.
//
// w, y: (rows, Op) as in twn_weight_sums; above: (3, Op): delta, sum and number of the |w| > delta. The padding of w is 0
// and never above, so that of y is 0.
//
// Grid: x = Op / 4.
struct TwnWeightDims { rows: u32, o4: u32, o: u32, filter_size: f32, threshold: f32, per_layer: u32 }
@group(0) @binding(0) var<uniform> dims: TwnWeightDims;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> above: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let delta = above[group.x];
    var sum = above[dims.o4 + group.x];
    var count = above[2u * dims.o4 + group.x];
    if dims.per_layer == 1u {
        sum = vec4<f32>();
        count = vec4<f32>();
        for (var v = 0u; v < dims.o4; v += 1u) {
            sum += above[dims.o4 + v];
            count += above[2u * dims.o4 + v];
        }
        sum = vec4<f32>((sum.x + sum.y) + (sum.z + sum.w));
        count = vec4<f32>((count.x + count.y) + (count.z + count.w));
    }
    // Where the number is 0, so is the sum.
    let alpha = sum / max(count, vec4<f32>(1.0));
    for (var k = lane.x; k < dims.rows; k += 64u) {
        let at = k * dims.o4 + group.x;
        y[at] = select(select(vec4<f32>(), -alpha, w[at] < -delta), alpha, w[at] > delta);
    }
}
