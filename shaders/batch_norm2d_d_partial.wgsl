// Batch normalisation, backward, sums over one block of an image's pixels, a channel vector an invocation:
//   sum d_y (x - mean) / sqrt(variance + eps)   and   sum d_y
// into row (first + image) * blocks + block of partials [rows][2][vectors]: the block's part of d_gamma and d_beta.
struct BatchNorm2dDims {
    images: u32, first: u32, pixels: u32, vectors: u32, block: u32, blocks: u32, rows: u32,
    count: f32, eps: f32, momentum: f32, residual: u32, frozen: u32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: BatchNorm2dDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> d_y: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    let v = i % dims.vectors;
    let row = i / dims.vectors;
    if row >= dims.images * dims.blocks { return; }
    let begin = (row % dims.blocks) * dims.block;
    let end = min(begin + dims.block, dims.pixels);
    let step = dims.vectors;
    let mean = stats[v];
    var at = ((row / dims.blocks) * dims.pixels + begin) * step + v;
    var d_gamma = vec4<f32>(0.0);
    var d_beta = vec4<f32>(0.0);
    var p = begin;
    for (; p + 4u <= end; p += 4u) {
        let a = d_y[at];
        let b = d_y[at + step];
        let c = d_y[at + 2u * step];
        let d = d_y[at + 3u * step];
        d_beta += (a + b) + (c + d);
        d_gamma += (a * (x[at] - mean) + b * (x[at + step] - mean))
            + (c * (x[at + 2u * step] - mean) + d * (x[at + 3u * step] - mean));
        at += 4u * step;
    }
    for (; p < end; p += 1u) {
        d_beta += d_y[at];
        d_gamma += d_y[at] * (x[at] - mean);
        at += step;
    }
    let to = (dims.first * dims.blocks + row) * 2u * step + v;
    partials[to] = d_gamma / sqrt(stats[step + v] + dims.eps);
    partials[to + step] = d_beta;
}
