// 2-D convolution of signed bytes, exact in integers, then scaled to fixed point; forward, groups = 1.
//   acc = start[o] + sum over kh, kw, c of
//         x[n, p*stride_h - pad_h + kh*dil_h, q*stride_w - pad_w + kw*dil_w, c] * w[kh,kw,c,o]
//   y[n,p,q,o] = fixed_scale(acc, mul[o], shift[o]) + add[o], and with `relu` max(that, 0)
// Taps outside the map read the word `pad` (four signed bytes) at every word of the pixel.
//
// x: (N, H, W, Wd) u32, Wd = ceil(C / 4), byte i of word j = channel 4*j + i; the buffer is padded to 16 bytes.
// w: (KH, KW, Wd, Op) u32, read as vec4: the weights of four successive channels for one output; bytes past C are 0.
// affine: (4, Op) i32, read as vec4: mul, shift, start, add.  y: (N, P, Q, Op) i32, written as vec4.
// Op is O rounded up to a multiple of 4; the lanes between are 0 in y.
// KH*KW*C <= 2^16, so a sum of products stays below 2^30.
//
// Blocks as in conv2d.wgsl: an invocation keeps 8 consecutive pixels x 8 outputs in registers, written out row by row.
// WORDS4 (set it when Wd is a multiple of 4) reads x four words at a time: 16 vec4 for 1024 multiply-adds; without it 8
// words and 2 vec4 for 256. dot4I8Packed is core WGSL, and one instruction where the hardware has it.
//
// Grid: x = ceil(ceil(N*P*Q / 8) / (WG / WG_COLS)), y = ceil(ceil(Op / 8) / WG_COLS), z = 1.

override WG: u32 = 64u;
/// How many of the WG invocations lie along the columns (outputs); divides WG.
override WG_COLS: u32 = 4u;
/// Whether Wd is a multiple of 4.
override WORDS4: bool = false;

@group(0) @binding(0) var<uniform> dims: ConvDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> w: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> affine: array<vec4<i32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<i32>>;

fn load_word(t: Tap, j: u32) -> u32 {
    let i = t.at + j;
    return select(dims.pad, x[i >> 2u][i & 3u], t.inside);
}

/// Words j to j + 3.
fn load_words(t: Tap, j: u32) -> vec4<u32> {
    return select(vec4<u32>(dims.pad), x[(t.at + j) >> 2u], t.inside);
}

/// One word of x times the weights of four outputs.
fn dot4(v: u32, w: vec4<u32>) -> vec4<i32> {
    return vec4<i32>(dot4I8Packed(v, w.x), dot4I8Packed(v, w.y), dot4I8Packed(v, w.z), dot4I8Packed(v, w.w));
}

/// Four words of x; w0 to w3 are the weights of the four words.
fn dot16(v: vec4<u32>, w0: vec4<u32>, w1: vec4<u32>, w2: vec4<u32>, w3: vec4<u32>) -> vec4<i32> {
    return dot4(v.x, w0) + dot4(v.y, w1) + dot4(v.z, w2) + dot4(v.w, w3);
}

