// One head's part of the gradient of the rows, back into its map: the reverse of gather_heads; pad lanes are 0.
struct GatherHeadsDims { vectors: u32, pixels: u32, channels: u32, first: u32, row: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: GatherHeadsDims;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
@group(0) @binding(2) var<storage, read_write> d_x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.vectors { return; }
    let quads = (dims.channels + 3u) / 4u;
    let pixel = i / quads;
    let lane = 4u * (i % quads);
    let at = pixel / dims.pixels * dims.row + dims.first + pixel % dims.pixels * dims.channels + lane;
    var v = vec4<f32>(d_y[at], 0.0, 0.0, 0.0);
    if lane + 1u < dims.channels { v.y = d_y[at + 1u]; }
    if lane + 2u < dims.channels { v.z = d_y[at + 2u]; }
    if lane + 3u < dims.channels { v.w = d_y[at + 3u]; }
    if dims.accumulate == 1u { v += d_x[i]; }
    d_x[i] = v;
}
