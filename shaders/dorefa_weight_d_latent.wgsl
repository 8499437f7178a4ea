// Weights on a grid, backward. The rounding passes the gradient g through; with t = tanh(w) and m = max |t|, y is t / m,
//   d_w += (1 - t^2) (g / m - [|w| is the maximum] sign(w) (sum of g t) / (m^2 number of maxima))
// where several share the maximum, each gets its part, as PyTorch's max does. Where m is 0 there is no direction: 0.
//
// sums: the blocks' sums of g t, then their numbers of maxima. Rows and lanes past C and O hold g = w = 0.
struct DorefaWeightDims { vectors: u32, o4: u32, cp: u32, c: u32, o: u32, blocks: u32, levels: f32 }
@group(0) @binding(0) var<uniform> dims: DorefaWeightDims;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> maxima: array<f32>;
@group(0) @binding(4) var<storage, read> sums: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_w: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.vectors { return; }
    var largest = 0.0;
    var sum = 0.0;
    var count = 0.0;
    for (var k = 0u; k < dims.blocks; k += 1u) {
        largest = max(largest, maxima[k]);
        sum += sums[k];
        count += sums[dims.blocks + k];
    }
    if largest == 0.0 { return; }
    let m = tanh(min(largest, 10.0));
    let t = tanh(clamp(w[i], vec4<f32>(-10.0), vec4<f32>(10.0)));
    let share = select(vec4<f32>(), sign(w[i]) * (sum / m / count), abs(w[i]) == vec4<f32>(largest));
    d_w[i] += (vec4<f32>(1.0) - t * t) * (g[i] - share) / m;
}
