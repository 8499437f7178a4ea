// The exact counts of a packed binary convolution: what its kernels share (shaders/binary_conv2d.wgsl says the algebra).
// The kernel declares `dims`, x (sign words), w (weight words), and the
// overrides MODE and WORDS4, and takes conv_pixels.wgsl.

/// The first word in x that a tap reads, and a mask of all ones if there is such a pixel, else 0.
struct WordTap {
    at: u32,
    inside: u32,
}

fn tap_of(a: Pixel, kh: u32, kw: u32) -> WordTap {
    let t = input_tap(a, kh, kw, (dims.c + 31u) / 32u);
    return WordTap(t.at, select(0u, 0xffffffffu, t.inside));
}

/// The word that a tap reads: `word`, or outside the map the word of the padding. `valid`: the bits that are channels.
fn padded(t: WordTap, word: u32, valid: u32) -> u32 {
    if (MODE == 0u || MODE == 3u) {
        return (word & t.inside) | (valid & ~t.inside);
    }
    return word & t.inside;
}

/// The product of one word of x with the words of four output channels.
fn count(word: u32, t: WordTap, weights: vec4<u32>) -> vec4<u32> {
    let differ = vec4<u32>(word) ^ weights;
    if (MODE == 1u) {
        return countOneBits(differ & vec4<u32>(t.inside));
    }
    if (MODE == 2u) {
        return countOneBits(differ & vec4<u32>(word));
    }
    if (MODE == 3u) {
        return countOneBits((differ ^ vec4<u32>(~t.inside)) & vec4<u32>(word));
    }
    return countOneBits(differ);
}

/// Four words of x, products summed; wx to ww are the weights of the four words.
fn count4(v: vec4<u32>, t: WordTap, wx: vec4<u32>, wy: vec4<u32>, wz: vec4<u32>, ww: vec4<u32>) -> vec4<u32> {
    return count(v.x, t, wx) + count(v.y, t, wy) + count(v.z, t, wz) + count(v.w, t, ww);
}

fn load_word(t: WordTap, j: u32, valid: u32) -> u32 {
    let i = t.at + j;
    return padded(t, x[i >> 2u][i & 3u], valid);
}

/// Words j to j + 3; `valid` belongs to the last of them.
fn load_words(t: WordTap, j: u32, valid: u32) -> vec4<u32> {
    let v = x[(t.at + j) >> 2u];
    let full = 0xffffffffu;
    return vec4<u32>(padded(t, v.x, full), padded(t, v.y, full), padded(t, v.z, full), padded(t, v.w, valid));
}

/// What of the sum does not depend on the weights: channels inside (MODE 1), ones of x (MODES 2, 3), for one word.
fn weightless(t: WordTap, word: u32, valid: u32) -> u32 {
    if (MODE == 1u) {
        return countOneBits(valid & t.inside);
    }
    if (MODE >= 2u) {
        return countOneBits(word);
    }
    return 0u;
}

fn weightless4(t: WordTap, v: vec4<u32>, valid: u32) -> u32 {
    let full = 0xffffffffu;
    return weightless(t, v.x, full) + weightless(t, v.y, full) + weightless(t, v.z, full) + weightless(t, v.w, valid);
}

/// D of 8 pixels x 8 output channels: of pixel i the first four channels in a<i>, the others in b<i>; and its `weightless`.
struct BinaryCounts {
    a0: vec4<u32>,
    b0: vec4<u32>,
    k0: u32,
    a1: vec4<u32>,
    b1: vec4<u32>,
    k1: u32,
    a2: vec4<u32>,
    b2: vec4<u32>,
    k2: u32,
    a3: vec4<u32>,
    b3: vec4<u32>,
    k3: u32,
    a4: vec4<u32>,
    b4: vec4<u32>,
    k4: u32,
    a5: vec4<u32>,
    b5: vec4<u32>,
    k5: u32,
    a6: vec4<u32>,
    b6: vec4<u32>,
    k6: u32,
    a7: vec4<u32>,
    b7: vec4<u32>,
    k7: u32,
}

/// The sum that D and `weightless` stand for.
fn binary_sum(weightless: u32, d: vec4<u32>) -> vec4<i32> {
    let k = select(weightless, dims.c * dims.kh * dims.kw, MODE == 0u);
    let sum = vec4<i32>(i32(k)) - 2 * vec4<i32>(d);
    return select(sum, -sum, MODE >= 2u);
}

