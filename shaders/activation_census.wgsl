// Counts of what a binary layer reads, block by block of pixels: the first stage of the census of a map.
//   partials[first + image * blocks + block][0][c] = number of pixels of the block that are read as +1:
//                                                    mode 0 (signs): not x < 0;   mode 1 (values {0,1}): x > 0
//   partials[first + image * blocks + block][1][c] = number of pixels of the block with |x| <= 1
// x: (images, pixels, C) map, partials: (rows, 2, Cp) u32, both read or written as vec4; the lanes past C are counted
// like any other and read by nobody. One invocation makes four channels of one block.
struct ActivationCensusDims { first: u32, images: u32, pixels: u32, block: u32, blocks: u32, vectors: u32, mode: u32 }
@group(0) @binding(0) var<uniform> dims: ActivationCensusDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.images * dims.blocks * dims.vectors { return; }
    let v = i % dims.vectors;
    let row = i / dims.vectors;
    let begin = row % dims.blocks * dims.block;
    let end = min(begin + dims.block, dims.pixels);
    var at = (row / dims.blocks * dims.pixels + begin) * dims.vectors + v;
    let zero = vec4<f32>();
    var positive = vec4<u32>();
    var inside = vec4<u32>();
    for (var p = begin; p < end; p++) {
        let value = x[at];
        positive += select(select(vec4<u32>(1u), vec4<u32>(), value < zero), vec4<u32>(zero < value), dims.mode == 1u);
        inside += vec4<u32>(abs(value) <= vec4<f32>(1.0));
        at += dims.vectors;
    }
    let to = (dims.first + row) * 2u * dims.vectors + v;
    partials[to] = positive;
    partials[to + dims.vectors] = inside;
}
