// Maximum pooling of sign words.  A set bit means -1, so the sign of the maximum is the `and` of the window's words;
// padding never wins. A word an invocation.
struct PoolDims {
    images: u32, h: u32, w: u32, out_h: u32, out_w: u32, vectors: u32,
    kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    include_pad: u32, keep: u32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: PoolDims;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    // `vectors` are words here.
    if i >= dims.images * dims.out_h * dims.out_w * dims.vectors { return; }
    let v = i % dims.vectors;
    let pixel = i / dims.vectors;
    let ox = pixel % dims.out_w;
    let oy = (pixel / dims.out_w) % dims.out_h;
    let image = pixel / (dims.out_w * dims.out_h) * dims.h * dims.w;
    // The window inside the image; unsigned, so the padding is taken off last.
    let top = max(oy * dims.stride_h, dims.pad_h) - dims.pad_h;
    let left = max(ox * dims.stride_w, dims.pad_w) - dims.pad_w;
    let bottom = min(oy * dims.stride_h + dims.kernel_h - dims.pad_h, dims.h);
    let right = min(ox * dims.stride_w + dims.kernel_w - dims.pad_w, dims.w);
    var bits = 0xffffffffu;
    for (var iy = top; iy < bottom; iy += 1u) {
        for (var ix = left; ix < right; ix += 1u) {
            bits &= x[(image + iy * dims.w + ix) * dims.vectors + v];
        }
    }
    y[i] = bits;
}
