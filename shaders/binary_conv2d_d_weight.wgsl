// Packed binary 2-D convolution, gradient to the (binary) weights.
//   d_w[kh,kw,c,o] += sum over n, p, q of
//                     b(x)[n, p*stride_h - pad_h + kh*dil_h, q*stride_w - pad_w + kw*dil_w, c] * d_y[n,p,q,o]
// b(x) is -1 where the bit of x is 1 and +1 where it is 0; in MODES 2 and 3 it is the bit itself.
// The factor alpha and the rule of the latent weights come after (binary_weight_d_latent).
//
// x: (N, H, W, Wd) u32 words, Wd = ceil(C / 32), bit i of word j = channel 32*j + i.
// d_y: (N, P, Q, Op) f32, d_w: (KH, KW, Cp, Op) f32, read as vec4; Cp and Op are C and O rounded up to a multiple of 4.
//
// The sum over pixels runs in a fixed order and starts from what d_w holds, so that dispatches over successive slices
// of the batch give the bits of one dispatch. For more parallelism the rows p are dealt to `splits` partial sums: split
// s takes the rows p = s, s + splits, ... of every image, and d_w is then the buffer (splits, KH, KW, Cp, Op) of
// partial sums that conv2d_d_weight_sum adds up. splits = 1 writes the gradient itself. 1 <= splits <= P.
//
// One invocation keeps one word of input channels (32) x 4 output channels of one tap in registers and reads one word
// and one vec4 a pixel for 128 multiply-adds. Multiplying by a sign is an exclusive or with the float's sign bit,
// multiplying by 0 or 1 an `and` with a mask.
//
// Grid: x = ceil(KH * KW * Wd * ceil(Op / 4) / WG), y = 1, z = splits.

override WG: u32 = 64u;
/// What a bit of x means, and what a tap outside the map reads:
/// 0: signs, outside is -1; 1: signs, outside is 0; 2: values {0, 1} (a set bit is 1), outside is 0; 3: the same, outside is -1.
override MODE: u32 = 0u;

@group(0) @binding(0) var<uniform> dims: ConvDims;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> d_y: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> d_w: array<vec4<f32>>;

/// g times the value of the bit that `bits << shift` has on top.
fn times(g: vec4<u32>, bits: u32, shift: u32) -> vec4<f32> {
    let top = bits << shift;
    if (MODE >= 2u) {
        return bitcast<vec4<f32>>(g & vec4<u32>(bitcast<u32>(bitcast<i32>(top) >> 31u)));
    }
    return bitcast<vec4<f32>>(g ^ vec4<u32>(top & 0x80000000u));
}

/// Four output channels of one input channel; `at` is the row of channel 0 in d_w. Past channel C nothing is stored.
fn store(at: u32, channel: u32, col: u32, value: vec4<f32>) {
    if (channel < dims.c) {
        d_w[(at + channel) * ((dims.o + 3u) / 4u) + col] = value;
    }
}

