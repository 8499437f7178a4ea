// Batch normalisation, statistics of one block of an image's pixels, a channel vector an invocation:
//   mean_b = 1/n_b sum x,   M2_b = sum (x - mean_b)^2
// into row (first + image) * blocks + block of partials [rows][mean, M2][vectors]. Four pixels at a time are reduced
// by themselves and joined to what came before (Chan, Golub and LeVeque 1983), so that x is read once and nothing
// cancels when the mean is large.
struct BatchNorm2dDims {
    images: u32, first: u32, pixels: u32, vectors: u32, block: u32, blocks: u32, rows: u32,
    count: f32, eps: f32, momentum: f32, residual: u32, frozen: u32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: BatchNorm2dDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    let v = i % dims.vectors;
    let row = i / dims.vectors;
    if row >= dims.images * dims.blocks { return; }
    let begin = (row % dims.blocks) * dims.block;
    let end = min(begin + dims.block, dims.pixels);
    let step = dims.vectors;
    var at = ((row / dims.blocks) * dims.pixels + begin) * step + v;
    var count = 0.0;
    var mean = vec4<f32>(0.0);
    var m2 = vec4<f32>(0.0);
    var p = begin;
    for (; p + 4u <= end; p += 4u) {
        let a = x[at];
        let b = x[at + step];
        let c = x[at + 2u * step];
        let d = x[at + 3u * step];
        let m = 0.25 * ((a + b) + (c + d));
        let squares = ((a - m) * (a - m) + (b - m) * (b - m)) + ((c - m) * (c - m) + (d - m) * (d - m));
        let share = 4.0 / (count + 4.0);
        let away = m - mean;
        mean += away * share;
        m2 += squares + away * away * (count * share);
        count += 4.0;
        at += 4u * step;
    }
    for (; p < end; p += 1u) {
        let share = 1.0 / (count + 1.0);
        let away = x[at] - mean;
        mean += away * share;
        m2 += away * away * (count * share);
        count += 1.0;
        at += step;
    }
    let to = (dims.first * dims.blocks + row) * 2u * step + v;
    partials[to] = mean;
    partials[to + step] = m2;
}
