// Weights on a grid of levels + 1 values from -1 to 1.
//   r = tanh(w) / (2 max |tanh w|) + 1/2,   y = 2 round(levels r) / levels - 1, halves to even
// The maximum is over the whole tensor; where it is 0, r is 1/2.
//
// w, y: (KH, KW, Cp, Op) f32 read as vec4, the rows and lanes past C and O stay 0; maxima: one a block, of |w|, since
// the maximum of |tanh w| is the tanh of the maximum.
struct DorefaWeightDims { vectors: u32, o4: u32, cp: u32, c: u32, o: u32, blocks: u32, levels: f32 }
@group(0) @binding(0) var<uniform> dims: DorefaWeightDims;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> maxima: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = flat_index(gid, groups, 64u);
    if i >= dims.vectors { return; }
    var largest = 0.0;
    for (var k = 0u; k < dims.blocks; k += 1u) { largest = max(largest, maxima[k]); }
    // Beyond 10 the tanh is 1 to the last bit, and drivers that compute it by exp overflow far beyond.
    var t = vec4<f32>();
    if largest > 0.0 {
        t = tanh(clamp(w[i], vec4<f32>(-10.0), vec4<f32>(10.0))) / tanh(min(largest, 10.0));
    }
    let q = round(dims.levels * (0.5 * t + vec4<f32>(0.5)));
    let kept = lane_mask(i % dims.o4, dims.o) & vec4<bool>(i / dims.o4 % dims.cp < dims.c);
    y[i] = select(vec4<f32>(), (2.0 * q - vec4<f32>(dims.levels)) / dims.levels, kept);
}
