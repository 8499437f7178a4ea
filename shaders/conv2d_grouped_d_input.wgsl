// 2-D convolution with groups, gradient to the input.
//   d_x[n,h,w,c] (+)= sum over kh, kw and the outputs o of the channel's group of d_y[n,p,q,o] * w[kh,kw,c mod Cg,o]
//                     where p s = h + pad - kh d and q s = w + pad - kw d
// d_y: (N, P, Q, Op), w: (KH, KW, Cg padded to 4, Op), d_x: (N, H, W, Cp); lanes past C are written 0.
// One invocation makes four channels of a pixel.
@group(0) @binding(0) var<uniform> dims: ConvDims;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read_write> d_x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let c4 = (dims.c + 3u) / 4u;
    let op = (dims.o + 3u) / 4u * 4u;
    let i = flat_index(gid, groups, 64u);
    if i >= dims.n * dims.h * dims.w * c4 { return; }
    let pixel = i / c4;
    let col = pixel % dims.w;
    let row = pixel / dims.w % dims.h;
    let n = pixel / (dims.h * dims.w);
    let cg = dims.c / dims.groups;
    let og = dims.o / dims.groups;
    let cgp = (cg + 3u) / 4u * 4u;
    var sum = array<f32, 4>();
    for (var k = 0u; k < 4u; k++) {
        let c = i % c4 * 4u + k;
        if c >= dims.c { continue; }
        let first = c / cg * og;
        var s = 0.0;
        for (var kh = 0u; kh < dims.kh; kh++) {
            let v = row + dims.pad_h - kh * dims.dil_h; // wraps below 0: past the end
            if v % dims.stride_h != 0u || v / dims.stride_h >= dims.p { continue; }
            for (var kw = 0u; kw < dims.kw; kw++) {
                let u = col + dims.pad_w - kw * dims.dil_w;
                if u % dims.stride_w != 0u || u / dims.stride_w >= dims.q { continue; }
                let at = ((n * dims.p + v / dims.stride_h) * dims.q + u / dims.stride_w) * op;
                let tap = ((kh * dims.kw + kw) * cgp + c % cg) * op;
                for (var o = first; o < first + og; o++) { s += d_y[at + o] * w[tap + o]; }
            }
        }
        sum[k] = s;
    }
    var value = vec4<f32>(sum[0], sum[1], sum[2], sum[3]);
    if dims.accumulate == 1u { value += d_x[i]; }
    d_x[i] = value;
}
