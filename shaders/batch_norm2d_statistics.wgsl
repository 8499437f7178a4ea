// Batch normalisation, statistics of the batch from those of its blocks (batch_norm2d_partial), a workgroup a channel
// vector:  stats plane 0 = mean, plane 1 = biased variance.  Rows are joined in an order that depends on their number
// alone: lane l takes rows l, l + 64, ..., then lanes are joined in halves.
struct BatchNorm2dDims {
    images: u32, first: u32, pixels: u32, vectors: u32, block: u32, blocks: u32, rows: u32,
    count: f32, eps: f32, momentum: f32, residual: u32, frozen: u32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: BatchNorm2dDims;
@group(0) @binding(1) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> stats: array<vec4<f32>>;

struct Moments { count: f32, mean: vec4<f32>, m2: vec4<f32> }
var<workgroup> lanes: array<Moments, 64>;

// The moments of two sets together (Chan, Golub and LeVeque 1983).
fn joined(a: Moments, b: Moments) -> Moments {
    let total = a.count + b.count;
    let share = b.count / max(total, 1.0);
    let away = b.mean - a.mean;
    return Moments(total, a.mean + away * share, a.m2 + b.m2 + away * away * (a.count * share));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let v = flat_group(wid, groups);
    var m = Moments(0.0, vec4<f32>(0.0), vec4<f32>(0.0));
    if v < dims.vectors {
        for (var row = lane; row < dims.rows; row += 64u) {
            let n = min(dims.block, dims.pixels - (row % dims.blocks) * dims.block);
            let at = row * 2u * dims.vectors + v;
            m = joined(m, Moments(f32(n), partials[at], partials[at + dims.vectors]));
        }
    }
    lanes[lane] = m;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half >>= 1u) {
        if lane < half { lanes[lane] = joined(lanes[lane], lanes[lane + half]); }
        workgroupBarrier();
    }
    if lane == 0u && v < dims.vectors {
        stats[v] = lanes[0].mean;
        stats[dims.vectors + v] = lanes[0].m2 / dims.count;
    }
}