fn store(row: u32, col: u32, o4: u32, sum: vec4<i32>) {
    if (row < dims.n * dims.p * dims.q && col < o4) {
        let scaled = fixed_scale(sum + affine[2u * o4 + col], affine[col], affine[o4 + col]) + affine[3u * o4 + col];
        let value = select(scaled, max(scaled, vec4<i32>()), dims.relu == 1u);
        y[row * o4 + col] = select(vec4<i32>(), value, lane_mask(col, dims.o));
    }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let words = (dims.c + 3u) / 4u;
    let o4 = (dims.o + 3u) / 4u;
    let row = (group.x * (WG / WG_COLS) + lane.x / WG_COLS) * 8u;
    let col = (group.y * WG_COLS + lane.x % WG_COLS) * 2u;
    if (row >= dims.n * dims.p * dims.q || col >= o4) {
        return;
    }
    let col_b = min(col + 1u, o4 - 1u);

    let r0 = pixel_at(dims.p, dims.q, row);
    let r1 = next(dims.p, dims.q, r0);
    let r2 = next(dims.p, dims.q, r1);
    let r3 = next(dims.p, dims.q, r2);
    let r4 = next(dims.p, dims.q, r3);
    let r5 = next(dims.p, dims.q, r4);
    let r6 = next(dims.p, dims.q, r5);
    let r7 = next(dims.p, dims.q, r6);
    var a0 = vec4<i32>();
    var b0 = vec4<i32>();
    var a1 = vec4<i32>();
    var b1 = vec4<i32>();
    var a2 = vec4<i32>();
    var b2 = vec4<i32>();
    var a3 = vec4<i32>();
    var b3 = vec4<i32>();
    var a4 = vec4<i32>();
    var b4 = vec4<i32>();
    var a5 = vec4<i32>();
    var b5 = vec4<i32>();
    var a6 = vec4<i32>();
    var b6 = vec4<i32>();
    var a7 = vec4<i32>();
    var b7 = vec4<i32>();

    var kh = 0u;
    var kw = 0u;
    loop {
        let t0 = input_tap(r0, kh, kw, words);
        let t1 = input_tap(r1, kh, kw, words);
        let t2 = input_tap(r2, kh, kw, words);
        let t3 = input_tap(r3, kh, kw, words);
        let t4 = input_tap(r4, kh, kw, words);
        let t5 = input_tap(r5, kh, kw, words);
        let t6 = input_tap(r6, kh, kw, words);
        let t7 = input_tap(r7, kh, kw, words);
        var at = (kh * dims.kw + kw) * words * o4;
        var j = 0u;
        if (WORDS4) {
            loop {
                let wa0 = w[at + col];
                let wa1 = w[at + o4 + col];
                let wa2 = w[at + 2u * o4 + col];
                let wa3 = w[at + 3u * o4 + col];
                let wb0 = w[at + col_b];
                let wb1 = w[at + o4 + col_b];
                let wb2 = w[at + 2u * o4 + col_b];
                let wb3 = w[at + 3u * o4 + col_b];
                let x0 = load_words(t0, j);
                a0 += dot16(x0, wa0, wa1, wa2, wa3);
                b0 += dot16(x0, wb0, wb1, wb2, wb3);
                let x1 = load_words(t1, j);
                a1 += dot16(x1, wa0, wa1, wa2, wa3);
                b1 += dot16(x1, wb0, wb1, wb2, wb3);
                let x2 = load_words(t2, j);
                a2 += dot16(x2, wa0, wa1, wa2, wa3);
                b2 += dot16(x2, wb0, wb1, wb2, wb3);
                let x3 = load_words(t3, j);
                a3 += dot16(x3, wa0, wa1, wa2, wa3);
                b3 += dot16(x3, wb0, wb1, wb2, wb3);
                let x4 = load_words(t4, j);
                a4 += dot16(x4, wa0, wa1, wa2, wa3);
                b4 += dot16(x4, wb0, wb1, wb2, wb3);
                let x5 = load_words(t5, j);
                a5 += dot16(x5, wa0, wa1, wa2, wa3);
                b5 += dot16(x5, wb0, wb1, wb2, wb3);
                let x6 = load_words(t6, j);
                a6 += dot16(x6, wa0, wa1, wa2, wa3);
                b6 += dot16(x6, wb0, wb1, wb2, wb3);
                let x7 = load_words(t7, j);
                a7 += dot16(x7, wa0, wa1, wa2, wa3);
                b7 += dot16(x7, wb0, wb1, wb2, wb3);
                continuing {
                    at += 4u * o4;
                    j += 4u;
                    break if j >= words;
                }
            }
        } else {
            loop {
                let wa = w[at + col];
                let wb = w[at + col_b];
                let x0 = load_word(t0, j);
                a0 += dot4(x0, wa);
                b0 += dot4(x0, wb);
                let x1 = load_word(t1, j);
                a1 += dot4(x1, wa);
                b1 += dot4(x1, wb);
                let x2 = load_word(t2, j);
                a2 += dot4(x2, wa);
                b2 += dot4(x2, wb);
                let x3 = load_word(t3, j);
                a3 += dot4(x3, wa);
                b3 += dot4(x3, wb);
                let x4 = load_word(t4, j);
                a4 += dot4(x4, wa);
                b4 += dot4(x4, wb);
                let x5 = load_word(t5, j);
                a5 += dot4(x5, wa);
                b5 += dot4(x5, wb);
                let x6 = load_word(t6, j);
                a6 += dot4(x6, wa);
                b6 += dot4(x6, wb);
                let x7 = load_word(t7, j);
                a7 += dot4(x7, wa);
                b7 += dot4(x7, wb);
                continuing {
                    at += o4;
                    j += 1u;
                    break if j >= words;
                }
            }
        }
        continuing {
            kw += 1u;
            if (kw == dims.kw) {
                kw = 0u;
                kh += 1u;
            }
            break if kh >= dims.kh;
        }
    }

    // A loop, not sixteen copies of what scales: drivers compile the kernel in a fraction of the time.
    var sums = array<vec4<i32>, 16>(a0, b0, a1, b1, a2, b2, a3, b3, a4, b4, a5, b5, a6, b6, a7, b7);
    for (var i = 0u; i < 16u; i += 1u) {
        store(row + i / 2u, col + i % 2u, o4, sums[i]);
    }
}
