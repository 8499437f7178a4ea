// How fast the device multiplies and adds at best: what a float convolution does in its innermost loop, without its loads.
//   y[i][l] = a_0 + a_1 after 8 rounds of a_j = a_j * x[i][l] + x[i][l],   a_j = j at first
// x, y: `vectors` vec4<f32>. One invocation makes one vector, 64 multiply-adds a round, in eight independent chains: so few
// that they stay in sixteen registers, eight times written out so that the loop itself takes little.
struct PeakRateDims { vectors: u32, rounds: u32 }
@group(0) @binding(0) var<uniform> dims: PeakRateDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.vectors { return; }
    let v = x[i];
    var a0 = vec4<f32>();
    var a1 = vec4<f32>(1.0);
    var r = 0u;
    loop {
        a0 = a0 * v + v;
        a1 = a1 * v + v;
        a0 = a0 * v + v;
        a1 = a1 * v + v;
        a0 = a0 * v + v;
        a1 = a1 * v + v;
        a0 = a0 * v + v;
        a1 = a1 * v + v;
        a0 = a0 * v + v;
        a1 = a1 * v + v;
        a0 = a0 * v + v;
        a1 = a1 * v + v;
        a0 = a0 * v + v;
        a1 = a1 * v + v;
        a0 = a0 * v + v;
        a1 = a1 * v + v;
        continuing {
            r += 1u;
            break if r >= dims.rounds;
        }
    }
    y[i] = a0 + a1;
}
