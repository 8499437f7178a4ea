// Batch normalisation, running statistics, in place, where the gate is open:
//   running = (1 - momentum) running + momentum (mean, variance n / (n - 1)),   n = N H W; one value has no factor.
struct BatchNorm2dDims {
    images: u32, first: u32, pixels: u32, vectors: u32, block: u32, blocks: u32, rows: u32,
    count: f32, eps: f32, momentum: f32, residual: u32, frozen: u32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: BatchNorm2dDims;
@group(0) @binding(1) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gate: array<u32>;
@group(0) @binding(3) var<storage, read_write> running: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let v = flat_index(gid, groups, 64u);
    if v >= dims.vectors || gate[0] == 0u { return; }
    let w = v + dims.vectors;
    let unbiased = dims.count / max(dims.count - 1.0, 1.0);
    running[v] = (1.0 - dims.momentum) * running[v] + dims.momentum * stats[v];
    running[w] = (1.0 - dims.momentum) * running[w] + dims.momentum * unbiased * stats[w];
}
