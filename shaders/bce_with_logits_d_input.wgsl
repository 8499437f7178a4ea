// Binary cross-entropy of logits, backward.  d_x (+)= scale[index] factor (sigmoid(x) - t), factor = 1 / values; pad
// lanes get 0.
struct BceWithLogitsDims {
    images: u32, first: u32, pixels: u32, channels: u32, pitch: u32, block: u32, blocks: u32,
    index: u32, factor: f32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: BceWithLogitsDims;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;
@group(0) @binding(3) var<storage, read> scale: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_x: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.images * dims.pixels * dims.pitch { return; }
    var d = 0.0;
    if i % dims.pitch < dims.channels {
        let e = exp(-abs(logits[i]));
        d = scale[dims.index] * dims.factor * (select(e, 1.0, logits[i] >= 0.0) / (1.0 + e) - targets[i]);
    }
    if dims.accumulate == 1u { d += d_x[i]; }
    d_x[i] = d;
}
