// The sum of one value from each of a workgroup's 64 invocations, the same for all of them, added as a tree in fixed order.
// Every invocation calls it, once: `lane` is its index.
var<workgroup> lane_sums: array<vec4<f32>, 64>;

fn lane_sum(lane: u32, value: vec4<f32>) -> vec4<f32> {
    lane_sums[lane] = value;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half >>= 1u) {
        if lane < half { lane_sums[lane] += lane_sums[lane + half]; }
        workgroupBarrier();
    }
    return lane_sums[0];
}
