// Latent weights to what a binary convolution reads.
//   bit[kh,kw,c,o] = 1 where w < 0 (0 counts as +1),   alpha[o] = mean over kh, kw, c of |w[kh,kw,c,o]|
//
// With `rule` 0, alpha is 1.
//
// w: (KH, KW, Cp, Op) f32 read as vec4; Cp and Op are C and O rounded up to a multiple of 4, the lanes between hold 0.
// words: (KH, KW, Wd, Op) u32 read as vec4, Wd = ceil(C / 32), bit i of word j = channel 32*j + i; alpha: (Op) f32.
//
// One workgroup makes four output channels: every invocation packs words WG apart and sums their |w|; the sums are
// added as a tree, in a fixed order that depends on WG alone. WG is a power of two.
//
// Grid: x = ceil(Op / 4), y = z = 1.

override WG: u32 = 64u;

@group(0) @binding(0) var<uniform> dims: BinaryWeightDims;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> words: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> alpha: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let c4 = (dims.c + 3u) / 4u;
    let o4 = (dims.o + 3u) / 4u;
    let wd = (dims.c + 31u) / 32u;
    let col = group.x;

    var sum = vec4<f32>();
    for (var i = lane.x; i < dims.kh * dims.kw * wd; i += WG) {
        let first = i % wd * 32u;
        let count = min(c4 * 4u - first, 32u);
        let at = (i / wd * c4 * 4u + first) * o4 + col;
        var bits = vec4<u32>();
        for (var k = 0u; k < count; k++) {
            let v = w[at + k * o4];
            sum += abs(v);
            bits |= select(vec4<u32>(), vec4<u32>(1u), v < vec4<f32>()) << vec4<u32>(k);
        }
        words[i * o4 + col] = bits;
    }

    let whole = filter_sum(lane.x, sum);
    if (lane.x == 0u) {
        let mean = whole / f32(dims.c * dims.kh * dims.kw);
        let channel = (vec4<u32>(col * 4u) + vec4<u32>(0u, 1u, 2u, 3u)) < vec4<u32>(dims.o);
        alpha[col] = select(select(vec4<f32>(), vec4<f32>(1.0), channel), mean, dims.rule != 0u);
    }
}
