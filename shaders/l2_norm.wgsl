// Normalisation of each pixel's channels, forward.  norm = sqrt(sum x^2),  y = weight x / (norm + eps).
// A workgroup takes eight pixels, eight lanes a pixel.
struct L2NormDims {
    images: u32, first: u32, pixels: u32, vectors: u32, block: u32, blocks: u32, eps: f32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: L2NormDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> norm: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;

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
    var squares = vec4<f32>(0.0);
    if inside {
        for (var v = lane % 8u; v < dims.vectors; v += 8u) { squares += x[begin + v] * x[begin + v]; }
    }
    sums[lane] = (squares.x + squares.y) + (squares.z + squares.w);
    workgroupBarrier();
    if !inside { return; }
    let length = sqrt(pixel_sum(lane));
    if lane % 8u == 0u { norm[pixel] = length; }
    let scale = 1.0 / (length + dims.eps);
    for (var v = lane % 8u; v < dims.vectors; v += 8u) { y[begin + v] = weight[v] * (x[begin + v] * scale); }
}
