// Gradient of the location loss: d_l (+)= clamp(l - target, -1, 1) / positives for positives, else 0.
struct MultiboxDims { images: u32, priors: u32, classes: u32, first: u32, ratio: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: MultiboxDims;
@group(0) @binding(1) var<storage, read> loc: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> loc_targets: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> targets: array<i32>;
@group(0) @binding(4) var<storage, read> totals: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_loc: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = flat_index(gid, groups, 64u);
    if row >= dims.images * dims.priors { return; }
    var g = vec4<f32>(0.0);
    if targets[row] > 0 {
        g = clamp(loc[row] - loc_targets[row], vec4<f32>(-1.0), vec4<f32>(1.0)) * totals[0];
    }
    if dims.accumulate == 1u { g += d_loc[row]; }
    d_loc[row] = g;
}
