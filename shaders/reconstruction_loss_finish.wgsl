// Difference of two maps, the whole batch, one workgroup.
// differences[n] = each * the sum of image n's blocks: mean |g - x| and mean (g - x)^2 (each = 1 / values of an image).
// loss = factor * the sum over images of the blocks' absolute (or, where `square` is 1, squared) sums.  The order of
// the sums depends on the numbers of images and blocks alone.
struct ReconstructionDims {
    images: u32, first: u32, vectors: u32, block: u32, blocks: u32, square: u32, index: u32,
    each: f32, factor: f32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: ReconstructionDims;
@group(0) @binding(1) var<storage, read> partials: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> differences: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var n = lane; n < dims.images; n += 64u) {
        var own = vec2<f32>(0.0);
        for (var k = n * dims.blocks; k < (n + 1u) * dims.blocks; k += 1u) { own += partials[k]; }
        differences[n] = dims.each * own;
        sum += select(own.x, own.y, dims.square == 1u);
    }
    let whole = lane_sum(lane, vec4<f32>(sum, 0.0, 0.0, 0.0)).x;
    if lane == 0u { loss[0] = dims.factor * whole; }
}
