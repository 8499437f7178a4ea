// Activations on a grid, backward.  d_x (+)= d_y where 0 <= x <= 1, else 0: the rounding passes the gradient through.
struct DorefaActivationDims { vectors: u32, accumulate: u32, levels: f32 }
@group(0) @binding(0) var<uniform> dims: DorefaActivationDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> d_y: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> d_x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.vectors { return; }
    let inside = (x[i] >= vec4<f32>(0.0)) & (x[i] <= vec4<f32>(1.0));
    var v = select(vec4<f32>(0.0), d_y[i], inside);
    if dims.accumulate == 1u { v += d_x[i]; }
    d_x[i] = v;
}
