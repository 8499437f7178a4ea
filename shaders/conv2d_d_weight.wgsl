// 2-D convolution of float maps, gradient to the weights.
//   d_w[kh,kw,c,o] += sum over n, p, q of
//                     x[n, p*stride_h - pad_h + kh*dil_h, q*stride_w - pad_w + kw*dil_w, c] * d_y[n,p,q,o]
//
// x: (N, H, W, Cp) f32, d_y: (N, P, Q, Op) f32, d_w: (KH, KW, Cp, Op) f32, all read as vec4.
// Cp and Op are C and O rounded up to a multiple of 4; the lanes between hold 0 and stay 0.
//
// The sum over pixels runs in a fixed order and starts from what d_w holds, so that dispatches over successive slices
// of the batch give the bits of one dispatch. For more parallelism the rows p are dealt to `splits` partial sums: split
// s takes the rows p = s, s + splits, ... of every image, and d_w is then the buffer (splits, KH, KW, Cp, Op) of
// partial sums that conv2d_d_weight_sum adds up. splits = 1 writes the gradient itself. 1 <= splits <= P.
//
// One invocation keeps 8 input channels x 16 output channels of one tap in registers and reads 6 vec4 a pixel for 128
// multiply-adds.
//
// Grid: x = ceil(KH * KW * ceil(Cp / 8) * ceil(Op / 16) / WG), y = 1, z = splits.

override WG: u32 = 64u;

@group(0) @binding(0) var<uniform> dims: ConvDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> d_y: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> d_w: array<vec4<f32>>;

/// One row of d_w, for one input channel: sixteen output channels.
fn load(row: u32, i: u32) -> vec4<f32> {
    let o4 = (dims.o + 3u) / 4u;
    return d_w[row * o4 + min(i, o4 - 1u)];
}

