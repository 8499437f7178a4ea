// 2-D convolution with groups, gradient to the weights.
//   d_w[kh,kw,c,o] += sum over n, p, q, in this order, of x[.., group(o) * Cg + c] at the tap * d_y[n,p,q,o]
// x: (N, H, W, Cp), d_y: (N, P, Q, Op), d_w: (KH, KW, Cg padded to 4, Op). The sum starts from what d_w holds, so slices of
// the batch give the bits of one dispatch. One invocation makes four output channels of one weight row.
@group(0) @binding(0) var<uniform> dims: ConvDims;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> d_y: array<f32>;
@group(0) @binding(3) var<storage, read_write> d_w: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let cp = (dims.c + 3u) / 4u * 4u;
    let op = (dims.o + 3u) / 4u * 4u;
    let cg = dims.c / dims.groups;
    let og = dims.o / dims.groups;
    let cgp = (cg + 3u) / 4u * 4u;
    let i = flat_index(gid, groups, 64u);
    let row = i / (op / 4u);
    if row >= dims.kh * dims.kw * cgp || row % cgp >= cg { return; }
    let kh = row / cgp / dims.kw;
    let kw = row / cgp % dims.kw;
    for (var k = 0u; k < 4u; k++) {
        let o = i % (op / 4u) * 4u + k;
        if o >= dims.o { break; }
        let c = o / og * cg + row % cgp;
        var sum = d_w[row * op + o];
        for (var n = 0u; n < dims.n; n++) {
            for (var p = 0u; p < dims.p; p++) {
                let r = p * dims.stride_h + kh * dims.dil_h - dims.pad_h; // wraps below 0: past the end
                if r >= dims.h { continue; }
                for (var q = 0u; q < dims.q; q++) {
                    let u = q * dims.stride_w + kw * dims.dil_w - dims.pad_w;
                    if u >= dims.w { continue; }
                    sum += x[((n * dims.h + r) * dims.w + u) * cp + c] * d_y[((n * dims.p + p) * dims.q + q) * op + o];
                }
            }
        }
        d_w[row * op + o] = sum;
    }
}
