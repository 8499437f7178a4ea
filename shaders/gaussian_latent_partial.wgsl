// Divergence of a latent map from standard normal values, forward: sum of (mean^2 + exp(v) - 1 - v) / 2 over one block
// of an image's latent values, an invocation a block, into partials[(first + image) * blocks + block].  v is the
// log-variance, clamped.
struct GaussianLatentDims {
    images: u32, first: u32, pixels: u32, channels: u32, pitch: u32, raw_pitch: u32, seed: u32, step: u32,
    sampled: u32, block: u32, blocks: u32, weight: f32, upstream: u32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: GaussianLatentDims;
@group(0) @binding(1) var<storage, read> raw: array<f32>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

const LIMIT = 10.0;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = flat_index(gid, groups, 64u);
    if row >= dims.images * dims.blocks { return; }
    let begin = (row % dims.blocks) * dims.block;
    let end = min(begin + dims.block, dims.pixels * dims.channels);
    let image = row / dims.blocks * dims.pixels;
    var sum = 0.0;
    for (var i = begin; i < end; i += 1u) {
        let at = (image + i / dims.channels) * dims.raw_pitch + i % dims.channels;
        let mean = raw[at];
        let v = clamp(raw[at + dims.channels], -LIMIT, LIMIT);
        sum += 0.5 * (mean * mean + (exp(v) - 1.0 - v));
    }
    partials[dims.first * dims.blocks + row] = sum;
}
