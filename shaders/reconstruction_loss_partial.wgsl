// Difference of two maps, forward: (sum |g - x|, sum (g - x)^2) over one block of an image's values, a workgroup a
// block, into partials[(first + image) * blocks + block].  Pad lanes are 0 in both maps and add nothing.
struct ReconstructionDims {
    images: u32, first: u32, vectors: u32, block: u32, blocks: u32, square: u32, index: u32,
    each: f32, factor: f32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: ReconstructionDims;
@group(0) @binding(1) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> partials: array<vec2<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = flat_group(wid, groups);
    var sum = vec2<f32>(0.0);
    if row < dims.images * dims.blocks {
        let begin = (row % dims.blocks) * dims.block;
        let end = min(begin + dims.block, dims.vectors);
        let image = row / dims.blocks * dims.vectors;
        for (var i = begin + lane; i < end; i += 64u) {
            let d = g[image + i] - x[image + i];
            sum += vec2<f32>(dot(abs(d), vec4<f32>(1.0)), dot(d, d));
        }
    }
    let whole = lane_sum(lane, vec4<f32>(sum, 0.0, 0.0)).xy;
    if lane == 0u && row < dims.images * dims.blocks { partials[dims.first * dims.blocks + row] = whole; }
}
