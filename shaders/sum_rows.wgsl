// Sums of the columns of partials [rows][columns], a workgroup a column of vec4:  sums = column sum, and where
// `accumulate` is 1 also total += column sum.  The order depends on the number of rows alone: lane l takes rows l,
// l + 64, ..., then lanes are added in halves.
struct SumRowsDims { rows: u32, columns: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: SumRowsDims;
@group(0) @binding(1) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> sums: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> total: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let column = flat_group(wid, groups);
    var sum = vec4<f32>(0.0);
    if column < dims.columns {
        for (var row = lane; row < dims.rows; row += 64u) { sum += partials[row * dims.columns + column]; }
    }
    let whole = lane_sum(lane, sum);
    if lane == 0u && column < dims.columns {
        sums[column] = whole;
        if dims.accumulate == 1u { total[column] += whole; }
    }
}
