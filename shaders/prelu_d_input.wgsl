// Rectifier with a learned slope a channel, backward.  d_x (+)= d_y where x > 0, else slope d_y.
struct PreluDims { images: u32, first: u32, pixels: u32, vectors: u32, block: u32, blocks: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: PreluDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> slope: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> d_y: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> d_x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.images * dims.pixels * dims.vectors { return; }
    var d = d_y[i];
    d = select(slope[i % dims.vectors] * d, d, x[i] > vec4<f32>(0.0));
    if dims.accumulate == 1u { d += d_x[i]; }
    d_x[i] = d;
}
