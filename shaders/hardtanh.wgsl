// Clipping, forward.  y = min(max(x, a), b), a <= b; pad lanes stay 0.
struct ActivationDims { vectors: u32, accumulate: u32, pixel_vectors: u32, channels: u32, a: f32, b: f32 }
@group(0) @binding(0) var<uniform> dims: ActivationDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.vectors { return; }
    let v = x[i];
    let s = clamp(v, vec4<f32>(dims.a), vec4<f32>(dims.b));
    y[i] = select(vec4<f32>(0.0), s, lane_mask(i % dims.pixel_vectors, dims.channels));
}
