// 2-D convolution of float maps, forward.
//   y[n,p,q,o] = bias[o] + sum over kh, kw, c of
//                x[n, p*stride_h - pad_h + kh*dil_h, q*stride_w - pad_w + kw*dil_w, c] * w[kh,kw,c,o]
// Taps outside the map contribute 0. groups = 1. `accumulate` adds to y (the gradient of a transposed convolution).
//
// x: (N, H, W, Cp) f32, w: (KH, KW, Cp, Op) f32, bias: (Op) f32, y: (N, P, Q, Op) f32, all read as vec4.
// Cp and Op are C and O rounded up to a multiple of 4; the lanes between hold 0 and stay 0.
//
// An implicit matrix product: rows are the M = N*P*Q pixels of y, columns its channels, depth is KH*KW*Cp. One
// invocation keeps 8 rows (consecutive pixels) x 8 columns in registers and reads 16 vec4 for 256 multiply-adds,
// with no workgroup memory. The rows are written out, not looped over, because a loop over a local array leaves the
// registers on every driver that does not unroll it (naga's bound on loops prevents that on most).
// Loops test at their end: a software rasteriser runs the body once more, masked, when the test comes first.
//
// Grid: x = ceil(ceil(M / 8) / (WG / WG_COLS)), y = ceil(ceil(Op / 8) / WG_COLS), z = 1.

override WG: u32 = 64u;
/// How many of the WG invocations lie along the columns; divides WG.
override WG_COLS: u32 = 4u;

@group(0) @binding(0) var<uniform> dims: ConvDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;

fn load_x(t: Tap, c: u32) -> vec4<f32> {
    return select(vec4<f32>(), x[t.at + c], t.inside);
}

/// Rows c to c + 3 of the weights of one tap, at four columns: w[kh,kw,c..c+4,o..o+4], `row` being the first vec4.
fn load_w(row: u32, pitch: u32) -> mat4x4<f32> {
    return mat4x4<f32>(w[row], w[row + pitch], w[row + 2u * pitch], w[row + 3u * pitch]);
}

fn store(row: u32, col: u32, o4: u32, value: vec4<f32>) {
    if (row < dims.n * dims.p * dims.q && col < o4) {
        let at = row * o4 + col;
        y[at] = value + bias[col] + select(vec4<f32>(), y[at], dims.accumulate == 1u);
    }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let c4 = (dims.c + 3u) / 4u;
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
        let t0 = input_tap(r0, kh, kw, c4);
        let t1 = input_tap(r1, kh, kw, c4);
        let t2 = input_tap(r2, kh, kw, c4);
        let t3 = input_tap(r3, kh, kw, c4);
        let t4 = input_tap(r4, kh, kw, c4);
        let t5 = input_tap(r5, kh, kw, c4);
        let t6 = input_tap(r6, kh, kw, c4);
        let t7 = input_tap(r7, kh, kw, c4);
        if (!(t0.inside || t1.inside || t2.inside || t3.inside || t4.inside || t5.inside || t6.inside || t7.inside)) {
            continue;
        }
        var at = (kh * dims.kw + kw) * c4 * 4u * o4;
        var c = 0u;
        loop {
            let wa = load_w(at + col, o4);
            let wb = load_w(at + col_b, o4);
            let x0 = load_x(t0, c);
            a0 += wa * x0;
            b0 += wb * x0;
            let x1 = load_x(t1, c);
            a1 += wa * x1;
            b1 += wb * x1;
            let x2 = load_x(t2, c);
            a2 += wa * x2;
            b2 += wb * x2;
            let x3 = load_x(t3, c);
            a3 += wa * x3;
            b3 += wb * x3;
            let x4 = load_x(t4, c);
            a4 += wa * x4;
            b4 += wb * x4;
            let x5 = load_x(t5, c);
            a5 += wa * x5;
            b5 += wb * x5;
            let x6 = load_x(t6, c);
            a6 += wa * x6;
            b6 += wb * x6;
            let x7 = load_x(t7, c);
            a7 += wa * x7;
            b7 += wb * x7;
            continuing {
                at += 4u * o4;
                c += 1u;
                break if c >= c4;
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

    store(row + 0u, col, o4, a0);
    store(row + 0u, col + 1u, o4, b0);
    store(row + 1u, col, o4, a1);
    store(row + 1u, col + 1u, o4, b1);
    store(row + 2u, col, o4, a2);
    store(row + 2u, col + 1u, o4, b2);
    store(row + 3u, col, o4, a3);
    store(row + 3u, col + 1u, o4, b3);
    store(row + 4u, col, o4, a4);
    store(row + 4u, col + 1u, o4, b4);
    store(row + 5u, col, o4, a5);
    store(row + 5u, col + 1u, o4, b5);
    store(row + 6u, col, o4, a6);
    store(row + 6u, col + 1u, o4, b6);
    store(row + 7u, col, o4, a7);
    store(row + 7u, col + 1u, o4, b7);
}
