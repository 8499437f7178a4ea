// Packed binary 2-D convolution, forward.
//   z[n,p,q,o] = alpha[o] * sum over kh, kw, c of
//                b(x)[n, p*stride_h - pad_h + kh*dil_h, q*stride_w - pad_w + kw*dil_w, c] * s[kh,kw,c,o]
// s is -1 where the bit of w is 1 and +1 where it is 0; b(x) is the same or, in MODES 2 and 3, the bit itself.
// In words, D being the sum over taps and words of popcounts and K = C*KH*KW:
//   MODE 0  signs, outside is -1:       sum = K - 2 D,                  D of popcount(x ^ w)
//   MODE 1  signs, outside is 0:        sum = C * (taps inside) - 2 D,  D of popcount((x ^ w) & inside)
//   MODE 2  values {0, 1}, outside 0:   sum = 2 D - popcount(x),        D of popcount((x ^ w) & x)
//   MODE 3  values {0, 1}, outside -1:  as MODE 2, outside with x all ones and w inverted
// Channels past C are 0 in both operands and count nothing; -1 outside is the word of all ones, masked to C.
// Exact: D fits 32 bits and the sum is rounded once, when it becomes a float (below 2^24 not at all).
//
// x: (N, H, W, Wd) u32 words, Wd = ceil(C / 32), bit i of word j = channel 32*j + i; the buffer is padded to 16 bytes.
// w: (KH, KW, Wd, Op) u32 words, alpha: (Op) f32, z: (N, P, Q, Op) f32, read as vec4; Op is O rounded up to 4.
//
// One invocation keeps 8 pixels x 8 output channels in registers. WORDS4 (set it when Wd is a multiple of 4) reads x
// four words at a time: 16 vec4 for 256 word products; without it 8 words and 2 vec4 for 64.
//
// Grid: x = ceil(ceil(N*P*Q / 8) / (WG / WG_COLS)), y = ceil(ceil(Op / 8) / WG_COLS), z = 1.

override WG: u32 = 64u;
/// How many of the WG invocations lie along the columns (output channels); divides WG.
override WG_COLS: u32 = 4u;
/// What a bit of x means, and what a tap outside the map reads:
/// 0: signs, outside is -1; 1: signs, outside is 0; 2: values {0, 1} (a set bit is 1), outside is 0; 3: the same, outside is -1.
override MODE: u32 = 0u;
/// Whether Wd is a multiple of 4.
override WORDS4: bool = false;

@group(0) @binding(0) var<uniform> dims: ConvDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> w: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> alpha: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> z: array<vec4<f32>>;

fn store(row: u32, col: u32, o4: u32, weightless: u32, d: vec4<u32>) {
    if (row < dims.n * dims.p * dims.q && col < o4) {
        z[row * o4 + col] = alpha[col] * vec4<f32>(binary_sum(weightless, d));
    }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let o4 = (dims.o + 3u) / 4u;
    let row = (group.x * (WG / WG_COLS) + lane.x / WG_COLS) * 8u;
    let col = (group.y * WG_COLS + lane.x % WG_COLS) * 2u;
    if (row >= dims.n * dims.p * dims.q || col >= o4) {
        return;
    }
    let d = binary_counts(row, col, o4);
    store(row + 0u, col, o4, d.k0, d.a0);
    store(row + 0u, col + 1u, o4, d.k0, d.b0);
    store(row + 1u, col, o4, d.k1, d.a1);
    store(row + 1u, col + 1u, o4, d.k1, d.b1);
    store(row + 2u, col, o4, d.k2, d.a2);
    store(row + 2u, col + 1u, o4, d.k2, d.b2);
    store(row + 3u, col, o4, d.k3, d.a3);
    store(row + 3u, col + 1u, o4, d.k3, d.b3);
    store(row + 4u, col, o4, d.k4, d.a4);
    store(row + 4u, col + 1u, o4, d.k4, d.b4);
    store(row + 5u, col, o4, d.k5, d.a5);
    store(row + 5u, col + 1u, o4, d.k5, d.b5);
    store(row + 6u, col, o4, d.k6, d.a6);
    store(row + 6u, col + 1u, o4, d.k6, d.b6);
    store(row + 7u, col, o4, d.k7, d.a7);
    store(row + 7u, col + 1u, o4, d.k7, d.b7);
}
