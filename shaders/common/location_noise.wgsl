// Noise of sampled locations, after common/rng.wgsl.  Twin: src/cpu/gaussian_location.rs.

// Larger log-variances count as this one: exp(LIMIT / 2) is about 2e4, and a runaway head cannot overflow.
const LOG_VARIANCE_LIMIT = 20.0;

// Four standard normal values of a prior.
fn location_noise(seed: u32, step: u32, image: u32, prior: u32) -> vec4<f32> {
    let a = pcg4d(vec4<u32>(seed, step, image, 4u * prior));
    let b = pcg4d(vec4<u32>(seed, step, image, 4u * prior + 1u));
    let c = pcg4d(vec4<u32>(seed, step, image, 4u * prior + 2u));
    let d = pcg4d(vec4<u32>(seed, step, image, 4u * prior + 3u));
    return vec4<f32>(rng_normal(a.x, a.y), rng_normal(b.x, b.y), rng_normal(c.x, c.y), rng_normal(d.x, d.y));
}
