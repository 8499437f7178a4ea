// One head's map into the rows of all priors.
// x: map (n, h, w, boxes * values); y: flat (n, 1, P, values).  Of every image, the pixels of this map in row-major
// order, each with its boxes * values channels, lie one after the other in y from `first` on.
struct GatherHeadsDims { vectors: u32, pixels: u32, channels: u32, first: u32, row: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: GatherHeadsDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.vectors { return; }
    let quads = (dims.channels + 3u) / 4u;
    let pixel = i / quads;
    let lane = 4u * (i % quads);
    let at = pixel / dims.pixels * dims.row + dims.first + pixel % dims.pixels * dims.channels + lane;
    let v = x[i];
    y[at] = v.x;
    if lane + 1u < dims.channels { y[at + 1u] = v.y; }
    if lane + 2u < dims.channels { y[at + 2u] = v.z; }
    if lane + 3u < dims.channels { y[at + 3u] = v.w; }
}
