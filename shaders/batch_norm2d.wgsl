// Batch normalisation, forward.  y = gamma (x - mean) / sqrt(variance + eps) + beta (+ residual), four pixels of a
// channel vector an invocation. stats planes: mean, variance (of the batch, or the running ones); affine planes: gamma,
// beta. Without a residual its binding holds x and is not read.
struct BatchNorm2dDims {
    images: u32, first: u32, pixels: u32, vectors: u32, block: u32, blocks: u32, rows: u32,
    count: f32, eps: f32, momentum: f32, residual: u32, frozen: u32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: BatchNorm2dDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> affine: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    let v = i % dims.vectors;
    let begin = (i / dims.vectors) * 4u;
    let end = min(begin + 4u, dims.images * dims.pixels);
    if begin >= end { return; }
    let mean = stats[v];
    let scale = affine[v] / sqrt(stats[dims.vectors + v] + dims.eps);
    let beta = affine[dims.vectors + v];
    var at = begin * dims.vectors + v;
    for (var p = begin; p < end; p += 1u) {
        var value = (x[at] - mean) * scale + beta;
        if dims.residual == 1u { value += residual[at]; }
        y[at] = value;
        at += dims.vectors;
    }
}
