// Locations to corners, one invocation a prior of an image: boxes[image, p] = decode(loc[image, p], priors[p]).
struct DecodeDims { rows: u32, priors: u32, v0: f32, v1: f32 }
@group(0) @binding(0) var<uniform> dims: DecodeDims;
@group(0) @binding(1) var<storage, read> loc: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> priors: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> boxes: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = flat_index(gid, groups, 64u);
    if row >= dims.rows { return; }
    boxes[row] = box_decode(loc[row], priors[row % dims.priors], dims.v0, dims.v1);
}
