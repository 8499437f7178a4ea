// Nearest-neighbour enlargement by a whole factor, forward.  y(row, column) = x(row / scale, column / scale); h and w
// are those of x.
struct UpsampleNearestDims { images: u32, h: u32, w: u32, vectors: u32, scale: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: UpsampleNearestDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    let out_h = dims.h * dims.scale;
    let out_w = dims.w * dims.scale;
    if i >= dims.images * out_h * out_w * dims.vectors { return; }
    let pixel = i / dims.vectors;
    let ix = (pixel % out_w) / dims.scale;
    // Rows of all images in one count: out_h is a multiple of scale.
    let row = (pixel / out_w) / dims.scale;
    y[i] = x[(row * dims.w + ix) * dims.vectors + i % dims.vectors];
}
