// Sum of two maps, forward.  y = a + b, element by element; shapes are equal.
struct AddDims { vectors: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: AddDims;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.vectors { return; }
    y[i] = a[i] + b[i];
}
