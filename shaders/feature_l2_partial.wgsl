// Mean square of feature maps, forward: factor sum f^2 over one block of an image's values, a workgroup a block, into
// partials[offset + (first + image) * blocks + block]. factor is 1 / values of an image, so that maps of any size add
// up.
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
        for (var i = begin + lane; i < end; i += 64u) { sum += dot(f[image + i], f[image + i]); }
    }
    let whole = lane_sum(lane, vec4<f32>(sum, 0.0, 0.0, 0.0)).x;
    if lane == 0u && row < dims.images * dims.blocks {
        partials[dims.offset + dims.first * dims.blocks + row] = dims.factor * whole;
    }
}
