// state = source, element by element, where the gate is open; else the state stays as it is.
struct GatedCopyDims { count: u32 }
@group(0) @binding(0) var<uniform> dims: GatedCopyDims;
@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read> gate: array<u32>;
@group(0) @binding(3) var<storage, read_write> state: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.count || gate[0] == 0u { return; }
    state[i] = source[i];
}
