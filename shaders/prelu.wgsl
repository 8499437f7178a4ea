// Rectifier with a learned slope a channel, forward.  y = x where x > 0, else slope x.
struct PreluDims { images: u32, first: u32, pixels: u32, vectors: u32, block: u32, blocks: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: PreluDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> slope: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.images * dims.pixels * dims.vectors { return; }
    let v = x[i];
    y[i] = select(slope[i % dims.vectors] * v, v, v > vec4<f32>(0.0));
}
