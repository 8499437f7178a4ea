// The blocks of each parameter added up in order, one invocation a parameter.
// ranges: (first block, blocks) of each parameter.  squares[parameter]: bits of the sum of squares, those of infinity
// where an element was not finite or the sum overflowed.
struct GradientSumsDims { params: u32 }
@group(0) @binding(0) var<uniform> dims: GradientSumsDims;
@group(0) @binding(1) var<storage, read> ranges: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> sums: array<f32>;
@group(0) @binding(3) var<storage, read> bad: array<u32>;
@group(0) @binding(4) var<storage, read_write> squares: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let p = flat_index(gid, groups, 64u);
    if p >= dims.params { return; }
    let range = ranges[p];
    var sum = 0.0;
    var wrong = 0u;
    for (var i = range.x; i < range.x + range.y; i++) {
        sum += sums[i];
        wrong |= bad[i];
    }
    let bits = bitcast<u32>(sum);
    squares[p] = select(bits, 0x7f800000u, wrong > 0u || (bits & 0x7f800000u) == 0x7f800000u);
}
