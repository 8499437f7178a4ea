// Divergence of sign bits from fair coins, forward: factor sum KL(u) over one block of an image's values, a workgroup a
// block, into partials[offset + (first + image) * blocks + block].
//   KL = q log q + (1 - q) log(1 - q) + log 2 = ((1 + u) log(1 + u) + (1 - u) log(1 - u)) / 2,   q = (1 + u) / 2
// u is f or, where `bounded`, tanh f, clipped to 1 - 2e-4 on both sides. It is 0 at 0, so the pad lanes add nothing.
@group(0) @binding(0) var<uniform> dims: FeatureL2Dims;
@group(0) @binding(1) var<storage, read> f: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = flat_group(wid, groups);
    var sum = 0.0;
    if row < dims.images * dims.blocks {
        let begin = (row % dims.blocks) * dims.block;
        let end = min(begin + dims.block, dims.vectors);
        let image = row / dims.blocks * dims.vectors;
        for (var i = begin + lane; i < end; i += 64u) {
            let u = clamp(
                bernoulli_mean(f[image + i], dims.bounded),
                vec4<f32>(-BERNOULLI_LIMIT),
                vec4<f32>(BERNOULLI_LIMIT),
            );
            sum += 0.5 * (dot(1.0 + u, log(1.0 + u)) + dot(1.0 - u, log(1.0 - u)));
        }
    }
    let whole = lane_sum(lane, vec4<f32>(sum, 0.0, 0.0, 0.0)).x;
    if lane == 0u && row < dims.images * dims.blocks {
        partials[dims.offset + dims.first * dims.blocks + row] = dims.factor * whole;
    }
}
