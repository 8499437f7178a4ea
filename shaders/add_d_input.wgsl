// Sum of maps, backward: a gradient passed on unchanged.  d_x (+)= d_y.
struct AddDims { vectors: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: AddDims;
@group(0) @binding(1) var<storage, read> d_y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> d_x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.vectors { return; }
    var v = d_y[i];
    if dims.accumulate == 1u { v += d_x[i]; }
    d_x[i] = v;
}
