// Gradient of sampled locations: d_mu (+)= d_y;  d_s (+)= d_y k eps exp(s / 2) / 2 where the prior is positive and
// s <= LIMIT, else 0.  The noise is computed again from its counter.
struct GaussianDims { rows: u32, priors: u32, first: u32, noise: u32, seed: u32, step: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: GaussianDims;
@group(0) @binding(1) var<storage, read> raw: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read> hyper: array<u32>;
@group(0) @binding(4) var<storage, read> d_y: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> d_raw: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = flat_index(gid, groups, 64u);
    if row >= dims.rows { return; }
    var d_mean = d_y[row];
    var d_s = vec4<f32>(0.0);
    let k = bitcast<f32>(hyper[dims.noise]);
    if targets[row] > 0 && k != 0.0 {
        let s = raw[2u * row];
        let limit = vec4<f32>(LOG_VARIANCE_LIMIT);
        let eps = location_noise(hyper[dims.seed], hyper[dims.step], dims.first + row / dims.priors, row % dims.priors);
        d_s = select(vec4<f32>(0.0), d_mean * (0.5 * k) * eps * exp(0.5 * min(s, limit)), s <= limit);
    }
    if dims.accumulate == 1u {
        d_mean += d_raw[2u * row + 1u];
        d_s += d_raw[2u * row];
    }
    d_raw[2u * row] = d_s;
    d_raw[2u * row + 1u] = d_mean;
}
