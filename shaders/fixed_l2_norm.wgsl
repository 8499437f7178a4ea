// Normalisation of each pixel's channels in integers: q_c = round(factor_c x_c / |x|) in signed bytes.
//   t_c = clamp(floor(x_c / 2^shift), -2047, 2047)
//   s   = sum over c of t_c^2                         < 2^32, as C <= 1024
//   k   = the largest with s 4^k < 2^32 (up to 15),   r = floor(sqrt(s 4^k)),   at least 1
//   u_c = t_c 2^k
//   q_c = clamp(sign * floor((|u_c| |m_c| + floor(d / 2)) / d), -128, 127),   d = r 2^e_c
// weight_c = 16 m_c + e_c stands for the factor m_c / 2^e_c, |m_c| < 2^14, 0 <= e_c <= 14 (ops::fixed_l2_norm).
// Bounds: r < 2^16, and at least 2^15 unless s = 0; |u_c| <= sqrt(s 4^k) < 2^16; so |u_c| |m_c| < 2^30 and d < 2^30.
// Errors of q_c / (factor_c t_c / sqrt(s)): r 2^-15, m_c 2^-14 (for factors of 1/2 and more), and the last rounding's 1/2.
// A pixel of zeros gives zeros, as do the lanes past C.
//
// x: (pixels, Cp) i32 read as vec4, weight: (Cp) i32 read as vec4, y: (pixels, Cp / 4) u32, byte i of word j = channel
// 4*j + i. A workgroup takes eight pixels, eight lanes a pixel.
struct FixedL2NormDims {
    pixels: u32, vectors: u32, shift: u32,
}
@group(0) @binding(0) var<uniform> dims: FixedL2NormDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<i32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<i32>>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

var<workgroup> sums: array<u32, 64>;

fn shifted(i: u32) -> vec4<i32> {
    return clamp(x[i] >> vec4<u32>(dims.shift), vec4<i32>(-2047), vec4<i32>(2047));
}

// floor(sqrt(v)), a bit at a time.
fn root(v: u32) -> u32 {
    var r = 0u;
    for (var bit = 0x8000u; bit > 0u; bit >>= 1u) {
        let more = r | bit;
        r = select(r, more, more * more <= v);
    }
    return r;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let pixel = flat_group(wid, groups) * 8u + lane / 8u;
    let inside = pixel < dims.pixels;
    let begin = pixel * dims.vectors;
    var squares = vec4<u32>();
    if inside {
        for (var v = lane % 8u; v < dims.vectors; v += 8u) {
            let t = shifted(begin + v);
            squares += vec4<u32>(t * t);
        }
    }
    sums[lane] = squares.x + squares.y + squares.z + squares.w;
    workgroupBarrier();
    if !inside { return; }
    let first = lane / 8u * 8u;
    var sum = 0u;
    for (var i = 0u; i < 8u; i += 1u) { sum += sums[first + i]; }
    let k = min(countLeadingZeros(sum) / 2u, 15u);
    let r = vec4<u32>(max(root(sum << (2u * k)), 1u));
    for (var v = lane % 8u; v < dims.vectors; v += 8u) {
        let t = shifted(begin + v);
        let m = weight[v] >> vec4<u32>(4u);
        let d = r << vec4<u32>(weight[v] & vec4<i32>(15));
        let product = (vec4<u32>(abs(t)) << vec4<u32>(k)) * vec4<u32>(abs(m));
        // At most 2^15: one above the clamp is enough, and its sign stays its own.
        let q = vec4<i32>(min((product + d / 2u) / d, vec4<u32>(128u)));
        y[begin + v] = pack4xI8(clamp(select(q, -q, (t < vec4<i32>()) != (m < vec4<i32>())), vec4<i32>(-128), vec4<i32>(127)));
    }
}
