// PCG4D (Jarzynski and Olano, JCGT 2020): four well-mixed words from four words. Twin: src/rng.rs.
fn pcg4d(seed: vec4<u32>) -> vec4<u32> {
    var v = seed * 1664525u + 1013904223u;
    v.x += v.y * v.w;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v.w += v.y * v.z;
    v = v ^ (v >> vec4<u32>(16u));
    v.x += v.y * v.w;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v.w += v.y * v.z;
    return v;
}

// A float in [0, 1) from the upper 24 bits.
fn rng_unit(word: u32) -> f32 {
    return f32(word >> 8u) * (1.0 / 16777216.0);
}

// cos(2 pi u) for u in [0, 1). WGSL lets a driver's own cosine be wrong by 5e-4, and SwiftShader's is by 2e-4; this one is
// within 2e-7: sine and cosine as series about the nearest quarter of the circle.
fn rng_cos_turn(u: f32) -> f32 {
    let quarter = floor(4.0 * u + 0.5);
    let x = (u - 0.25 * quarter) * 6.2831853;
    let xx = x * x;
    let cosine = 1.0 - xx * (0.5 - xx * (1.0 / 24.0 - xx * (1.0 / 720.0 - xx * (1.0 / 40320.0))));
    let sine = x * (1.0 - xx * (1.0 / 6.0 - xx * (1.0 / 120.0 - xx * (1.0 / 5040.0 - xx * (1.0 / 362880.0)))));
    let k = u32(quarter) % 4u;
    let v = select(cosine, sine, k % 2u == 1u);
    return select(v, -v, k == 1u || k == 2u);
}

// A normal value from two words (Box and Muller).
fn rng_normal(a: u32, b: u32) -> f32 {
    return sqrt(-2.0 * log(1.0 - rng_unit(a))) * rng_cos_turn(rng_unit(b));
}
