// Gradient to the latent weights of a binary convolution, from the gradient to its weights W_b = alpha * sign(w).
//   rule 1:  d_w[k,o] += alpha[o] * g[k,o] + sign(w[k,o]) * (1/n) * sum over k' of g[k',o] * sign(w[k',o])
//   rule 0:  d_w[k,o] += g[k,o]
//   rule 2:  d_w[k,o] += g[k,o] * (alpha[o] * 1[|w[k,o]| < 1] + 1/n) * (1 - 1/C)
// k runs over the n = C*KH*KW taps and channels. In rule 1 the first term passes sign straight through (no window), the
// second is the share of alpha[o] = mean |w|; sign(0) = 0 in it. Rule 0 is that of alpha = 1. Rule 2 is XNOR-Net's own,
// for weights that binary_weight_center has made. g is the gradient to W_b, the output of binary_conv2d_d_weight.
//
// w, g, d_w: (KH, KW, Cp, Op) f32 read as vec4, alpha: (Op) f32; the lanes past C and O hold 0 and stay 0.
//
// One workgroup makes four output channels; the sum is added as a tree, in a fixed order that depends on WG alone.
// WG is a power of two.
//
// Grid: x = ceil(Op / 4), y = z = 1.

override WG: u32 = 64u;

@group(0) @binding(0) var<uniform> dims: BinaryWeightDims;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> alpha: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> d_w: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let cp = (dims.c + 3u) / 4u * 4u;
    let o4 = (dims.o + 3u) / 4u;
    let col = group.x;
    let rows = dims.kh * dims.kw * cp;

    // Rows past C need no care here: g is 0 there.
    var sum = vec4<f32>();
    if (dims.rule == 1u) {
        for (var k = lane.x; k < rows; k += WG) {
            sum += g[k * o4 + col] * sign(w[k * o4 + col]);
        }
    }
    let whole = filter_sum(lane.x, sum);

    let n = f32(dims.c * dims.kh * dims.kw);
    let mean = whole / n;
    let a = alpha[col];
    let centred = 1.0 - 1.0 / f32(dims.c);
    for (var k = lane.x; k < rows; k += WG) {
        if (k % cp < dims.c) {
            let at = k * o4 + col;
            if (dims.rule == 2u) {
                let inside = select(vec4<f32>(), a, abs(w[at]) < vec4<f32>(1.0));
                d_w[at] += g[at] * (inside + 1.0 / n) * centred;
            } else {
                d_w[at] += a * g[at] + sign(w[at]) * mean;
            }
        }
    }
}
