// Hyperbolic tangent, forward.  y = tanh x; at 10 it is 1 to the last bit, and drivers that compute it by exp
// overflow far beyond.
struct ActivationDims { vectors: u32, accumulate: u32, pixel_vectors: u32, channels: u32, a: f32, b: f32 }
@group(0) @binding(0) var<uniform> dims: ActivationDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.vectors { return; }
    let v = x[i];
    y[i] = tanh(clamp(v, vec4<f32>(-10.0), vec4<f32>(10.0)));
}
