// log sum_k exp(x_k) of every prior, one invocation a row of K logits.
struct SopDims {
    images: u32, priors: u32, classes: u32, first: u32, top_k: u32, capacity: u32, weight: u32,
    image_stride: u32, log_threshold: f32, overlap: f32, v0: f32, v1: f32,
}
@group(0) @binding(0) var<uniform> dims: SopDims;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> log_sum: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = flat_index(gid, groups, 64u);
    if row >= dims.images * dims.priors { return; }
    let at = row * dims.classes;
    var top = logits[at];
    for (var k = 1u; k < dims.classes; k++) { top = max(top, logits[at + k]); }
    var sum = 0.0;
    for (var k = 0u; k < dims.classes; k++) { sum += exp(logits[at + k] - top); }
    log_sum[row] = top + log(sum);
}
