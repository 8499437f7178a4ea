// How fast the device counts bits at best: what a packed convolution does in its innermost loop, without its loads.
//   y[i][l] = sum over r < 8 rounds, j < 2 of countOneBits((x[i][l] + j) ^ w_r),   w_r = 2654435769 r mod 2^32
// x, y: `vectors` vec4<u32>. One invocation makes one vector, 2048 multiply-adds on bits a round, in eight independent sums: so
// few that they stay in sixteen registers, eight times written out so that the loop itself takes little.
struct PeakRateDims { vectors: u32, rounds: u32 }
@group(0) @binding(0) var<uniform> dims: PeakRateDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.vectors { return; }
    let x0 = x[i];
    let x1 = x0 + 1u;
    var s0 = vec4<u32>();
    var s1 = vec4<u32>();
    var w = 0u;
    var r = 0u;
    loop {
        s0 += countOneBits(x0 ^ vec4<u32>(w));
        s1 += countOneBits(x1 ^ vec4<u32>(w));
        w += 2654435769u;
        s0 += countOneBits(x0 ^ vec4<u32>(w));
        s1 += countOneBits(x1 ^ vec4<u32>(w));
        w += 2654435769u;
        s0 += countOneBits(x0 ^ vec4<u32>(w));
        s1 += countOneBits(x1 ^ vec4<u32>(w));
        w += 2654435769u;
        s0 += countOneBits(x0 ^ vec4<u32>(w));
        s1 += countOneBits(x1 ^ vec4<u32>(w));
        w += 2654435769u;
        s0 += countOneBits(x0 ^ vec4<u32>(w));
        s1 += countOneBits(x1 ^ vec4<u32>(w));
        w += 2654435769u;
        s0 += countOneBits(x0 ^ vec4<u32>(w));
        s1 += countOneBits(x1 ^ vec4<u32>(w));
        w += 2654435769u;
        s0 += countOneBits(x0 ^ vec4<u32>(w));
        s1 += countOneBits(x1 ^ vec4<u32>(w));
        w += 2654435769u;
        s0 += countOneBits(x0 ^ vec4<u32>(w));
        s1 += countOneBits(x1 ^ vec4<u32>(w));
        w += 2654435769u;
        continuing {
            r += 1u;
            break if r >= dims.rounds;
        }
    }
    y[i] = s0 + s1;
}
