// Adam (Kingma and Ba 2015) as PyTorch computes it, element by element of a slab:
// g = scale g + decay p;  m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2;
// p -= size m / (sqrt(v) / sqrt(c2) + eps).  control comes from optimizer_advance.
struct AdamDims { vectors: u32, complement1: f32, beta2: f32, complement2: f32, eps: f32, decay: f32 }
@group(0) @binding(0) var<uniform> dims: AdamDims;
@group(0) @binding(1) var<storage, read> control: array<u32>;
@group(0) @binding(2) var<storage, read> grads: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> params: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> v: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.vectors || control[0] == 0u { return; }
    let p = params[i];
    let g = grads[i] * bitcast<f32>(control[1]) + dims.decay * p;
    let first = m[i] + dims.complement1 * (g - m[i]);
    let second = dims.beta2 * v[i] + dims.complement2 * g * g;
    m[i] = first;
    v[i] = second;
    let root = sqrt(second) / bitcast<f32>(control[3]) + dims.eps;
    params[i] = p - bitcast<f32>(control[2]) * (first / root);
}
