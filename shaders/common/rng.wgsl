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

// A normal value from two words (Box and Muller).
fn rng_normal(a: u32, b: u32) -> f32 {
    return sqrt(-2.0 * log(1.0 - rng_unit(a))) * cos(6.2831853 * rng_unit(b));
}
