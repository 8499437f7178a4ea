// The mean of a sign bit, 2 q - 1, before it is clipped: a map's value, or its tanh.
const BERNOULLI_LIMIT: f32 = 0.9998;
fn bernoulli_mean(f: vec4<f32>, bounded: u32) -> vec4<f32> {
    // At 10 tanh is 1 to the last bit, and drivers that compute it by exp overflow far beyond.
    let t = tanh(clamp(f, vec4<f32>(-10.0), vec4<f32>(10.0)));
    return select(f, t, bounded == 1u);
}
