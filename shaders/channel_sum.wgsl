// Sum of a map over blocks of pixels, the first stage of the gradient of a bias.
//   partials[first + image * blocks + block][c] = sum of x over the pixels of that block
// x: (images, pixels, C) map, partials: (rows, C), both vec4. One invocation makes four channels of one block.
struct ChannelSumDims { first: u32, images: u32, pixels: u32, block: u32, blocks: u32, vectors: u32 }
@group(0) @binding(0) var<uniform> dims: ChannelSumDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.images * dims.blocks * dims.vectors { return; }
    let v = i % dims.vectors;
    let row = i / dims.vectors;
    let begin = row % dims.blocks * dims.block;
    let end = min(begin + dims.block, dims.pixels);
    var at = (row / dims.blocks * dims.pixels + begin) * dims.vectors + v;
    var sum = vec4<f32>(0.0);
    for (var p = begin; p < end; p++) {
        sum += x[at];
        at += dims.vectors;
    }
    partials[(dims.first + row) * dims.vectors + v] = sum;
}
