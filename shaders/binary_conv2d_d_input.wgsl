// Packed binary 2-D convolution, gradient to the real input.
//   d_x[n,h,w,c] (+)= window(x[n,h,w,c]) * sum over kh, kw, o of alpha[o] * d_z[n,p,q,o] * s[kh,kw,c,o]
//                     where p*stride_h = h + pad_h - kh*dil_h and q*stride_w = w + pad_w - kw*dil_w
// s is -1 where the bit of w is 1 and +1 where it is 0. Taps for which p or q is no whole number or lies outside
// contribute 0; padding is constant and takes no gradient. `accumulate` adds to d_x, else d_x is overwritten.
// The window stands for the derivative of sign (straight-through): see WINDOW.
//
// d_z: (N, P, Q, Op) f32, w: (KH, KW, Wd, Op) u32 words, Wd = ceil(C / 32), bit i of word j = channel 32*j + i,
// alpha: (Op) f32, x and d_x: (N, H, W, Cp) f32, all read as vec4; Cp and Op are C and O rounded up to a multiple of 4.
//
// A gather: one invocation keeps 4 pixels x one word of channels (32) in registers and reads 6 vec4 for 512
// multiply-adds.
// Multiplying by a sign is an exclusive or with the float's sign bit; the four pixels share the mask.
// With a stride, the pixels fall into stride_h*stride_w phases that different taps reach; a workgroup works on one
// phase (grid z) and passes over the taps of the others.
//
// Grid: x = ceil(ceil(M / 4) / (WG / WG_COLS)) with M = N * ceil(H / stride_h) * ceil(W / stride_w),
//       y = ceil(Wd / WG_COLS), z = stride_h * stride_w.

override WG: u32 = 64u;
/// How many of the WG invocations lie along the columns (words of channels); divides WG.
override WG_COLS: u32 = 1u;
/// 0: 1. 1: max(2 - 2|x|, 0), the slope of Bi-Real's approximation of sign. 2: 1 where |x| <= 1. 3: 1 where |x| < 1.
override WINDOW: u32 = 1u;

@group(0) @binding(0) var<uniform> dims: ConvDims;
@group(0) @binding(1) var<storage, read> d_z: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> w: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> alpha: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> d_x: array<vec4<f32>>;

/// The pixels of d_x whose row is r and whose column is s modulo the stride; the same taps reach all of them.
/// i = (n*rows + p)*cols + q stands for the pixel (n, p*stride_h + r, q*stride_w + s).
struct Phase {
    r: u32,
    s: u32,
    rows: u32,
    cols: u32,
}

fn phase_of(index: u32) -> Phase {
    let r = index / dims.stride_w;
    let s = index % dims.stride_w;
    let rows = (dims.h + dims.stride_h - 1u - r) / dims.stride_h;
    let cols = (dims.w + dims.stride_w - 1u - s) / dims.stride_w;
    return Phase(r, s, rows, cols);
}

/// Where the d_z of one tap lies: the first vec4 of its pixel, and whether there is such a pixel.
/// Unsigned arithmetic wraps, so that a coordinate below 0 is past the end too.
fn tap_of(a: Pixel, dp: i32, dq: i32) -> Tap {
    let p = a.p + u32(dp);
    let q = a.q + u32(dq);
    let inside = p < dims.p && q < dims.q && a.n < dims.n;
    let at = ((a.n * dims.p + p) * dims.q + q) * ((dims.o + 3u) / 4u);
    return Tap(select(0u, at, inside), inside);
}

fn load_d_z(t: Tap, o: u32) -> vec4<u32> {
    return bitcast<vec4<u32>>(select(vec4<f32>(), d_z[t.at + o] * alpha[o], t.inside));
}

/// g times the signs of which the mask holds the sign bits.
fn times(g: u32, mask: vec4<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(g) ^ mask);
}

/// Bits 4*k to 4*k + 3 of a word, each on top of its lane; `shift` is (31, 30, 29, 28) - 4*k.
fn sign_bits(bits: u32, shift: vec4<u32>) -> vec4<u32> {
    return (vec4<u32>(bits) << shift) & vec4<u32>(0x80000000u);
}

