// Softmax cross-entropy of every prior, one invocation a row of K logits.
// ce[row] = log sum_k exp(x_k - max x) + max x - x_target, never below 0; target 0 is background.
struct MultiboxDims { images: u32, priors: u32, classes: u32, first: u32, ratio: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: MultiboxDims;
@group(0) @binding(1) var<storage, read> conf: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read_write> ce: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = flat_index(gid, groups, 64u);
    if row >= dims.images * dims.priors { return; }
    let at = row * dims.classes;
    var top = conf[at];
    for (var k = 1u; k < dims.classes; k++) { top = max(top, conf[at + k]); }
    var sum = 0.0;
    for (var k = 0u; k < dims.classes; k++) { sum += exp(conf[at + k] - top); }
    let target_class = min(u32(max(targets[row], 0)), dims.classes - 1u);
    ce[row] = max(log(sum) + (top - conf[at + target_class]), 0.0);
}
