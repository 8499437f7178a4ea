// Average pooling, backward.  d_x (+)= sum of d_y / divisor over the windows that hold this pixel, in row-major order.
struct PoolDims {
    images: u32, h: u32, w: u32, out_h: u32, out_w: u32, vectors: u32,
    kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    include_pad: u32, keep: u32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: PoolDims;
@group(0) @binding(1) var<storage, read> d_y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> d_x: array<vec4<f32>>;

// The number of pixels that the average of window (oy, ox) divides by: those inside the image, or with `include_pad`
// also those of the padding, but none beyond it.
fn divisor(oy: u32, ox: u32) -> f32 {
    var begin = vec2<u32>(oy * dims.stride_h, ox * dims.stride_w);
    var end = begin + vec2<u32>(dims.kernel_h, dims.kernel_w);
    let pad = vec2<u32>(dims.pad_h, dims.pad_w);
    let size = vec2<u32>(dims.h, dims.w);
    if dims.include_pad == 1u {
        end = min(end, size + 2u * pad);
    } else {
        begin = max(begin, pad);
        end = min(end, size + pad);
    }
    return f32((end.x - begin.x) * (end.y - begin.y));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.images * dims.h * dims.w * dims.vectors { return; }
    let v = i % dims.vectors;
    let pixel = i / dims.vectors;
    let ix = pixel % dims.w;
    let iy = (pixel / dims.w) % dims.h;
    let image = pixel / (dims.w * dims.h) * dims.out_h * dims.out_w;
    // The windows that hold this pixel: those that start at most kernel - 1 before it, and not behind it.
    let y = iy + dims.pad_h;
    let x = ix + dims.pad_w;
    let top = (max(y + dims.stride_h, dims.kernel_h) - dims.kernel_h) / dims.stride_h;
    let left = (max(x + dims.stride_w, dims.kernel_w) - dims.kernel_w) / dims.stride_w;
    let bottom = min(y / dims.stride_h + 1u, dims.out_h);
    let right = min(x / dims.stride_w + 1u, dims.out_w);
    var d = vec4<f32>(0.0);
    for (var oy = top; oy < bottom; oy += 1u) {
        for (var ox = left; ox < right; ox += 1u) {
            d += d_y[(image + oy * dims.out_w + ox) * dims.vectors + v] / divisor(oy, ox);
        }
    }
    if dims.accumulate == 1u { d += d_x[i]; }
    d_x[i] = d;
}
