// Scaling of fixed-point numbers without 64-bit integers: acc * mul / 2^shift, halves rounded up.  Twin: src/cpu/fixed.rs.
//   v = floor((t + 1) / 2),   t = floor(acc mul / 2^s1),   s1 = shift - 1
// With acc = 2^16 high + low, 0 <= low < 2^16, and |mul| < 2^15:
//   s1 < 0:    t = acc mul 2^-s1
//   s1 < 16:   t = high mul 2^(16 - s1) + floor(low mul / 2^s1)
//   s1 >= 16:  t = floor((high mul + floor(low mul / 2^16)) / 2^(s1 - 16))
// |high mul| < 2^30 and |low mul| < 2^31 fit. In the first two lines terms may wrap; t does not, as v is promised to fit
// 30 bits. Shifts go from -14 to 46; others count as the nearest of these.
fn fixed_scale(acc: vec4<i32>, mul: vec4<i32>, shift: vec4<i32>) -> vec4<i32> {
    let zero = vec4<i32>();
    let s1 = clamp(shift, vec4<i32>(-14), vec4<i32>(46)) - vec4<i32>(1);
    let high = (acc >> vec4<u32>(16u)) * mul;
    let low = (acc & vec4<i32>(65535)) * mul;
    // Every lane computes all three, with shifts that are kept inside 0 to 31 where they are not meant.
    let left = vec4<u32>(max(zero - s1, zero));
    let near = vec4<u32>(clamp(s1, zero, vec4<i32>(15)));
    let far = vec4<u32>(max(s1 - vec4<i32>(16), zero));
    let a = (acc * mul) << left;
    let b = (high << (vec4<u32>(16u) - near)) + (low >> near);
    let c = (high + (low >> vec4<u32>(16u))) >> far;
    let t = select(select(b, c, s1 >= vec4<i32>(16)), a, s1 < zero);
    return (t + vec4<i32>(1)) >> vec4<u32>(1u);
}

// The same where |acc| <= 2^16, as the sums of binary layers are: then acc mul fits 32 bits as it is.
fn fixed_scale_small(acc: vec4<i32>, mul: vec4<i32>, shift: vec4<i32>) -> vec4<i32> {
    let zero = vec4<i32>();
    let s1 = clamp(shift, vec4<i32>(-14), vec4<i32>(32)) - vec4<i32>(1);
    let t = ((acc * mul) << vec4<u32>(max(zero - s1, zero))) >> vec4<u32>(max(s1, zero));
    return (t + vec4<i32>(1)) >> vec4<u32>(1u);
}
