// Nearest-neighbour enlargement by a whole factor, backward.
//   d_x (+)= sum of d_y over the pixel's scale x scale copies
struct UpsampleNearestDims { images: u32, h: u32, w: u32, vectors: u32, scale: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: UpsampleNearestDims;
@group(0) @binding(1) var<storage, read> d_y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> d_x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.images * dims.h * dims.w * dims.vectors { return; }
    let pixel = i / dims.vectors;
    let out_w = dims.w * dims.scale;
    let begin = (pixel / dims.w * dims.scale) * out_w + (pixel % dims.w) * dims.scale;
    var d = vec4<f32>(0.0);
    for (var oy = 0u; oy < dims.scale; oy += 1u) {
        for (var ox = 0u; ox < dims.scale; ox += 1u) {
            d += d_y[(begin + oy * out_w + ox) * dims.vectors + i % dims.vectors];
        }
    }
    if dims.accumulate == 1u { d += d_x[i]; }
    d_x[i] = d;
}