fn store(row: u32, col: u32, s0: vec4<f32>, s1: vec4<f32>, s2: vec4<f32>, s3: vec4<f32>) {
    let o4 = (dims.o + 3u) / 4u;
    d_w[row * o4 + col] = s0;
    if (col + 1u < o4) {
        d_w[row * o4 + col + 1u] = s1;
    }
    if (col + 2u < o4) {
        d_w[row * o4 + col + 2u] = s2;
    }
    if (col + 3u < o4) {
        d_w[row * o4 + col + 3u] = s3;
    }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let c4 = (dims.c + 3u) / 4u;
    let o4 = (dims.o + 3u) / 4u;
    let row_blocks = (c4 + 1u) / 2u;
    let col_blocks = (o4 + 3u) / 4u;
    let block = group.x * WG + lane.x;
    let tap = block / (row_blocks * col_blocks);
    if (tap >= dims.kh * dims.kw) {
        return;
    }
    let kh = tap / dims.kw;
    let kw = tap % dims.kw;
    let row_a = block / col_blocks % row_blocks * 2u;
    let row_b = min(row_a + 1u, c4 - 1u);
    let col = block % col_blocks * 4u;
    let col_1 = min(col + 1u, o4 - 1u);
    let col_2 = min(col + 2u, o4 - 1u);
    let col_3 = min(col + 3u, o4 - 1u);
    let split = group.z;
    let at_a = ((split * dims.kh * dims.kw + tap) * c4 + row_a) * 4u;
    let at_b = ((split * dims.kh * dims.kw + tap) * c4 + row_b) * 4u;

    var a0_0 = load(at_a + 0u, col + 0u);
    var a0_1 = load(at_a + 0u, col + 1u);
    var a0_2 = load(at_a + 0u, col + 2u);
    var a0_3 = load(at_a + 0u, col + 3u);
    var a1_0 = load(at_a + 1u, col + 0u);
    var a1_1 = load(at_a + 1u, col + 1u);
    var a1_2 = load(at_a + 1u, col + 2u);
    var a1_3 = load(at_a + 1u, col + 3u);
    var a2_0 = load(at_a + 2u, col + 0u);
    var a2_1 = load(at_a + 2u, col + 1u);
    var a2_2 = load(at_a + 2u, col + 2u);
    var a2_3 = load(at_a + 2u, col + 3u);
    var a3_0 = load(at_a + 3u, col + 0u);
    var a3_1 = load(at_a + 3u, col + 1u);
    var a3_2 = load(at_a + 3u, col + 2u);
    var a3_3 = load(at_a + 3u, col + 3u);
    var b0_0 = load(at_b + 0u, col + 0u);
    var b0_1 = load(at_b + 0u, col + 1u);
    var b0_2 = load(at_b + 0u, col + 2u);
    var b0_3 = load(at_b + 0u, col + 3u);
    var b1_0 = load(at_b + 1u, col + 0u);
    var b1_1 = load(at_b + 1u, col + 1u);
    var b1_2 = load(at_b + 1u, col + 2u);
    var b1_3 = load(at_b + 1u, col + 3u);
    var b2_0 = load(at_b + 2u, col + 0u);
    var b2_1 = load(at_b + 2u, col + 1u);
    var b2_2 = load(at_b + 2u, col + 2u);
    var b2_3 = load(at_b + 2u, col + 3u);
    var b3_0 = load(at_b + 3u, col + 0u);
    var b3_1 = load(at_b + 3u, col + 1u);
    var b3_2 = load(at_b + 3u, col + 2u);
    var b3_3 = load(at_b + 3u, col + 3u);

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
                let xa = select(vec4<f32>(), x[pixel * c4 + row_a], inside);
                let xb = select(vec4<f32>(), x[pixel * c4 + row_b], inside);
                let g0 = d_y[at + col];
                let g1 = d_y[at + col_1];
                let g2 = d_y[at + col_2];
                let g3 = d_y[at + col_3];
                a0_0 += xa.x * g0;
                a0_1 += xa.x * g1;
                a0_2 += xa.x * g2;
                a0_3 += xa.x * g3;
                a1_0 += xa.y * g0;
                a1_1 += xa.y * g1;
                a1_2 += xa.y * g2;
                a1_3 += xa.y * g3;
                a2_0 += xa.z * g0;
                a2_1 += xa.z * g1;
                a2_2 += xa.z * g2;
                a2_3 += xa.z * g3;
                a3_0 += xa.w * g0;
                a3_1 += xa.w * g1;
                a3_2 += xa.w * g2;
                a3_3 += xa.w * g3;
                b0_0 += xb.x * g0;
                b0_1 += xb.x * g1;
                b0_2 += xb.x * g2;
                b0_3 += xb.x * g3;
                b1_0 += xb.y * g0;
                b1_1 += xb.y * g1;
                b1_2 += xb.y * g2;
                b1_3 += xb.y * g3;
                b2_0 += xb.z * g0;
                b2_1 += xb.z * g1;
                b2_2 += xb.z * g2;
                b2_3 += xb.z * g3;
                b3_0 += xb.w * g0;
                b3_1 += xb.w * g1;
                b3_2 += xb.w * g2;
                b3_3 += xb.w * g3;
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

    store(at_a + 0u, col, a0_0, a0_1, a0_2, a0_3);
    store(at_a + 1u, col, a1_0, a1_1, a1_2, a1_3);
    store(at_a + 2u, col, a2_0, a2_1, a2_2, a2_3);
    store(at_a + 3u, col, a3_0, a3_1, a3_2, a3_3);
    if (row_a + 1u < c4) {
        store(at_b + 0u, col, b0_0, b0_1, b0_2, b0_3);
        store(at_b + 1u, col, b1_0, b1_1, b1_2, b1_3);
        store(at_b + 2u, col, b2_0, b2_1, b2_2, b2_3);
        store(at_b + 3u, col, b3_0, b3_1, b3_2, b3_3);
    }
}
