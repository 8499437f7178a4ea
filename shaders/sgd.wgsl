// Stochastic gradient descent with momentum as PyTorch computes it (no dampening, not Nesterov), element by element of
// a slab:  g = scale g + decay p;  u = momentum u + g;  p -= size u.  control comes from optimizer_advance.
struct SgdDims { vectors: u32, momentum: f32, decay: f32 }
@group(0) @binding(0) var<uniform> dims: SgdDims;
@group(0) @binding(1) var<storage, read> control: array<u32>;
@group(0) @binding(2) var<storage, read> grads: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> params: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> u: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.vectors || control[0] == 0u { return; }
    let p = params[i];
    let g = grads[i] * bitcast<f32>(control[1]) + dims.decay * p;
    let velocity = dims.momentum * u[i] + g;
    u[i] = velocity;
    params[i] = p - bitcast<f32>(control[2]) * velocity;
}
