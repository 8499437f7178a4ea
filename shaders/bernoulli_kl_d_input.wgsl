// Divergence of sign bits from fair coins, backward.
//   d_f (+)= scale[index] factor weight(image) log((1 + u) / (1 - u)) / 2 [* (1 - u^2) where `bounded`]
// and 0 where u, which is f or tanh f, is clipped: beyond 1 - 2e-4 on both sides. weight is 1 where `weighted` is 0;
// factor = 1 / (maps, images and values of an image).
@group(0) @binding(0) var<uniform> dims: FeatureL2Dims;
@group(0) @binding(1) var<storage, read> f: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> scale: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_f: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.images * dims.vectors { return; }
    var factor = scale[dims.index] * dims.factor;
    if dims.weighted == 1u { factor *= weights[dims.first + i / dims.vectors]; }
    let u = bernoulli_mean(f[i], dims.bounded);
    let inside = abs(u) < vec4<f32>(BERNOULLI_LIMIT);
    let v = select(vec4<f32>(), u, inside);
    var slope = 0.5 * (log(1.0 + v) - log(1.0 - v));
    if dims.bounded == 1u { slope *= 1.0 - v * v; }
    var d = factor * slope;
    if dims.accumulate == 1u { d += d_f[i]; }
    d_f[i] = d;
}
