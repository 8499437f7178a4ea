// Detections of each (image, class) pair with objects, and its entropy; one workgroup a slot of sop_slots.
// Score s = softmax(logits)_class, box = decode(loc, prior).  Of the scores above the threshold the top_k highest go
// through suppression; D remain.  Selection works on log s = x - log_sum, which orders as s does and needs no exp.
// kept[pair]: the priors of the detections by falling score (capacity places).  detections[pair] = D.
// terms[pair], with p = s / S, S = sum s, G objects: where D > G (l, 1 / (G S), log S, 1), l = -(1 / G) sum p log p;
// else untouched (zeros).
struct SopDims {
    images: u32, priors: u32, classes: u32, first: u32, top_k: u32, capacity: u32, weight: u32,
    image_stride: u32, log_threshold: f32, overlap: f32, v0: f32, v1: f32,
}
@group(0) @binding(0) var<uniform> dims: SopDims;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> log_sum: array<f32>;
@group(0) @binding(3) var<storage, read> loc: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> priors: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> slots: array<u32>;
@group(0) @binding(6) var<storage, read_write> kept: array<u32>;
@group(0) @binding(7) var<storage, read_write> detections: array<u32>;
@group(0) @binding(8) var<storage, read_write> terms: array<vec4<f32>>;

var<private> first_row: u32;
var<private> class_index: u32;

fn nms_score(i: u32) -> f32 {
    let row = first_row + i;
    return logits[row * dims.classes + class_index] - log_sum[row];
}

fn nms_box(i: u32) -> vec4<f32> {
    return box_decode(loc[first_row + i], priors[i], dims.v0, dims.v1);
}

// The sum of v over the workgroup, in nms_item as bits.
fn group_sum(t: u32, v: f32) -> f32 {
    workgroupBarrier();
    nms_item[t] = bitcast<u32>(v);
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if t < half { nms_item[t] = bitcast<u32>(bitcast<f32>(nms_item[t]) + bitcast<f32>(nms_item[t + half])); }
        workgroupBarrier();
    }
    return bitcast<f32>(nms_item[0]);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let pair = slots[4u + 2u * wid.x];
    let objects = slots[5u + 2u * wid.x];
    let foreground = dims.classes - 1u;
    first_row = pair / foreground * dims.priors;
    class_index = pair % foreground + 1u;
    nms_threshold = dims.log_threshold;
    let size = nms_run(t, dims.priors, dims.top_k, dims.overlap);
    var mine = 0.0;
    for (var e = t; e < size; e += 256u) {
        if nms_key[e] == 1u {
            kept[pair * dims.capacity + nms_place(e)] = nms_order[e];
            mine += exp(nms_score(nms_order[e]));
        }
    }
    let sum = group_sum(t, mine);
    let log_total = log(sum);
    mine = 0.0;
    for (var e = t; e < size; e += 256u) {
        if nms_key[e] == 1u {
            let log_p = nms_score(nms_order[e]) - log_total;
            mine += exp(log_p) * log_p;
        }
    }
    let entropy = group_sum(t, mine);
    if t == 0u {
        let found = nms_place(size);
        let at = dims.first * foreground + pair;
        detections[at] = found;
        if found > objects {
            let g = f32(objects);
            terms[at] = vec4<f32>(-entropy / g, 1.0 / (g * sum), log_total, 1.0);
        }
    }
}
