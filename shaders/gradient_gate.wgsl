// Whether a step's update may happen, and how its gradients are scaled.
// norm[0] = factor * sqrt(sum of squares), norm[1] = factor * min(1, clip / (norm[0] + 1e-6)) (without the minimum where
// clip is 0); a factor of 0 counts as 1; both as bits, norm[0]
// those of infinity where it is not finite.  gate[0] = 1 where the norm and all flagged values are finite, else 0.
struct GradientGateDims { params: u32, flags: u32, clip: u32, factor: u32 }
@group(0) @binding(0) var<uniform> dims: GradientGateDims;
@group(0) @binding(1) var<storage, read> squares: array<u32>;
@group(0) @binding(2) var<storage, read> flags: array<u32>;
@group(0) @binding(3) var<storage, read> hyper: array<f32>;
@group(0) @binding(4) var<storage, read_write> norm: array<u32>;
@group(0) @binding(5) var<storage, read_write> gate: array<u32>;

fn is_bad(bits: u32) -> bool {
    return (bits & 0x7f800000u) == 0x7f800000u;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
    if gid.x != 0u { return; }
    var open = true;
    var sum = 0.0;
    for (var p = 0u; p < dims.params; p++) {
        let bits = squares[p];
        if is_bad(bits) { open = false; } else { sum += bitcast<f32>(bits); }
    }
    open = open && !is_bad(bitcast<u32>(sum));
    var length = 0.0;
    let factor = select(hyper[dims.factor], 1.0, hyper[dims.factor] == 0.0);
    if open { length = sqrt(sum) * factor; }
    norm[0] = select(0x7f800000u, bitcast<u32>(length), open);
    let clip = hyper[dims.clip];
    var scale = 1.0;
    if clip > 0.0 { scale = min(1.0, clip / (length + 1e-6)); }
    norm[1] = bitcast<u32>(scale * factor);
    for (var f = 0u; f < dims.flags; f++) { open = open && flags[f] == 0u; }
    gate[0] = select(0u, 1u, open);
}
