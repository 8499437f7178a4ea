// Softmax cross-entropy of every prior, one invocation a row of K logits.
// ce[row] = log sum_k exp(x_k - max x) + max x - x_target, never below 0; target 0 is background.  Infinity where a logit
// is infinite or not a number: max() would turn that into 0.  Logits are looked at as bits, since shaders may assume that
// floats are finite; without the sign, the bits of those that are not are the largest.
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
    var largest = 0u;
    for (var k = 0u; k < dims.classes; k++) {
        let x = conf[at + k];
        top = max(top, x);
        largest = max(largest, bitcast<u32>(x) & 0x7fffffffu);
    }
    var sum = 0.0;
    for (var k = 0u; k < dims.classes; k++) { sum += exp(conf[at + k] - top); }
    let target_class = min(u32(max(targets[row], 0)), dims.classes - 1u);
    let value = bitcast<u32>(max(log(sum) + (top - conf[at + target_class]), 0.0));
    ce[row] = bitcast<f32>(select(value, 0x7f800000u, largest >= 0x7f800000u));
}
