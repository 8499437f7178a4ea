// Binary cross-entropy of logits, forward: sum of max(x, 0) - x t + log(1 + exp(-|x|)) over one block of an image's
// values, an invocation a block, into partials[(first + image) * blocks + block].
struct BceWithLogitsDims {
    images: u32, first: u32, pixels: u32, channels: u32, pitch: u32, block: u32, blocks: u32,
    index: u32, factor: f32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: BceWithLogitsDims;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = flat_index(gid, groups, 64u);
    if row >= dims.images * dims.blocks { return; }
    let begin = (row % dims.blocks) * dims.block;
    let end = min(begin + dims.block, dims.pixels * dims.channels);
    let image = row / dims.blocks * dims.pixels;
    var sum = 0.0;
    for (var i = begin; i < end; i += 1u) {
        let at = (image + i / dims.channels) * dims.pitch + i % dims.channels;
        let x = logits[at];
        sum += max(x, 0.0) - x * targets[at] + log(1.0 + exp(-abs(x)));
    }
    partials[dims.first * dims.blocks + row] = sum;
}
