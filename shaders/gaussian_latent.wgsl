// Latent map of a variational autoencoder, forward; an invocation a value of z.  raw has 2 Z channels, first means, then
// log-variances:  z = mean + k eps exp(clamp(log-variance) / 2),  k = 1, or 0 where `sampled` is 0; pad lanes get 0.
// eps is standard normal, from (seed, step, place in the batch, place in the image) alone.
struct GaussianLatentDims {
    images: u32, first: u32, pixels: u32, channels: u32, pitch: u32, raw_pitch: u32, seed: u32, step: u32,
    sampled: u32, block: u32, blocks: u32, weight: f32, upstream: u32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: GaussianLatentDims;
@group(0) @binding(1) var<storage, read> raw: array<f32>;
@group(0) @binding(2) var<storage, read> hyper: array<u32>;
@group(0) @binding(3) var<storage, read_write> z: array<f32>;

// Sets this use of the generator apart from others.
const STREAM = 0x1a7e0001u;
const LIMIT = 10.0;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.images * dims.pixels * dims.pitch { return; }
    let pixel = i / dims.pitch;
    let c = i % dims.pitch;
    var value = 0.0;
    if c < dims.channels {
        let at = pixel * dims.raw_pitch + c;
        value = raw[at];
        if dims.sampled == 1u {
            let place = pixel % dims.pixels * dims.channels + c;
            let w = pcg4d(vec4<u32>(hyper[dims.seed] ^ STREAM, hyper[dims.step], dims.first + pixel / dims.pixels, place));
            let half_log = 0.5 * clamp(raw[at + dims.channels], -LIMIT, LIMIT);
            value += rng_normal(w.x, w.y) * exp(half_log);
        }
    }
    z[i] = value;
}
