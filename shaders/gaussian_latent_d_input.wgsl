// Latent map, backward; an invocation a value of raw.  With v the log-variance and d_z = 0 where `upstream` is 0:
//   d_mean (+)= d_z + weight mean
//   d_v (+)= d_z (z - mean) / 2 + weight (exp(v) - 1) / 2 where v is inside its limits, else 0;  pad lanes get 0.
// z - mean is eps exp(v / 2).  weight = that of the divergence / images.
struct GaussianLatentDims {
    images: u32, first: u32, pixels: u32, channels: u32, pitch: u32, raw_pitch: u32, seed: u32, step: u32,
    sampled: u32, block: u32, blocks: u32, weight: f32, upstream: u32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> dims: GaussianLatentDims;
@group(0) @binding(1) var<storage, read> raw: array<f32>;
@group(0) @binding(2) var<storage, read> z: array<f32>;
@group(0) @binding(3) var<storage, read> d_z: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_raw: array<f32>;

const LIMIT = 10.0;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.images * dims.pixels * dims.raw_pitch { return; }
    let pixel = i / dims.raw_pitch;
    let lane = i % dims.raw_pitch;
    var d = 0.0;
    if lane < 2u * dims.channels {
        let at = pixel * dims.pitch + lane % dims.channels;
        var g = 0.0;
        if dims.upstream == 1u { g = d_z[at]; }
        if lane < dims.channels {
            d = g + dims.weight * raw[i];
        } else if raw[i] >= -LIMIT && raw[i] <= LIMIT {
            d = 0.5 * (g * (z[at] - raw[i - dims.channels]) + dims.weight * (exp(raw[i]) - 1.0));
        }
    }
    if dims.accumulate == 1u { d += d_raw[i]; }
    d_raw[i] = d;
}
