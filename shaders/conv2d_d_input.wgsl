// 2-D convolution of float maps, gradient to the input.
//   d_x[n,h,w,c] (+)= sum over kh, kw, o of d_y[n,p,q,o] * w[kh,kw,c,o]
//                     where p*stride_h = h + pad_h - kh*dil_h and q*stride_w = w + pad_w - kw*dil_w
// Taps for which p or q is no whole number or lies outside contribute 0.
// `accumulate` adds to d_x, else d_x is overwritten.
//
// d_y: (N, P, Q, Op) f32, w: (KH, KW, Cp, Op) f32, d_x: (N, H, W, Cp) f32, all read as vec4.
// Cp and Op are C and O rounded up to a multiple of 4; the lanes between hold 0 and stay 0.
//
// A gather: one invocation keeps 8 pixels of d_x x 8 channels in registers, as conv2d does. The weights are read as
// they lie, along O, so that no transposed copy is needed: vec4 * mat4x4 is four dot products.
// With a stride, the pixels fall into stride_h*stride_w phases that different taps reach; a workgroup works on one
// phase (grid z) and passes over the taps of the others.
//
// Grid: x = ceil(ceil(M / 8) / (WG / WG_COLS)) with M = N * ceil(H / stride_h) * ceil(W / stride_w),
//       y = ceil(ceil(Cp / 8) / WG_COLS), z = stride_h * stride_w.

override WG: u32 = 64u;
/// How many of the WG invocations lie along the columns (channels of d_x); divides WG.
override WG_COLS: u32 = 4u;

@group(0) @binding(0) var<uniform> dims: ConvDims;
@group(0) @binding(1) var<storage, read> d_y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> d_x: array<vec4<f32>>;

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

/// Where the d_y of one tap lies: the first vec4 of its pixel, and whether there is such a pixel.
/// Unsigned arithmetic wraps, so that a coordinate below 0 is past the end too.
fn tap_of(a: Pixel, dp: i32, dq: i32) -> Tap {
    let p = a.p + u32(dp);
    let q = a.q + u32(dq);
    let inside = p < dims.p && q < dims.q && a.n < dims.n;
    let at = ((a.n * dims.p + p) * dims.q + q) * ((dims.o + 3u) / 4u);
    return Tap(select(0u, at, inside), inside);
}

fn load_d_y(t: Tap, o: u32) -> vec4<f32> {
    return select(vec4<f32>(), d_y[t.at + o], t.inside);
}

/// w[kh,kw,c..c+4,o..o+4], one column of the matrix a channel c, `row` being the first vec4.
fn load_w(row: u32, pitch: u32) -> mat4x4<f32> {
    return mat4x4<f32>(w[row], w[row + pitch], w[row + 2u * pitch], w[row + 3u * pitch]);
}

fn store(f: Phase, a: Pixel, col: u32, c4: u32, value: vec4<f32>) {
    if (a.n < dims.n && col < c4) {
        let pixel = (a.n * dims.h + a.p * dims.stride_h + f.r) * dims.w + a.q * dims.stride_w + f.s;
        var sum = value;
        if (dims.accumulate != 0u) {
            sum += d_x[pixel * c4 + col];
        }
        d_x[pixel * c4 + col] = sum;
    }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let c4 = (dims.c + 3u) / 4u;
    let o4 = (dims.o + 3u) / 4u;
    let f = phase_of(group.z);
    let row = (group.x * (WG / WG_COLS) + lane.x / WG_COLS) * 8u;
    let col = (group.y * WG_COLS + lane.x % WG_COLS) * 2u;
    if (row >= dims.n * f.rows * f.cols || col >= c4) {
        return;
    }
    let col_b = min(col + 1u, c4 - 1u);

    let r0 = pixel_at(f.rows, f.cols, row);
    let r1 = next(f.rows, f.cols, r0);
    let r2 = next(f.rows, f.cols, r1);
    let r3 = next(f.rows, f.cols, r2);
    let r4 = next(f.rows, f.cols, r3);
    let r5 = next(f.rows, f.cols, r4);
    let r6 = next(f.rows, f.cols, r5);
    let r7 = next(f.rows, f.cols, r6);
    var a0 = vec4<f32>();
    var b0 = vec4<f32>();
    var a1 = vec4<f32>();
    var b1 = vec4<f32>();
    var a2 = vec4<f32>();
    var b2 = vec4<f32>();
    var a3 = vec4<f32>();
    var b3 = vec4<f32>();
    var a4 = vec4<f32>();
    var b4 = vec4<f32>();
    var a5 = vec4<f32>();
    var b5 = vec4<f32>();
    var a6 = vec4<f32>();
    var b6 = vec4<f32>();
    var a7 = vec4<f32>();
    var b7 = vec4<f32>();

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
        let t4 = tap_of(r4, dp, dq);
        let t5 = tap_of(r5, dp, dq);
        let t6 = tap_of(r6, dp, dq);
        let t7 = tap_of(r7, dp, dq);
        let any = t0.inside || t1.inside || t2.inside || t3.inside || t4.inside || t5.inside || t6.inside || t7.inside;
        if (!(reaches && any)) {
            continue;
        }
        let at_a = ((kh * dims.kw + kw) * c4 + col) * 4u * o4;
        let at_b = ((kh * dims.kw + kw) * c4 + col_b) * 4u * o4;
        var o = 0u;
        loop {
            let wa = load_w(at_a + o, o4);
            let wb = load_w(at_b + o, o4);
            let g0 = load_d_y(t0, o);
            a0 += g0 * wa;
            b0 += g0 * wb;
            let g1 = load_d_y(t1, o);
            a1 += g1 * wa;
            b1 += g1 * wb;
            let g2 = load_d_y(t2, o);
            a2 += g2 * wa;
            b2 += g2 * wb;
            let g3 = load_d_y(t3, o);
            a3 += g3 * wa;
            b3 += g3 * wb;
            let g4 = load_d_y(t4, o);
            a4 += g4 * wa;
            b4 += g4 * wb;
            let g5 = load_d_y(t5, o);
            a5 += g5 * wa;
            b5 += g5 * wb;
            let g6 = load_d_y(t6, o);
            a6 += g6 * wa;
            b6 += g6 * wb;
            let g7 = load_d_y(t7, o);
            a7 += g7 * wa;
            b7 += g7 * wb;
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

    store(f, r0, col, c4, a0);
    store(f, r0, col + 1u, c4, b0);
    store(f, r1, col, c4, a1);
    store(f, r1, col + 1u, c4, b1);
    store(f, r2, col, c4, a2);
    store(f, r2, col + 1u, c4, b2);
    store(f, r3, col, c4, a3);
    store(f, r3, col + 1u, c4, b3);
    store(f, r4, col, c4, a4);
    store(f, r4, col + 1u, c4, b4);
    store(f, r5, col, c4, a5);
    store(f, r5, col + 1u, c4, b5);
    store(f, r6, col, c4, a6);
    store(f, r6, col + 1u, c4, b6);
    store(f, r7, col, c4, a7);
    store(f, r7, col + 1u, c4, b7);
}
