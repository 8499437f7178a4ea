// Normalisation of each pixel's channels, backward, with s = norm + eps:
//   d_x (+)= weight d_y / s - x (sum weight d_y x) / (norm s^2),   0 where the norm is 0, as it has no direction there.
// A workgroup takes eight pixels, eight lanes a pixel.
struct L2NormDims {
    images: u32, first: u32, pixels: u32, vectors: u32, block: u32, blocks: u32, eps: f32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: L2NormDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> norm: array<f32>;
@group(0) @binding(4) var<storage, read> d_y: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> d_x: array<vec4<f32>>;

var<workgroup> sums: array<f32, 64>;

// The sum of the eight lanes of this invocation's pixel, in order.
fn pixel_sum(lane: u32) -> f32 {
    let at = lane / 8u * 8u;
    var sum = sums[at];
    for (var i = 1u; i < 8u; i += 1u) { sum += sums[at + i]; }
    return sum;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let pixel = flat_group(wid, groups) * 8u + lane / 8u;
    let inside = pixel < dims.images * dims.pixels;
    let begin = pixel * dims.vectors;
    var products = vec4<f32>(0.0);
    if inside {
        for (var v = lane % 8u; v < dims.vectors; v += 8u) { products += weight[v] * d_y[begin + v] * x[begin + v]; }
    }
    sums[lane] = (products.x + products.y) + (products.z + products.w);
    workgroupBarrier();
    if !inside { return; }
    let length = norm[pixel];
    var scale = 0.0;
    var slope = 0.0;
    if length > 0.0 {
        scale = 1.0 / (length + dims.eps);
        slope = pixel_sum(lane) * scale / length * scale;
    }
    for (var v = lane % 8u; v < dims.vectors; v += 8u) {
        var d = weight[v] * d_y[begin + v] * scale - x[begin + v] * slope;
        if dims.accumulate == 1u { d += d_x[begin + v]; }
        d_x[begin + v] = d;
    }
}
