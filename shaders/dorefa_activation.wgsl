// Activations on a grid of levels + 1 values, forward.  y = round(levels min(max(x, 0), 1)) / levels, halves to even.
// Pad lanes stay 0.
struct DorefaActivationDims { vectors: u32, accumulate: u32, levels: f32 }
@group(0) @binding(0) var<uniform> dims: DorefaActivationDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.vectors { return; }
    y[i] = round(dims.levels * clamp(x[i], vec4<f32>(0.0), vec4<f32>(1.0))) / dims.levels;
}
