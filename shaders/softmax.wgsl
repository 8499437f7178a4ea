// Softmax over channels, forward, a row (pixel or dense row) an invocation.  y = exp(x - max x) / sum exp(x - max x);
// pad lanes 0.
struct SoftmaxDims { rows: u32, channels: u32, pitch: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: SoftmaxDims;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = flat_index(gid, groups, 64u);
    if row >= dims.rows { return; }
    let begin = row * dims.pitch;
    let end = begin + dims.channels;
    var largest = x[begin];
    for (var i = begin + 1u; i < end; i += 1u) { largest = max(largest, x[i]); }
    var sum = 0.0;
    for (var i = begin; i < end; i += 1u) { sum += exp(x[i] - largest); }
    for (var i = begin; i < end; i += 1u) { y[i] = exp(x[i] - largest) / sum; }
    for (var i = end; i < begin + dims.pitch; i += 1u) { y[i] = 0.0; }
}
