// 2-D convolution with groups, forward.
//   y[n,p,q,o] = bias[o] + sum over kh, kw, c of x[n, p s - pad + kh d, q s - pad + kw d, group(o) * Cg + c] * w[kh,kw,c,o]
// Cg = C / groups input channels a group, Og = O / groups output channels, group(o) = o / Og.
// x: (N, H, W, Cp), w: (KH, KW, Cg padded to 4, Op), y: (N, P, Q, Op), scalars; lanes past O are written 0.
// One invocation makes four output channels of a pixel. Depth is short here (1 for depthwise), so nothing is blocked.
@group(0) @binding(0) var<uniform> dims: ConvDims;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let cp = (dims.c + 3u) / 4u * 4u;
    let o4 = (dims.o + 3u) / 4u;
    let i = flat_index(gid, groups, 64u);
    if i >= dims.n * dims.p * dims.q * o4 { return; }
    let pixel = i / o4;
    let q = pixel % dims.q;
    let p = pixel / dims.q % dims.p;
    let n = pixel / (dims.p * dims.q);
    let cg = dims.c / dims.groups;
    let og = dims.o / dims.groups;
    let cgp = (cg + 3u) / 4u * 4u;
    var sum = array<f32, 4>();
    for (var k = 0u; k < 4u; k++) {
        let o = i % o4 * 4u + k;
        if o >= dims.o { continue; }
        var s = bias[o];
        for (var kh = 0u; kh < dims.kh; kh++) {
            let row = p * dims.stride_h + kh * dims.dil_h - dims.pad_h; // wraps below 0: past the end
            for (var kw = 0u; kw < dims.kw; kw++) {
                let col = q * dims.stride_w + kw * dims.dil_w - dims.pad_w;
                if row >= dims.h || col >= dims.w { continue; }
                let at = ((n * dims.h + row) * dims.w + col) * cp + o / og * cg;
                let tap = (kh * dims.kw + kw) * cgp;
                for (var c = 0u; c < cg; c++) { s += x[at + c] * w[(tap + c) * o4 * 4u + o]; }
            }
        }
        sum[k] = s;
    }
    y[i] = vec4<f32>(sum[0], sum[1], sum[2], sum[3]);
}