fn load(at: u32, channel: u32, col: u32) -> vec4<f32> {
    return d_w[(at + min(channel, dims.c - 1u)) * ((dims.o + 3u) / 4u) + col];
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let words = (dims.c + 31u) / 32u;
    let cp = (dims.c + 3u) / 4u * 4u;
    let o4 = (dims.o + 3u) / 4u;
    let block = group.x * WG + lane.x;
    let tap = block / (words * o4);
    if (tap >= dims.kh * dims.kw) {
        return;
    }
    let kh = tap / dims.kw;
    let kw = tap % dims.kw;
    let word = block / o4 % words;
    let col = block % o4;
    let split = group.z;
    let first = (split * dims.kh * dims.kw + tap) * cp;
    let c = word * 32u;

    var s0 = load(first, c + 0u, col);
    var s1 = load(first, c + 1u, col);
    var s2 = load(first, c + 2u, col);
    var s3 = load(first, c + 3u, col);
    var s4 = load(first, c + 4u, col);
    var s5 = load(first, c + 5u, col);
    var s6 = load(first, c + 6u, col);
    var s7 = load(first, c + 7u, col);
    var s8 = load(first, c + 8u, col);
    var s9 = load(first, c + 9u, col);
    var s10 = load(first, c + 10u, col);
    var s11 = load(first, c + 11u, col);
    var s12 = load(first, c + 12u, col);
    var s13 = load(first, c + 13u, col);
    var s14 = load(first, c + 14u, col);
    var s15 = load(first, c + 15u, col);
    var s16 = load(first, c + 16u, col);
    var s17 = load(first, c + 17u, col);
    var s18 = load(first, c + 18u, col);
    var s19 = load(first, c + 19u, col);
    var s20 = load(first, c + 20u, col);
    var s21 = load(first, c + 21u, col);
    var s22 = load(first, c + 22u, col);
    var s23 = load(first, c + 23u, col);
    var s24 = load(first, c + 24u, col);
    var s25 = load(first, c + 25u, col);
    var s26 = load(first, c + 26u, col);
    var s27 = load(first, c + 27u, col);
    var s28 = load(first, c + 28u, col);
    var s29 = load(first, c + 29u, col);
    var s30 = load(first, c + 30u, col);
    var s31 = load(first, c + 31u, col);

    // Unsigned arithmetic wraps, so that a coordinate below 0 is past the end too.
    let first_row = kh * dims.dil_h - dims.pad_h;
    let first_col = kw * dims.dil_w - dims.pad_w;
    let stride_w = dims.stride_w;
    let width = dims.w;
    let cols = dims.q;
    var n = 0u;
    loop {
        var p = split;
        loop {
            let row = first_row + p * dims.stride_h;
            let row_inside = row < dims.h;
            let row_at = (n * dims.h + select(0u, row, row_inside)) * width;
            var at = (n * dims.p + p) * cols * o4;
            var col_x = first_col;
            var q = 0u;
            loop {
                let inside = row_inside && col_x < width;
                let pixel = select(0u, row_at + col_x, inside);
                var bits = x[pixel * words + word];
                var g = bitcast<vec4<u32>>(d_y[at + col]);
                if (MODE == 0u || MODE == 3u) {
                    bits = select(0xffffffffu, bits, inside);
                } else {
                    g = select(vec4<u32>(), g, inside);
                }
                if (MODE == 3u) {
                    g = select(g ^ vec4<u32>(0x80000000u), g, inside);
                }
                s0 += times(g, bits, 31u);
                s1 += times(g, bits, 30u);
                s2 += times(g, bits, 29u);
                s3 += times(g, bits, 28u);
                s4 += times(g, bits, 27u);
                s5 += times(g, bits, 26u);
                s6 += times(g, bits, 25u);
                s7 += times(g, bits, 24u);
                s8 += times(g, bits, 23u);
                s9 += times(g, bits, 22u);
                s10 += times(g, bits, 21u);
                s11 += times(g, bits, 20u);
                s12 += times(g, bits, 19u);
                s13 += times(g, bits, 18u);
                s14 += times(g, bits, 17u);
                s15 += times(g, bits, 16u);
                s16 += times(g, bits, 15u);
                s17 += times(g, bits, 14u);
                s18 += times(g, bits, 13u);
                s19 += times(g, bits, 12u);
                s20 += times(g, bits, 11u);
                s21 += times(g, bits, 10u);
                s22 += times(g, bits, 9u);
                s23 += times(g, bits, 8u);
                s24 += times(g, bits, 7u);
                s25 += times(g, bits, 6u);
                s26 += times(g, bits, 5u);
                s27 += times(g, bits, 4u);
                s28 += times(g, bits, 3u);
                s29 += times(g, bits, 2u);
                s30 += times(g, bits, 1u);
                s31 += times(g, bits, 0u);
                continuing {
                    at += o4;
                    col_x += stride_w;
                    q += 1u;
                    break if q >= cols;
                }
            }
            continuing {
                p += dims.splits;
                break if p >= dims.p;
            }
        }
        continuing {
            n += 1u;
            break if n >= dims.n;
        }
    }

    store(first, c + 0u, col, s0);
    store(first, c + 1u, col, s1);
    store(first, c + 2u, col, s2);
    store(first, c + 3u, col, s3);
    store(first, c + 4u, col, s4);
    store(first, c + 5u, col, s5);
    store(first, c + 6u, col, s6);
    store(first, c + 7u, col, s7);
    store(first, c + 8u, col, s8);
    store(first, c + 9u, col, s9);
    store(first, c + 10u, col, s10);
    store(first, c + 11u, col, s11);
    store(first, c + 12u, col, s12);
    store(first, c + 13u, col, s13);
    store(first, c + 14u, col, s14);
    store(first, c + 15u, col, s15);
    store(first, c + 16u, col, s16);
    store(first, c + 17u, col, s17);
    store(first, c + 18u, col, s18);
    store(first, c + 19u, col, s19);
    store(first, c + 20u, col, s20);
    store(first, c + 21u, col, s21);
    store(first, c + 22u, col, s22);
    store(first, c + 23u, col, s23);
    store(first, c + 24u, col, s24);
    store(first, c + 25u, col, s25);
    store(first, c + 26u, col, s26);
    store(first, c + 27u, col, s27);
    store(first, c + 28u, col, s28);
    store(first, c + 29u, col, s29);
    store(first, c + 30u, col, s30);
    store(first, c + 31u, col, s31);
}
