// Mean square of feature maps, backward.  d_f (+)= scale[index] factor weight(image) f, weight 1 where `weighted` is 0;
// factor = 2 / (maps, images and values of an image).
@group(0) @binding(0) var<uniform> dims: FeatureL2Dims;
@group(0) @binding(1) var<storage, read> f: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> scale: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_f: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.images * dims.vectors { return; }
    var slope = scale[dims.index] * dims.factor;
    if dims.weighted == 1u { slope *= weights[dims.first + i / dims.vectors]; }
    var d = slope * f[i];
    if dims.accumulate == 1u { d += d_f[i]; }
    d_f[i] = d;
}