/// Counts of the pixels from `row` on and the vectors of channels `col` and `col` + 1, of which there are o4.
fn binary_counts(row: u32, col: u32, o4: u32) -> BinaryCounts {
    let words = (dims.c + 31u) / 32u;
    let col_b = min(col + 1u, o4 - 1u);
    let last = 0xffffffffu >> (31u - (dims.c - 1u) % 32u);

    let r0 = pixel_at(dims.p, dims.q, row);
    let r1 = next(dims.p, dims.q, r0);
    let r2 = next(dims.p, dims.q, r1);
    let r3 = next(dims.p, dims.q, r2);
    let r4 = next(dims.p, dims.q, r3);
    let r5 = next(dims.p, dims.q, r4);
    let r6 = next(dims.p, dims.q, r5);
    let r7 = next(dims.p, dims.q, r6);
    var a0 = vec4<u32>();
    var b0 = vec4<u32>();
    var k0 = 0u;
    var a1 = vec4<u32>();
    var b1 = vec4<u32>();
    var k1 = 0u;
    var a2 = vec4<u32>();
    var b2 = vec4<u32>();
    var k2 = 0u;
    var a3 = vec4<u32>();
    var b3 = vec4<u32>();
    var k3 = 0u;
    var a4 = vec4<u32>();
    var b4 = vec4<u32>();
    var k4 = 0u;
    var a5 = vec4<u32>();
    var b5 = vec4<u32>();
    var k5 = 0u;
    var a6 = vec4<u32>();
    var b6 = vec4<u32>();
    var k6 = 0u;
    var a7 = vec4<u32>();
    var b7 = vec4<u32>();
    var k7 = 0u;

    var kh = 0u;
    var kw = 0u;
    loop {
        let t0 = tap_of(r0, kh, kw);
        let t1 = tap_of(r1, kh, kw);
        let t2 = tap_of(r2, kh, kw);
        let t3 = tap_of(r3, kh, kw);
        let t4 = tap_of(r4, kh, kw);
        let t5 = tap_of(r5, kh, kw);
        let t6 = tap_of(r6, kh, kw);
        let t7 = tap_of(r7, kh, kw);
        var at = (kh * dims.kw + kw) * words * o4;
        var j = 0u;
        if (WORDS4) {
            loop {
                let valid = select(0xffffffffu, last, j + 4u == words);
                let ax = w[at + col];
                let ay = w[at + o4 + col];
                let az = w[at + 2u * o4 + col];
                let aw = w[at + 3u * o4 + col];
                let bx = w[at + col_b];
                let by = w[at + o4 + col_b];
                let bz = w[at + 2u * o4 + col_b];
                let bw = w[at + 3u * o4 + col_b];
                let x0 = load_words(t0, j, valid);
                a0 += count4(x0, t0, ax, ay, az, aw);
                b0 += count4(x0, t0, bx, by, bz, bw);
                k0 += weightless4(t0, x0, valid);
                let x1 = load_words(t1, j, valid);
                a1 += count4(x1, t1, ax, ay, az, aw);
                b1 += count4(x1, t1, bx, by, bz, bw);
                k1 += weightless4(t1, x1, valid);
                let x2 = load_words(t2, j, valid);
                a2 += count4(x2, t2, ax, ay, az, aw);
                b2 += count4(x2, t2, bx, by, bz, bw);
                k2 += weightless4(t2, x2, valid);
                let x3 = load_words(t3, j, valid);
                a3 += count4(x3, t3, ax, ay, az, aw);
                b3 += count4(x3, t3, bx, by, bz, bw);
                k3 += weightless4(t3, x3, valid);
                let x4 = load_words(t4, j, valid);
                a4 += count4(x4, t4, ax, ay, az, aw);
                b4 += count4(x4, t4, bx, by, bz, bw);
                k4 += weightless4(t4, x4, valid);
                let x5 = load_words(t5, j, valid);
                a5 += count4(x5, t5, ax, ay, az, aw);
                b5 += count4(x5, t5, bx, by, bz, bw);
                k5 += weightless4(t5, x5, valid);
                let x6 = load_words(t6, j, valid);
                a6 += count4(x6, t6, ax, ay, az, aw);
                b6 += count4(x6, t6, bx, by, bz, bw);
                k6 += weightless4(t6, x6, valid);
                let x7 = load_words(t7, j, valid);
                a7 += count4(x7, t7, ax, ay, az, aw);
                b7 += count4(x7, t7, bx, by, bz, bw);
                k7 += weightless4(t7, x7, valid);
                continuing {
                    at += 4u * o4;
                    j += 4u;
                    break if j >= words;
                }
            }
        } else {
            loop {
                let valid = select(0xffffffffu, last, j + 1u == words);
                let wa = w[at + col];
                let wb = w[at + col_b];
                let x0 = load_word(t0, j, valid);
                a0 += count(x0, t0, wa);
                b0 += count(x0, t0, wb);
                k0 += weightless(t0, x0, valid);
                let x1 = load_word(t1, j, valid);
                a1 += count(x1, t1, wa);
                b1 += count(x1, t1, wb);
                k1 += weightless(t1, x1, valid);
                let x2 = load_word(t2, j, valid);
                a2 += count(x2, t2, wa);
                b2 += count(x2, t2, wb);
                k2 += weightless(t2, x2, valid);
                let x3 = load_word(t3, j, valid);
                a3 += count(x3, t3, wa);
                b3 += count(x3, t3, wb);
                k3 += weightless(t3, x3, valid);
                let x4 = load_word(t4, j, valid);
                a4 += count(x4, t4, wa);
                b4 += count(x4, t4, wb);
                k4 += weightless(t4, x4, valid);
                let x5 = load_word(t5, j, valid);
                a5 += count(x5, t5, wa);
                b5 += count(x5, t5, wb);
                k5 += weightless(t5, x5, valid);
                let x6 = load_word(t6, j, valid);
                a6 += count(x6, t6, wa);
                b6 += count(x6, t6, wb);
                k6 += weightless(t6, x6, valid);
                let x7 = load_word(t7, j, valid);
                a7 += count(x7, t7, wa);
                b7 += count(x7, t7, wb);
                k7 += weightless(t7, x7, valid);
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
    return BinaryCounts(a0, b0, k0, a1, b1, k1, a2, b2, k2, a3, b3, k3, a4, b4, k4, a5, b5, k5, a6, b6, k6, a7, b7, k7);
}
