// Packed binary 2-D convolution for inference: with what follows it up to the next sign, in one dispatch.
//   v[n,p,q,o] = S(o, sum) + residual[n,p,q,o],     sum the exact integer of binary_conv2d.wgsl
//   y = max(v, 0) where `relu` is 1, else v;        words: bit o of a pixel = y + t[o] < 0, or > 0 where `pack` is 2
// FIXED false: floats, S = scale[o] * sum + shift[o]. FIXED true: i32 fixed point, exact on every device,
// S = fixed_scale(sum, mul[o], s[o]) + add[o]; C*KH*KW <= 2^16 then. Numbers travel as bits of u32, so that one kernel does both.
//
// x, w: as in binary_conv2d.wgsl. affine: 4 planes of Op: scale | mul, unused | s, shift | add, t. residual, y: (N, P, Q, Op)
// read as vec4; used where `residual` and `map` are 1. y_words: (N, P, Q, ceil(O / 32)), written where `pack` is not 0.
//
// One invocation keeps 8 pixels x 8 channels; four neighbours make the words of 32 channels.
//
// Grid: x = ceil(ceil(N*P*Q / 8) / (WG / 4)), y = ceil(O / 32), z = 1.

override WG: u32 = 64u;
/// As in binary_conv2d.wgsl.
override MODE: u32 = 0u;
/// Whether Wd is a multiple of 4.
override WORDS4: bool = false;
override FIXED: bool = false;

@group(0) @binding(0) var<uniform> dims: ConvDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> w: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> affine: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> residual: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> y_words: array<u32>;

/// The 8 bits of each invocation's 8 pixels.
var<workgroup> eights: array<u32, WG * 8u>;

/// Four ones and zeros as the low bits of a word.
fn nibble(ones: vec4<bool>) -> u32 {
    let bits = select(vec4<u32>(), vec4<u32>(1u, 2u, 4u, 8u), ones);
    return bits.x | bits.y | bits.z | bits.w;
}

/// Stores four channels of a pixel and gives their bits. Channels past O give 0 bits.
fn finish(row: u32, col: u32, o4: u32, weightless: u32, d: vec4<u32>) -> u32 {
    if (row >= dims.n * dims.p * dims.q || col >= o4) {
        return 0u;
    }
    let sum = binary_sum(weightless, d);
    let at = row * o4 + col;
    var below = vec4<bool>();
    var above = vec4<bool>();
    if (FIXED) {
        var v = fixed_scale_small(sum, bitcast<vec4<i32>>(affine[col]), bitcast<vec4<i32>>(affine[o4 + col]));
        v += bitcast<vec4<i32>>(affine[2u * o4 + col]);
        if (dims.residual == 1u) {
            v += bitcast<vec4<i32>>(residual[at]);
        }
        v = select(v, max(v, vec4<i32>()), dims.relu == 1u);
        if (dims.map == 1u) {
            y[at] = bitcast<vec4<u32>>(v);
        }
        let t = v + bitcast<vec4<i32>>(affine[3u * o4 + col]);
        below = t < vec4<i32>();
        above = t > vec4<i32>();
    } else {
        var v = bitcast<vec4<f32>>(affine[col]) * vec4<f32>(sum) + bitcast<vec4<f32>>(affine[2u * o4 + col]);
        if (dims.residual == 1u) {
            v += bitcast<vec4<f32>>(residual[at]);
        }
        v = select(v, max(v, vec4<f32>()), dims.relu == 1u);
        if (dims.map == 1u) {
            y[at] = bitcast<vec4<u32>>(v);
        }
        let t = v + bitcast<vec4<f32>>(affine[3u * o4 + col]);
        below = t < vec4<f32>();
        above = t > vec4<f32>();
    }
    return nibble(select(below, above, dims.pack == 2u));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let o4 = (dims.o + 3u) / 4u;
    let row = (group.x * (WG / 4u) + lane.x / 4u) * 8u;
    let col = (group.y * 4u + lane.x % 4u) * 2u;
    if (row < dims.n * dims.p * dims.q && col < o4) {
        let d = binary_counts(row, col, o4);
        // A loop, not sixteen copies of `finish`: drivers compile the kernel in a fraction of the time.
        var counts = array<vec4<u32>, 16>(
            d.a0, d.b0, d.a1, d.b1, d.a2, d.b2, d.a3, d.b3, d.a4, d.b4, d.a5, d.b5, d.a6, d.b6, d.a7, d.b7);
        var weightless = array<u32, 8>(d.k0, d.k1, d.k2, d.k3, d.k4, d.k5, d.k6, d.k7);
        var low = 0u;
        for (var i = 0u; i < 16u; i += 1u) {
            let bits = finish(row + i / 2u, col + i % 2u, o4, weightless[i / 2u], counts[i]);
            if (i % 2u == 0u) {
                low = bits;
            } else {
                eights[lane.x * 8u + i / 2u] = low | (bits << 4u);
            }
        }
    } else {
        for (var i = 0u; i < 8u; i += 1u) {
            eights[lane.x * 8u + i] = 0u;
        }
    }
    workgroupBarrier();
    // Of the 8 pixels of four neighbours, each takes two.
    let first = lane.x / 4u * 4u;
    let words = (dims.o + 31u) / 32u;
    let valid = 0xffffffffu >> (32u - min(dims.o - group.y * 32u, 32u));
    for (var i = lane.x % 4u * 2u; i < lane.x % 4u * 2u + 2u; i += 1u) {
        let word = eights[first * 8u + i] | (eights[first * 8u + 8u + i] << 8u) | (eights[first * 8u + 16u + i] << 16u)
            | (eights[first * 8u + 24u + i] << 24u);
        if (dims.pack != 0u && row + i < dims.n * dims.p * dims.q) {
            y_words[(row + i) * words + group.y] = word & valid;
        }
    }
}
