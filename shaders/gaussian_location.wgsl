// Sampled locations (Gaussian posterior with a diagonal covariance), one invocation a prior of an image.
// raw: (images, P, 8), per prior 4 log-variances s, then 4 means mu.
// y = mu + k eps exp(min(s, LIMIT) / 2) where the prior is positive, else mu; k = hyper[noise].
// eps is standard normal, a function of (seed, step, image of the batch, 4 prior + coordinate) alone.
struct GaussianDims { rows: u32, priors: u32, first: u32, noise: u32, seed: u32, step: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: GaussianDims;
@group(0) @binding(1) var<storage, read> raw: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read> hyper: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = flat_index(gid, groups, 64u);
    if row >= dims.rows { return; }
    var v = raw[2u * row + 1u];
    let k = bitcast<f32>(hyper[dims.noise]);
    if targets[row] > 0 && k != 0.0 {
        let eps = location_noise(hyper[dims.seed], hyper[dims.step], dims.first + row / dims.priors, row % dims.priors);
        v += k * eps * exp(0.5 * min(raw[2u * row], vec4<f32>(LOG_VARIANCE_LIMIT)));
    }
    y[row] = v;
}
