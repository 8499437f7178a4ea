// What the kernels over a binary convolution's latent weights share: sizes (src/cpu/binary_conv2d.rs) and a sum over a
// workgroup's invocations, added as a tree in an order that depends on WG alone. The kernel declares WG, a power of two.
struct BinaryWeightDims {
    kh: u32,
    kw: u32,
    c: u32,
    o: u32,
    rule: u32,
}

var<workgroup> sums: array<vec4<f32>, WG>;

// The same for all invocations; every one calls it, once.
fn filter_sum(lane: u32, value: vec4<f32>) -> vec4<f32> {
    sums[lane] = value;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half { sums[lane] += sums[lane + half]; }
        workgroupBarrier();
    }
    return sums[0];
}
