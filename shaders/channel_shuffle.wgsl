// Channel shuffle, forward: the channels as a matrix of `groups` rows, transposed.
//   y[k groups + g] = x[g channels/groups + k]
struct ChannelShuffleDims { vectors: u32, pixel_vectors: u32, channels: u32, groups: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: ChannelShuffleDims;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.vectors { return; }
    let begin = i / dims.pixel_vectors * dims.pixel_vectors * 4u;
    let members = dims.channels / dims.groups;
    var v = vec4<f32>(0.0);
    for (var lane = 0u; lane < 4u; lane += 1u) {
        let c = (i % dims.pixel_vectors) * 4u + lane;
        if c < dims.channels { v[lane] = x[begin + c % dims.groups * members + c / dims.groups]; }
    }
    y[i] = v;
}
