// The (image, class) pairs of a slice that have objects, in order; one workgroup.
// objects: (images, K - 1) number of objects of each foreground class.
// slots: the workgroups of sop_detect (count, 1, 1), a 0, then for each pair its index image * (K - 1) + class and its
// number of objects.  With a weight of 0 there are none, so that a loss that is not switched on costs nothing.
// counted: the objects that slots were made from, in the order of the batch: objects, or 0 with a weight of 0.
struct SopDims {
    images: u32, priors: u32, classes: u32, first: u32, top_k: u32, capacity: u32, weight: u32,
    image_stride: u32, log_threshold: f32, overlap: f32, v0: f32, v1: f32,
}
@group(0) @binding(0) var<uniform> dims: SopDims;
@group(0) @binding(1) var<storage, read> objects: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> slots: array<u32>;
@group(0) @binding(4) var<storage, read_write> counted: array<u32>;

var<workgroup> ends: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) t: u32) {
    let pairs = dims.images * (dims.classes - 1u);
    let share = (pairs + 255u) / 256u;
    let start = min(t * share, pairs);
    let end = min(start + share, pairs);
    let on = weights[dims.weight] != 0.0;
    var mine = 0u;
    for (var i = start; i < end; i++) {
        let here = select(0u, objects[i], on);
        counted[dims.first * (dims.classes - 1u) + i] = here;
        mine += select(0u, 1u, here > 0u);
    }
    ends[t] = mine;
    workgroupBarrier();
    if t == 0u {
        var sum = 0u;
        for (var j = 0u; j < 256u; j++) {
            sum += ends[j];
            ends[j] = sum;
        }
        slots[0] = sum;
        slots[1] = 1u;
        slots[2] = 1u;
        slots[3] = 0u;
    }
    workgroupBarrier();
    var at = 4u + 2u * (ends[t] - mine);
    for (var i = start; i < end; i++) {
        if on && objects[i] > 0u {
            slots[at] = i;
            slots[at + 1u] = objects[i];
            at += 2u;
        }
    }
}
