// Ternary weights, first stage.  sums[o] = sum over kh, kw, c of |w[kh,kw,c,o]|
//
// w: (rows, Op) f32 read as vec4, rows = KH KW Cp; Op and Cp are O and C rounded up to a multiple of 4, the rows and
// lanes between hold 0. sums: (Op). One workgroup makes four filters; lanes are added as a tree, in a fixed order.
//
// Grid: x = Op / 4.
struct TwnWeightDims { rows: u32, o4: u32, o: u32, filter_size: f32, threshold: f32, per_layer: u32 }
@group(0) @binding(0) var<uniform> dims: TwnWeightDims;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> sums: array<vec4<f32>>;

var<workgroup> lanes: array<vec4<f32>, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    var sum = vec4<f32>();
    for (var k = lane.x; k < dims.rows; k += 64u) { sum += abs(w[k * dims.o4 + group.x]); }
    lanes[lane.x] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane.x < half { lanes[lane.x] += lanes[lane.x + half]; }
        workgroupBarrier();
    }
    if lane.x == 0u { sums[group.x] = lanes[0]; }
}
