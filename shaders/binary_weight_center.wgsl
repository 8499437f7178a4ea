// Latent weights as XNOR-Net makes them before every forward pass, in place: each tap of a filter centred over its input
// channels, then clamped.
//   w[kh,kw,c,o] = clamp(w[kh,kw,c,o] - (1/C) * sum over c' of w[kh,kw,c',o], -1, 1)
//
// w: (KH, KW, Cp, Op) f32 read as vec4; Cp and Op are C and O rounded up to a multiple of 4, the lanes between hold 0 and
// stay 0.
//
// One workgroup makes one tap of four output channels; the sum is added as a tree, in a fixed order that depends on WG
// alone. WG is a power of two.
//
// Grid: x = ceil(Op / 4), y = KH * KW, z = 1.

override WG: u32 = 64u;

@group(0) @binding(0) var<uniform> dims: BinaryWeightDims;
@group(0) @binding(1) var<storage, read_write> w: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let o4 = (dims.o + 3u) / 4u;
    let first = group.y * ((dims.c + 3u) / 4u * 4u) * o4 + group.x;

    var sum = vec4<f32>();
    for (var k = lane.x; k < dims.c; k += WG) {
        sum += w[first + k * o4];
    }
    let whole = filter_sum(lane.x, sum);
    let mean = whole / f32(dims.c);
    for (var k = lane.x; k < dims.c; k += WG) {
        w[first + k * o4] = clamp(w[first + k * o4] - mean, vec4<f32>(-1.0), vec4<f32>(1.0));
    }
}
