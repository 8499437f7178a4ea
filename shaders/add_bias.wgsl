// Adds a bias in place.  y[pixel][c] += bias[c];  y: (pixels, C) map, bias: (C), vec4.
struct AddBiasDims { pixels: u32, vectors: u32 }
@group(0) @binding(0) var<uniform> dims: AddBiasDims;
@group(0) @binding(1) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.pixels * dims.vectors { return; }
    y[i] += bias[i % dims.vectors];
}
