// Gradient of the confidence loss, one invocation a row of K logits:
// d_x_k (+)= (softmax(x)_k - [k = target]) / positives for positives and chosen negatives, else 0.
struct MultiboxDims { images: u32, priors: u32, classes: u32, first: u32, ratio: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: MultiboxDims;
@group(0) @binding(1) var<storage, read> conf: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read> ce: array<f32>;
@group(0) @binding(4) var<storage, read> selection: array<u32>;
@group(0) @binding(5) var<storage, read> totals: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_conf: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = flat_index(gid, groups, 64u);
    if row >= dims.images * dims.priors { return; }
    let at = row * dims.classes;
    let image = 5u * (dims.first + row / dims.priors);
    let i = row % dims.priors;
    let key = bitcast<u32>(ce[row]) + 1u;
    let last = selection[image + 2u];
    let limit = selection[image + 1u];
    let counts = targets[row] > 0 || key > limit || (key == limit && i <= last);
    if !counts {
        if dims.accumulate == 0u {
            for (var k = 0u; k < dims.classes; k++) { d_conf[at + k] = 0.0; }
        }
        return;
    }
    var top = conf[at];
    for (var k = 1u; k < dims.classes; k++) { top = max(top, conf[at + k]); }
    var sum = 0.0;
    for (var k = 0u; k < dims.classes; k++) { sum += exp(conf[at + k] - top); }
    let target_class = min(u32(max(targets[row], 0)), dims.classes - 1u);
    for (var k = 0u; k < dims.classes; k++) {
        var g = (exp(conf[at + k] - top) / sum - select(0.0, 1.0, k == target_class)) * totals[0];
        if dims.accumulate == 1u { g += d_conf[at + k]; }
        d_conf[at + k] = g;
    }
}
