// Non-maximum suppression, one workgroup an (image, class); classes before first_class have no slot.
// boxes: (images, P) corners, shared by the classes; scores: (images, P, K).
// keep[image, class]: indices of the kept boxes by falling score, then -1; kept[image, class]: how many.
struct NmsDims {
    images: u32, priors: u32, classes: u32, first_class: u32, top_k: u32, score_threshold: f32, overlap: f32,
}
@group(0) @binding(0) var<uniform> dims: NmsDims;
@group(0) @binding(1) var<storage, read> boxes: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> scores: array<f32>;
@group(0) @binding(3) var<storage, read_write> keep: array<i32>;
@group(0) @binding(4) var<storage, read_write> kept: array<u32>;

var<private> first_row: u32;
var<private> class_index: u32;

fn nms_score(i: u32) -> f32 {
    return scores[(first_row + i) * dims.classes + class_index];
}

fn nms_box(i: u32) -> vec4<f32> {
    return boxes[first_row + i];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
    let slot = flat_group(wid, groups);
    let foreground = dims.classes - dims.first_class;
    if slot >= dims.images * foreground { return; }
    first_row = slot / foreground * dims.priors;
    class_index = slot % foreground + dims.first_class;
    nms_threshold = dims.score_threshold;
    let size = nms_run(t, dims.priors, dims.top_k, dims.overlap);
    let total = nms_place(size);
    for (var e = t; e < size; e += 256u) {
        if nms_key[e] == 1u { keep[slot * dims.top_k + nms_place(e)] = i32(nms_order[e]); }
    }
    for (var e = total + t; e < dims.top_k; e += 256u) { keep[slot * dims.top_k + e] = -1; }
    if t == 0u { kept[slot] = total; }
}
