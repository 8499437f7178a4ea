// A loss from its partial sums [maps][images][blocks], one workgroup.  loss = factor sum weight(image) partial, with
// weight 1 where `weighted` is 0. The order depends on the numbers of rows and blocks alone.
struct LossSumDims { rows: u32, images: u32, blocks: u32, weighted: u32, factor: f32 }
@group(0) @binding(0) var<uniform> dims: LossSumDims;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var row = lane; row < dims.rows; row += 64u) {
        var own = 0.0;
        for (var k = row * dims.blocks; k < (row + 1u) * dims.blocks; k += 1u) { own += partials[k]; }
        if dims.weighted == 1u { own *= weights[row % dims.images]; }
        sum += own;
    }
    let whole = lane_sum(lane, vec4<f32>(sum, 0.0, 0.0, 0.0)).x;
    if lane == 0u { loss[0] = dims.factor * whole; }
}
