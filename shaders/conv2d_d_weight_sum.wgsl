// The last step of a weight gradient that was computed in splits.
//   d_w[i] += part[0,i] + part[1,i] + ... + part[splits-1,i],  added in this order
//
// part: (splits, len) f32, d_w: (len) f32, read as vec4; len4 = KH*KW*Cp*Op / 4 vectors.
//
// Grid: x = min(ceil(len4 / WG), 65535), y = ceil(ceil(len4 / WG) / x), z = 1.

override WG: u32 = 64u;

struct Conv2dDWeightSumDims {
    len4: u32,
    splits: u32,
}

@group(0) @binding(0) var<uniform> dims: Conv2dDWeightSumDims;
@group(0) @binding(1) var<storage, read> part: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> d_w: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.y * groups.x * WG + id.x;
    if (i >= dims.len4) {
        return;
    }
    var sum = d_w[i];
    var s = 0u;
    loop {
        sum += part[s * dims.len4 + i];
        continuing {
            s += 1u;
            break if s >= dims.splits;
        }
    }
    d_w[i] = sum;
}
