// A fixed-point map to signed bytes, perhaps averaged over 2x2 windows first.
//   q = clamp(fixed_scale(a, mul, shift) + zero, -128, 127)
// a is x or, with `pool`, floor(sum of x over the pixels of the window that lie inside / their number): windows of 2x2,
// stride 2, so that the number is 4, 2 or 1 and the division a shift. |x| < 2^29, so the sum fits.
//
// x: (N, H, W, Cp) i32 read as vec4, Cp = C rounded up to a multiple of 4;
// y: (N, P, Q, Wd) u32, Wd = ceil(C / 4), byte i of word j = channel 4*j + i, bytes past C 0.
// One invocation makes one word.
struct FixedQuantizeDims {
    images: u32, h: u32, w: u32, out_h: u32, out_w: u32, c: u32, pool: u32, mul: i32, shift: i32, zero: i32,
}
@group(0) @binding(0) var<uniform> dims: FixedQuantizeDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<i32>>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

fn mean(image: u32, oy: u32, ox: u32, words: u32, v: u32) -> vec4<i32> {
    // 1 where the window has a second row (column) inside.
    let down = select(0u, 1u, 2u * oy + 1u < dims.h);
    let right = select(0u, 1u, 2u * ox + 1u < dims.w);
    let at = ((image * dims.h + 2u * oy) * dims.w + 2u * ox) * words + v;
    let below = at + down * dims.w * words;
    var sum = x[at];
    if right == 1u { sum += x[at + words]; }
    if down == 1u { sum += x[below]; }
    if right + down == 2u { sum += x[below + words]; }
    return sum >> vec4<u32>(right + down);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let words = (dims.c + 3u) / 4u;
    let i = flat_index(gid, groups, 64u);
    if i >= dims.images * dims.out_h * dims.out_w * words { return; }
    let v = i % words;
    var a: vec4<i32>;
    if dims.pool == 1u {
        let pixel = i / words;
        let row = pixel / dims.out_w;
        a = mean(row / dims.out_h, row % dims.out_h, pixel % dims.out_w, words, v);
    } else {
        a = x[i];
    }
    let scaled = fixed_scale(a, vec4<i32>(dims.mul), vec4<i32>(dims.shift)) + vec4<i32>(dims.zero);
    let q = clamp(scaled, vec4<i32>(-128), vec4<i32>(127));
    y[i] = pack4xI8(select(vec4<i32>(), q, lane_mask(v, dims.c)));
}
