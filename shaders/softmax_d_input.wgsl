// Softmax over channels, backward, a row an invocation.  d_x (+)= y (d_y - sum d_y y).
struct SoftmaxDims { rows: u32, channels: u32, pitch: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: SoftmaxDims;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> d_y: array<f32>;
@group(0) @binding(3) var<storage, read_write> d_x: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = flat_index(gid, groups, 64u);
    if row >= dims.rows { return; }
    let begin = row * dims.pitch;
    let end = begin + dims.channels;
    var sum = 0.0;
    for (var i = begin; i < end; i += 1u) { sum += d_y[i] * y[i]; }
    for (var i = begin; i < end; i += 1u) {
        var d = y[i] * (d_y[i] - sum);
        if dims.accumulate == 1u { d += d_x[i]; }
        d_x[i] = d;
    }
    if dims.accumulate == 0u {
        for (var i = end; i < begin + dims.pitch; i += 1u) { d_x[i] = 0.0; }
    }
}
