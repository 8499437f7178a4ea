// One optimizer step's scalars.
// state: (steps applied, bits of c1, bits of c2) with c = 1 - beta^t, the bias corrections of Adam.  They follow
// c += (1 - beta) (1 - c), which loses no digits to a difference from 1, and stay 0 where 1 - beta is 0 (SGD).
// control: apply, and the bits of: gradient scale, step size (lr / c1; lr where c1 is 0), sqrt(c2).
// With the gate at 0 nothing advances and apply is 0.
struct OptimizerAdvanceDims { complement1: f32, complement2: f32, lr: u32 }
@group(0) @binding(0) var<uniform> dims: OptimizerAdvanceDims;
@group(0) @binding(1) var<storage, read> hyper: array<f32>;
@group(0) @binding(2) var<storage, read> norm: array<f32>;
@group(0) @binding(3) var<storage, read> gate: array<u32>;
@group(0) @binding(4) var<storage, read_write> state: array<u32>;
@group(0) @binding(5) var<storage, read_write> control: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
    if gid.x != 0u { return; }
    control[0] = gate[0];
    if gate[0] == 0u { return; }
    var c1 = bitcast<f32>(state[1]);
    var c2 = bitcast<f32>(state[2]);
    c1 += dims.complement1 * (1.0 - c1);
    c2 += dims.complement2 * (1.0 - c2);
    state[0] += 1u;
    state[1] = bitcast<u32>(c1);
    state[2] = bitcast<u32>(c2);
    var size = hyper[dims.lr];
    if c1 > 0.0 { size /= c1; }
    control[1] = bitcast<u32>(norm[1]);
    control[2] = bitcast<u32>(size);
    control[3] = bitcast<u32>(sqrt(c2));
}
