// The losses of the whole batch: sums over images / number of positives in the batch, 0 where there are none.
// totals[0] = 1 / positives, or 0.  A loss is infinite where a sum is not finite, also where there are no positives.
struct MultiboxDims { images: u32, priors: u32, classes: u32, first: u32, ratio: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: MultiboxDims;
@group(0) @binding(1) var<storage, read> selection: array<u32>;
@group(0) @binding(2) var<storage, read_write> totals: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss_loc: array<f32>;
@group(0) @binding(4) var<storage, read_write> loss_conf: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
    if gid.x != 0u { return; }
    var positives = 0u;
    var sums = vec2<f32>(0.0);
    var largest = vec2<u32>(0u);
    for (var n = 0u; n < dims.images; n++) {
        positives += selection[5u * n];
        let bits = vec2<u32>(selection[5u * n + 3u], selection[5u * n + 4u]);
        largest = max(largest, bits & vec2<u32>(0x7fffffffu));
        sums += bitcast<vec2<f32>>(bits);
    }
    var each = 0.0;
    if positives > 0u { each = 1.0 / f32(positives); }
    totals[0] = each;
    // Sums of what is never below 0: the bits of those that overflow are infinity's.
    let losses = select(bitcast<vec2<u32>>(sums * each), vec2<u32>(0x7f800000u), largest >= vec2<u32>(0x7f800000u));
    loss_loc[0] = bitcast<f32>(losses.x);
    loss_conf[0] = bitcast<f32>(losses.y);
}
