// Difference of two maps, backward.  d_g (+)= scale[index] factor sign(g - x), or where `square` is 1
// scale[index] factor 2 (g - x).  sign(0) = 0, so pad lanes get 0.
struct ReconstructionDims {
    images: u32, first: u32, vectors: u32, block: u32, blocks: u32, square: u32, index: u32,
    each: f32, factor: f32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: ReconstructionDims;
@group(0) @binding(1) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> scale: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_g: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.images * dims.vectors { return; }
    let away = g[i] - x[i];
    var slope = 2.0 * away;
    if dims.square == 0u { slope = sign(away); }
    var d = scale[dims.index] * dims.factor * slope;
    if dims.accumulate == 1u { d += d_g[i]; }
    d_g[i] = d;
}
