// flags[slot] = 1 where a value of x is infinite or not a number, else 0.  Few values: losses.
struct FiniteFlagDims { count: u32, slot: u32 }
@group(0) @binding(0) var<uniform> dims: FiniteFlagDims;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> flags: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
    if gid.x != 0u { return; }
    var wrong = 0u;
    for (var i = 0u; i < dims.count; i++) { wrong |= select(0u, 1u, (x[i] & 0x7f800000u) == 0x7f800000u); }
    flags[dims.slot] = wrong;
}
