// The hard negatives of each image and its sums, one workgroup an image.
// Positives are the priors with a target above 0.  Of the others the min(ratio * positives, P - 1) with the largest
// cross-entropy are negatives, ties to the lower index.
// selection[first + n]: positives, key and last index of the chosen negatives (common/select.wgsl; the key of a prior
// is the bits of its cross-entropy + 1), bits of the sum of smooth L1 over positives, bits of the sum of cross-entropy
// over positives and negatives.  A sum has the bits of infinity where a value that it is made of is not finite; for
// cross-entropy every prior of the image counts in this, also one that was not chosen.
struct MultiboxDims { images: u32, priors: u32, classes: u32, first: u32, ratio: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> dims: MultiboxDims;
@group(0) @binding(1) var<storage, read> ce: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read> loc: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> loc_targets: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> selection: array<u32>;

var<workgroup> counter: atomic<u32>;
var<workgroup> not_finite: atomic<u32>;
var<workgroup> positives_found: u32;
var<workgroup> lanes: array<vec2<f32>, 256>;
var<private> first_row: u32;

fn select_key(i: u32) -> u32 {
    if targets[first_row + i] > 0 { return 0u; }
    return bitcast<u32>(ce[first_row + i]) + 1u;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
    let n = flat_group(wid, groups);
    if n >= dims.images { return; }
    first_row = n * dims.priors;
    var mine = 0u;
    for (var i = t; i < dims.priors; i += 256u) { mine += select(0u, 1u, targets[first_row + i] > 0); }
    if mine > 0u { atomicAdd(&counter, mine); }
    workgroupBarrier();
    if t == 0u { positives_found = atomicLoad(&counter); }
    let positives = workgroupUniformLoad(&positives_found);
    let candidates = dims.priors - positives;
    let wanted = min(min(dims.ratio * positives, dims.priors - 1u), candidates);
    var chosen = Selection(0xffffffffu, 0u);
    if wanted == candidates {
        chosen = Selection(0u, 0u);
    } else if wanted > 0u {
        chosen = select_largest(t, dims.priors, wanted);
    }
    var sums = vec2<f32>(0.0);
    var largest = vec2<u32>(0u);
    for (var i = t; i < dims.priors; i += 256u) {
        let row = first_row + i;
        let key = select_key(i);
        largest.y = max(largest.y, bitcast<u32>(ce[row]));
        if key == 0u {
            let d = abs(loc[row] - loc_targets[row]);
            let bits = bitcast<vec4<u32>>(loc[row]) & vec4<u32>(0x7fffffffu);
            largest.x = max(max(largest.x, max(bits.x, bits.y)), max(bits.z, bits.w));
            let l = select(d - 0.5, 0.5 * d * d, d < vec4<f32>(1.0));
            sums.x += (l.x + l.y) + (l.z + l.w);
        }
        if key == 0u || is_selected(chosen, key, i) { sums.y += ce[row]; }
    }
    lanes[t] = sums;
    let mine_wrong = select(0u, 1u, largest.x >= 0x7f800000u) + select(0u, 2u, largest.y >= 0x7f800000u);
    if mine_wrong > 0u { atomicOr(&not_finite, mine_wrong); }
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if t < half { lanes[t] += lanes[t + half]; }
        workgroupBarrier();
    }
    if t == 0u {
        let at = 5u * (dims.first + n);
        selection[at] = positives;
        selection[at + 1u] = chosen.key;
        selection[at + 2u] = chosen.last;
        let wrong = atomicLoad(&not_finite);
        selection[at + 3u] = select(bitcast<u32>(lanes[0].x), 0x7f800000u, (wrong & 1u) > 0u);
        selection[at + 4u] = select(bitcast<u32>(lanes[0].y), 0x7f800000u, (wrong & 2u) > 0u);
    }
}
