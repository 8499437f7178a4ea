// The best prior of every object, one workgroup an (image, object).
// boxes: (images, capacity) corners, of which counts[image] are real.  best[image, object] = the prior with the largest
// IoU, ties to the lower index; 0xffffffff where there is no object or it has no area.
struct MatchDims { images: u32, capacity: u32, priors: u32, threshold: f32, v0: f32, v1: f32 }
@group(0) @binding(0) var<uniform> dims: MatchDims;
@group(0) @binding(1) var<storage, read> boxes: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> counts: array<u32>;
@group(0) @binding(3) var<storage, read> priors: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> best: array<u32>;

var<workgroup> overlap: array<f32, 64>;
var<workgroup> place: array<u32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
    let slot = flat_group(wid, groups);
    if slot >= dims.images * dims.capacity { return; }
    let b = boxes[slot];
    let real = slot % dims.capacity < counts[slot / dims.capacity] && b.z > b.x && b.w > b.y;
    var most = -1.0;
    var at = 0xffffffffu;
    if real {
        for (var p = t; p < dims.priors; p += 64u) {
            let o = box_iou(b, prior_corners(priors[p]));
            if o > most {
                most = o;
                at = p;
            }
        }
    }
    overlap[t] = most;
    place[t] = at;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if t < half {
            let o = overlap[t + half];
            if o > overlap[t] || (o == overlap[t] && place[t + half] < place[t]) {
                overlap[t] = o;
                place[t] = place[t + half];
            }
        }
        workgroupBarrier();
    }
    if t == 0u { best[slot] = place[0]; }
}
