// Normalisation of each pixel's channels, backward: sum of d_y x / (norm + eps) over one block of an image's pixels, a
// channel vector an invocation, into row (first + image) * blocks + block of partials [rows][vectors].
struct L2NormDims {
    images: u32, first: u32, pixels: u32, vectors: u32, block: u32, blocks: u32, eps: f32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: L2NormDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> norm: array<f32>;
@group(0) @binding(3) var<storage, read> d_y: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    let v = i % dims.vectors;
    let row = i / dims.vectors;
    if row >= dims.images * dims.blocks { return; }
    let begin = (row % dims.blocks) * dims.block;
    let end = min(begin + dims.block, dims.pixels);
    let image = (row / dims.blocks) * dims.pixels;
    var sum = vec4<f32>(0.0);
    for (var p = image + begin; p < image + end; p += 1u) {
        let at = p * dims.vectors + v;
        sum += d_y[at] * (x[at] / (norm[p] + dims.eps));
    }
    partials[(dims.first * dims.blocks + row) * dims.vectors + v] = sum;
}
