// Clipping, backward.  d_x (+)= d_y where a < x < b, else 0.
struct ActivationDims { vectors: u32, accumulate: u32, pixel_vectors: u32, channels: u32, a: f32, b: f32 }
@group(0) @binding(0) var<uniform> dims: ActivationDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> d_y: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> d_x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.vectors { return; }
    let v = x[i];
    var d = select(vec4<f32>(0.0), d_y[i], (v > vec4<f32>(dims.a)) & (v < vec4<f32>(dims.b)));
    if dims.accumulate == 1u { d += d_x[i]; }
    d_x[i] = d;
}
