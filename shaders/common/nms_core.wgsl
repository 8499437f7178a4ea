// Greedy non-maximum suppression by one workgroup of 256 invocations, after common/select.wgsl and common/boxes.wgsl.
// The kernel supplies `fn nms_score(i: u32) -> f32` and `fn nms_box(i: u32) -> vec4<f32>` (corners) and sets
// nms_threshold.  Candidates are the items with a score above the threshold; of them the top_k (at most NMS_CAPACITY)
// highest are taken, ordered by falling score, ties to the lower index; each kept box removes the later ones that
// overlap it by more than the limit.  Twin: src/cpu/nms.rs.
const NMS_CAPACITY = 512u;

// Keys of the taken items; after the sort 1 where an item is kept, 0 where it was suppressed.
var<workgroup> nms_key: array<u32, NMS_CAPACITY>;
// Taken items in no order; free after the sort.
var<workgroup> nms_item: array<u32, NMS_CAPACITY>;
// Taken items by falling score.
var<workgroup> nms_order: array<u32, NMS_CAPACITY>;
var<workgroup> nms_corners: array<vec4<f32>, NMS_CAPACITY>;
// For each item of a block the earlier ones of the block that it overlaps; all 0 between blocks.
var<workgroup> nms_masks: array<atomic<u32>, 32>;
// The items of the block that are kept.
var<workgroup> nms_block: u32;
var<workgroup> nms_counter: atomic<u32>;
var<workgroup> nms_candidates: u32;
var<private> nms_threshold: f32;

fn select_key(i: u32) -> u32 {
    let s = nms_score(i);
    if s > nms_threshold { return float_key(s); }
    return 0u;
}

// Not divided, so that boxes without area need no case of their own.
fn nms_overlap(a: vec4<f32>, b: vec4<f32>, limit: f32) -> bool {
    let inter = box_intersection(a, b);
    return inter > limit * (box_area(a) + box_area(b) - inter);
}

// The number of items taken; which are kept stands in nms_key, in the order of nms_order.
fn nms_run(t: u32, count: u32, top_k: u32, overlap: f32) -> u32 {
    if t == 0u { atomicStore(&nms_counter, 0u); }
    workgroupBarrier();
    var mine = 0u;
    for (var i = t; i < count; i += 256u) { mine += select(0u, 1u, select_key(i) != 0u); }
    if mine > 0u { atomicAdd(&nms_counter, mine); }
    workgroupBarrier();
    if t == 0u {
        nms_candidates = atomicLoad(&nms_counter);
        atomicStore(&nms_counter, 0u);
    }
    let candidates = workgroupUniformLoad(&nms_candidates);
    var chosen = Selection(0u, 0u);
    if candidates > top_k { chosen = select_largest(t, count, top_k); }
    let size = min(min(candidates, top_k), NMS_CAPACITY);
    for (var i = t; i < count; i += 256u) {
        let k = select_key(i);
        if is_selected(chosen, k, i) {
            let at = atomicAdd(&nms_counter, 1u);
            if at < NMS_CAPACITY {
                nms_key[at] = k;
                nms_item[at] = i;
            }
        }
    }
    workgroupBarrier();
    // The place of an item is the number of items before it: keys with their indices are all different.
    for (var e = t; e < size; e += 256u) {
        let k = nms_key[e];
        let item = nms_item[e];
        var place = 0u;
        for (var j = 0u; j < size; j++) {
            let other = nms_key[j];
            place += select(0u, 1u, other > k || (other == k && nms_item[j] < item));
        }
        nms_order[place] = item;
        nms_corners[place] = nms_box(item);
    }
    workgroupBarrier();
    for (var e = t; e < size; e += 256u) { nms_key[e] = 1u; }
    workgroupBarrier();
    // Blocks of 32 items: inside a block one invocation decides from bit masks, then all remove the later items.
    for (var start = 0u; start < size; start += 32u) {
        let item = t / 8u;
        if start + item < size {
            let a = nms_corners[start + item];
            var mask = 0u;
            for (var i = t % 8u; i < item; i += 8u) {
                if nms_overlap(a, nms_corners[start + i], overlap) { mask |= 1u << i; }
            }
            if mask != 0u { atomicOr(&nms_masks[item], mask); }
        }
        workgroupBarrier();
        if t == 0u {
            var kept = 0u;
            for (var i = 0u; i < min(32u, size - start); i++) {
                let earlier = atomicExchange(&nms_masks[i], 0u);
                if nms_key[start + i] == 1u && (earlier & kept) == 0u {
                    kept |= 1u << i;
                } else {
                    nms_key[start + i] = 0u;
                }
            }
            nms_block = kept;
        }
        let kept = workgroupUniformLoad(&nms_block);
        for (var j = start + 32u + t; j < size; j += 256u) {
            if nms_key[j] == 0u { continue; }
            let a = nms_corners[j];
            for (var left = kept; left != 0u; left &= left - 1u) {
                if nms_overlap(a, nms_corners[start + countTrailingZeros(left)], overlap) {
                    nms_key[j] = 0u;
                    break;
                }
            }
        }
        workgroupBarrier();
    }
    return size;
}

// How many of the first `e` taken items are kept.
fn nms_place(e: u32) -> u32 {
    var place = 0u;
    for (var j = 0u; j < e; j++) { place += nms_key[j]; }
    return place;
}
