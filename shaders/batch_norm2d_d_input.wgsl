// Batch normalisation, backward, with x^ = (x - mean) / sqrt(variance + eps) and n = N H W:
//   d_x (+)= gamma / sqrt(variance + eps) (d_y - (sum d_y + x^ sum d_y x^) / n)
// and with frozen statistics  d_x (+)= gamma / sqrt(variance + eps) d_y.  sums planes: sum d_y x^, sum d_y. Four pixels
// of a channel vector an invocation.
struct BatchNorm2dDims {
    images: u32, first: u32, pixels: u32, vectors: u32, block: u32, blocks: u32, rows: u32,
    count: f32, eps: f32, momentum: f32, residual: u32, frozen: u32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: BatchNorm2dDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> d_y: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> affine: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> d_x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    let v = i % dims.vectors;
    let begin = (i / dims.vectors) * 4u;
    let end = min(begin + 4u, dims.images * dims.pixels);
    if begin >= end { return; }
    let mean = stats[v];
    let inverse = 1.0 / sqrt(stats[dims.vectors + v] + dims.eps);
    let scale = affine[v] * inverse;
    var slope = vec4<f32>(0.0);
    var offset = vec4<f32>(0.0);
    if dims.frozen == 0u {
        slope = sums[v] * inverse / dims.count;
        offset = sums[dims.vectors + v] / dims.count;
    }
    var at = begin * dims.vectors + v;
    for (var p = begin; p < end; p += 1u) {
        var value = d_y[at];
        if dims.frozen == 0u { value -= offset + (x[at] - mean) * slope; }
        value *= scale;
        if dims.accumulate == 1u { value += d_x[at]; }
        d_x[at] = value;
        at += dims.vectors;
    }
}