fn window(v: vec4<f32>) -> vec4<f32> {
    if (WINDOW == 1u) {
        return max(2.0 - 2.0 * abs(v), vec4<f32>());
    }
    if (WINDOW == 2u) {
        return select(vec4<f32>(), vec4<f32>(1.0), abs(v) <= vec4<f32>(1.0));
    }
    if (WINDOW == 3u) {
        return select(vec4<f32>(), vec4<f32>(1.0), abs(v) < vec4<f32>(1.0));
    }
    return vec4<f32>(1.0);
}

fn store(f: Phase, a: Pixel, col: u32, value: vec4<f32>) {
    let c4 = (dims.c + 3u) / 4u;
    if (a.n < dims.n && col < c4) {
        let pixel = (a.n * dims.h + a.p * dims.stride_h + f.r) * dims.w + a.q * dims.stride_w + f.s;
        let at = pixel * c4 + col;
        // A word has bits past the last channel; its lanes stay 0.
        let exists = vec4<u32>(col * 4u) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(dims.c);
        var sum = value;
        if (WINDOW != 0u) {
            sum *= window(x[at]);
        }
        if (dims.accumulate != 0u) {
            sum += d_x[at];
        }
        d_x[at] = select(vec4<f32>(), sum, exists);
    }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let words = (dims.c + 31u) / 32u;
    let o4 = (dims.o + 3u) / 4u;
    let f = phase_of(group.z);
    let row = (group.x * (WG / WG_COLS) + lane.x / WG_COLS) * 4u;
    let word = group.y * WG_COLS + lane.x % WG_COLS;
    if (row >= dims.n * f.rows * f.cols || word >= words) {
        return;
    }
    let r0 = pixel_at(f.rows, f.cols, row);
    let r1 = next(f.rows, f.cols, r0);
    let r2 = next(f.rows, f.cols, r1);
    let r3 = next(f.rows, f.cols, r2);
    var s0_0 = vec4<f32>();
    var s0_1 = vec4<f32>();
    var s0_2 = vec4<f32>();
    var s0_3 = vec4<f32>();
    var s0_4 = vec4<f32>();
    var s0_5 = vec4<f32>();
    var s0_6 = vec4<f32>();
    var s0_7 = vec4<f32>();
    var s1_0 = vec4<f32>();
    var s1_1 = vec4<f32>();
    var s1_2 = vec4<f32>();
    var s1_3 = vec4<f32>();
    var s1_4 = vec4<f32>();
    var s1_5 = vec4<f32>();
    var s1_6 = vec4<f32>();
    var s1_7 = vec4<f32>();
    var s2_0 = vec4<f32>();
    var s2_1 = vec4<f32>();
    var s2_2 = vec4<f32>();
    var s2_3 = vec4<f32>();
    var s2_4 = vec4<f32>();
    var s2_5 = vec4<f32>();
    var s2_6 = vec4<f32>();
    var s2_7 = vec4<f32>();
    var s3_0 = vec4<f32>();
    var s3_1 = vec4<f32>();
    var s3_2 = vec4<f32>();
    var s3_3 = vec4<f32>();
    var s3_4 = vec4<f32>();
    var s3_5 = vec4<f32>();
    var s3_6 = vec4<f32>();
    var s3_7 = vec4<f32>();

    var kh = 0u;
    var kw = 0u;
    loop {
        // The tap reaches this phase when eh and ew are multiples of the stride, and then from (p + dp, q + dq).
        let eh = i32(f.r + dims.pad_h) - i32(kh * dims.dil_h);
        let ew = i32(f.s + dims.pad_w) - i32(kw * dims.dil_w);
        let dp = eh / i32(dims.stride_h);
        let dq = ew / i32(dims.stride_w);
        let reaches = dp * i32(dims.stride_h) == eh && dq * i32(dims.stride_w) == ew;
        let t0 = tap_of(r0, dp, dq);
        let t1 = tap_of(r1, dp, dq);
        let t2 = tap_of(r2, dp, dq);
        let t3 = tap_of(r3, dp, dq);
        if (!(reaches && (t0.inside || t1.inside || t2.inside || t3.inside))) {
            continue;
        }
        let at = ((kh * dims.kw + kw) * words + word) * o4;
        var o = 0u;
        loop {
            let bits = w[at + o];
            let g0 = load_d_z(t0, o);
            let g1 = load_d_z(t1, o);
            let g2 = load_d_z(t2, o);
            let g3 = load_d_z(t3, o);
            let m0_0 = sign_bits(bits.x, vec4<u32>(31u, 30u, 29u, 28u));
            s0_0 += times(g0.x, m0_0);
            s1_0 += times(g1.x, m0_0);
            s2_0 += times(g2.x, m0_0);
            s3_0 += times(g3.x, m0_0);
            let m0_1 = sign_bits(bits.x, vec4<u32>(27u, 26u, 25u, 24u));
            s0_1 += times(g0.x, m0_1);
            s1_1 += times(g1.x, m0_1);
            s2_1 += times(g2.x, m0_1);
            s3_1 += times(g3.x, m0_1);
            let m0_2 = sign_bits(bits.x, vec4<u32>(23u, 22u, 21u, 20u));
            s0_2 += times(g0.x, m0_2);
            s1_2 += times(g1.x, m0_2);
            s2_2 += times(g2.x, m0_2);
            s3_2 += times(g3.x, m0_2);
            let m0_3 = sign_bits(bits.x, vec4<u32>(19u, 18u, 17u, 16u));
            s0_3 += times(g0.x, m0_3);
            s1_3 += times(g1.x, m0_3);
            s2_3 += times(g2.x, m0_3);
            s3_3 += times(g3.x, m0_3);
            let m0_4 = sign_bits(bits.x, vec4<u32>(15u, 14u, 13u, 12u));
            s0_4 += times(g0.x, m0_4);
            s1_4 += times(g1.x, m0_4);
            s2_4 += times(g2.x, m0_4);
            s3_4 += times(g3.x, m0_4);
            let m0_5 = sign_bits(bits.x, vec4<u32>(11u, 10u, 9u, 8u));
            s0_5 += times(g0.x, m0_5);
            s1_5 += times(g1.x, m0_5);
            s2_5 += times(g2.x, m0_5);
            s3_5 += times(g3.x, m0_5);
            let m0_6 = sign_bits(bits.x, vec4<u32>(7u, 6u, 5u, 4u));
            s0_6 += times(g0.x, m0_6);
            s1_6 += times(g1.x, m0_6);
            s2_6 += times(g2.x, m0_6);
            s3_6 += times(g3.x, m0_6);
            let m0_7 = sign_bits(bits.x, vec4<u32>(3u, 2u, 1u, 0u));
            s0_7 += times(g0.x, m0_7);
            s1_7 += times(g1.x, m0_7);
            s2_7 += times(g2.x, m0_7);
            s3_7 += times(g3.x, m0_7);
            let m1_0 = sign_bits(bits.y, vec4<u32>(31u, 30u, 29u, 28u));
            s0_0 += times(g0.y, m1_0);
            s1_0 += times(g1.y, m1_0);
            s2_0 += times(g2.y, m1_0);
            s3_0 += times(g3.y, m1_0);
            let m1_1 = sign_bits(bits.y, vec4<u32>(27u, 26u, 25u, 24u));
            s0_1 += times(g0.y, m1_1);
            s1_1 += times(g1.y, m1_1);
            s2_1 += times(g2.y, m1_1);
            s3_1 += times(g3.y, m1_1);
            let m1_2 = sign_bits(bits.y, vec4<u32>(23u, 22u, 21u, 20u));
            s0_2 += times(g0.y, m1_2);
            s1_2 += times(g1.y, m1_2);
            s2_2 += times(g2.y, m1_2);
            s3_2 += times(g3.y, m1_2);
            let m1_3 = sign_bits(bits.y, vec4<u32>(19u, 18u, 17u, 16u));
            s0_3 += times(g0.y, m1_3);
            s1_3 += times(g1.y, m1_3);
            s2_3 += times(g2.y, m1_3);
            s3_3 += times(g3.y, m1_3);
            let m1_4 = sign_bits(bits.y, vec4<u32>(15u, 14u, 13u, 12u));
            s0_4 += times(g0.y, m1_4);
            s1_4 += times(g1.y, m1_4);
            s2_4 += times(g2.y, m1_4);
            s3_4 += times(g3.y, m1_4);
            let m1_5 = sign_bits(bits.y, vec4<u32>(11u, 10u, 9u, 8u));
            s0_5 += times(g0.y, m1_5);
            s1_5 += times(g1.y, m1_5);
            s2_5 += times(g2.y, m1_5);
            s3_5 += times(g3.y, m1_5);
            let m1_6 = sign_bits(bits.y, vec4<u32>(7u, 6u, 5u, 4u));
            s0_6 += times(g0.y, m1_6);
            s1_6 += times(g1.y, m1_6);
            s2_6 += times(g2.y, m1_6);
            s3_6 += times(g3.y, m1_6);
            let m1_7 = sign_bits(bits.y, vec4<u32>(3u, 2u, 1u, 0u));
            s0_7 += times(g0.y, m1_7);
            s1_7 += times(g1.y, m1_7);
            s2_7 += times(g2.y, m1_7);
            s3_7 += times(g3.y, m1_7);
            let m2_0 = sign_bits(bits.z, vec4<u32>(31u, 30u, 29u, 28u));
            s0_0 += times(g0.z, m2_0);
            s1_0 += times(g1.z, m2_0);
            s2_0 += times(g2.z, m2_0);
            s3_0 += times(g3.z, m2_0);
            let m2_1 = sign_bits(bits.z, vec4<u32>(27u, 26u, 25u, 24u));
            s0_1 += times(g0.z, m2_1);
            s1_1 += times(g1.z, m2_1);
            s2_1 += times(g2.z, m2_1);
            s3_1 += times(g3.z, m2_1);
            let m2_2 = sign_bits(bits.z, vec4<u32>(23u, 22u, 21u, 20u));
            s0_2 += times(g0.z, m2_2);
            s1_2 += times(g1.z, m2_2);
            s2_2 += times(g2.z, m2_2);
            s3_2 += times(g3.z, m2_2);
            let m2_3 = sign_bits(bits.z, vec4<u32>(19u, 18u, 17u, 16u));
            s0_3 += times(g0.z, m2_3);
            s1_3 += times(g1.z, m2_3);
            s2_3 += times(g2.z, m2_3);
            s3_3 += times(g3.z, m2_3);
            let m2_4 = sign_bits(bits.z, vec4<u32>(15u, 14u, 13u, 12u));
            s0_4 += times(g0.z, m2_4);
            s1_4 += times(g1.z, m2_4);
            s2_4 += times(g2.z, m2_4);
            s3_4 += times(g3.z, m2_4);
            let m2_5 = sign_bits(bits.z, vec4<u32>(11u, 10u, 9u, 8u));
            s0_5 += times(g0.z, m2_5);
            s1_5 += times(g1.z, m2_5);
            s2_5 += times(g2.z, m2_5);
            s3_5 += times(g3.z, m2_5);
            let m2_6 = sign_bits(bits.z, vec4<u32>(7u, 6u, 5u, 4u));
            s0_6 += times(g0.z, m2_6);
            s1_6 += times(g1.z, m2_6);
            s2_6 += times(g2.z, m2_6);
            s3_6 += times(g3.z, m2_6);
            let m2_7 = sign_bits(bits.z, vec4<u32>(3u, 2u, 1u, 0u));
            s0_7 += times(g0.z, m2_7);
            s1_7 += times(g1.z, m2_7);
            s2_7 += times(g2.z, m2_7);
            s3_7 += times(g3.z, m2_7);
            let m3_0 = sign_bits(bits.w, vec4<u32>(31u, 30u, 29u, 28u));
            s0_0 += times(g0.w, m3_0);
            s1_0 += times(g1.w, m3_0);
            s2_0 += times(g2.w, m3_0);
            s3_0 += times(g3.w, m3_0);
            let m3_1 = sign_bits(bits.w, vec4<u32>(27u, 26u, 25u, 24u));
            s0_1 += times(g0.w, m3_1);
            s1_1 += times(g1.w, m3_1);
            s2_1 += times(g2.w, m3_1);
            s3_1 += times(g3.w, m3_1);
            let m3_2 = sign_bits(bits.w, vec4<u32>(23u, 22u, 21u, 20u));
            s0_2 += times(g0.w, m3_2);
            s1_2 += times(g1.w, m3_2);
            s2_2 += times(g2.w, m3_2);
            s3_2 += times(g3.w, m3_2);
            let m3_3 = sign_bits(bits.w, vec4<u32>(19u, 18u, 17u, 16u));
            s0_3 += times(g0.w, m3_3);
            s1_3 += times(g1.w, m3_3);
            s2_3 += times(g2.w, m3_3);
            s3_3 += times(g3.w, m3_3);
            let m3_4 = sign_bits(bits.w, vec4<u32>(15u, 14u, 13u, 12u));
            s0_4 += times(g0.w, m3_4);
            s1_4 += times(g1.w, m3_4);
            s2_4 += times(g2.w, m3_4);
            s3_4 += times(g3.w, m3_4);
            let m3_5 = sign_bits(bits.w, vec4<u32>(11u, 10u, 9u, 8u));
            s0_5 += times(g0.w, m3_5);
            s1_5 += times(g1.w, m3_5);
            s2_5 += times(g2.w, m3_5);
            s3_5 += times(g3.w, m3_5);
            let m3_6 = sign_bits(bits.w, vec4<u32>(7u, 6u, 5u, 4u));
            s0_6 += times(g0.w, m3_6);
            s1_6 += times(g1.w, m3_6);
            s2_6 += times(g2.w, m3_6);
            s3_6 += times(g3.w, m3_6);
            let m3_7 = sign_bits(bits.w, vec4<u32>(3u, 2u, 1u, 0u));
            s0_7 += times(g0.w, m3_7);
            s1_7 += times(g1.w, m3_7);
            s2_7 += times(g2.w, m3_7);
            s3_7 += times(g3.w, m3_7);
            continuing {
                o += 1u;
                break if o >= o4;
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

    store(f, r0, word * 8u + 0u, s0_0);
    store(f, r0, word * 8u + 1u, s0_1);
    store(f, r0, word * 8u + 2u, s0_2);
    store(f, r0, word * 8u + 3u, s0_3);
    store(f, r0, word * 8u + 4u, s0_4);
    store(f, r0, word * 8u + 5u, s0_5);
    store(f, r0, word * 8u + 6u, s0_6);
    store(f, r0, word * 8u + 7u, s0_7);
    store(f, r1, word * 8u + 0u, s1_0);
    store(f, r1, word * 8u + 1u, s1_1);
    store(f, r1, word * 8u + 2u, s1_2);
    store(f, r1, word * 8u + 3u, s1_3);
    store(f, r1, word * 8u + 4u, s1_4);
    store(f, r1, word * 8u + 5u, s1_5);
    store(f, r1, word * 8u + 6u, s1_6);
    store(f, r1, word * 8u + 7u, s1_7);
    store(f, r2, word * 8u + 0u, s2_0);
    store(f, r2, word * 8u + 1u, s2_1);
    store(f, r2, word * 8u + 2u, s2_2);
    store(f, r2, word * 8u + 3u, s2_3);
    store(f, r2, word * 8u + 4u, s2_4);
    store(f, r2, word * 8u + 5u, s2_5);
    store(f, r2, word * 8u + 6u, s2_6);
    store(f, r2, word * 8u + 7u, s2_7);
    store(f, r3, word * 8u + 0u, s3_0);
    store(f, r3, word * 8u + 1u, s3_1);
    store(f, r3, word * 8u + 2u, s3_2);
    store(f, r3, word * 8u + 3u, s3_3);
    store(f, r3, word * 8u + 4u, s3_4);
    store(f, r3, word * 8u + 5u, s3_5);
    store(f, r3, word * 8u + 6u, s3_6);
    store(f, r3, word * 8u + 7u, s3_7);
}
