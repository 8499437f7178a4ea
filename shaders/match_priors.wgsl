// The target of every prior, one invocation a prior of an image.
// A prior takes the object that has it as its best prior (the last of several), else the object with the largest IoU
// (ties to the lower index).  loc_targets = that object encoded against the prior; targets = its class + 1 where it has
// the prior as its best or IoU >= threshold, else 0.  Without objects both are 0.  Objects without area do not count.
struct MatchDims { images: u32, capacity: u32, priors: u32, threshold: f32, v0: f32, v1: f32 }
@group(0) @binding(0) var<uniform> dims: MatchDims;
@group(0) @binding(1) var<storage, read> boxes: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> labels: array<i32>;
@group(0) @binding(3) var<storage, read> counts: array<u32>;
@group(0) @binding(4) var<storage, read> priors: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> best: array<u32>;
@group(0) @binding(6) var<storage, read_write> loc_targets: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> targets: array<i32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = flat_index(gid, groups, 64u);
    if row >= dims.images * dims.priors { return; }
    let image = row / dims.priors;
    let p = row % dims.priors;
    let prior = priors[p];
    let corners = prior_corners(prior);
    let start = image * dims.capacity;
    var most = -1.0;
    var found = 0xffffffffu;
    for (var j = start; j < start + min(counts[image], dims.capacity); j++) {
        if best[j] == 0xffffffffu { continue; }
        var o = box_iou(boxes[j], corners);
        // More than any IoU, and of several the last.
        if best[j] == p { o = 2.0; }
        if o > most || o == 2.0 {
            most = o;
            found = j;
        }
    }
    var loc = vec4<f32>(0.0);
    var class_target = 0;
    if found != 0xffffffffu {
        loc = box_encode(boxes[found], prior, dims.v0, dims.v1);
        if most >= dims.threshold { class_target = labels[found] + 1; }
    }
    loc_targets[row] = loc;
    targets[row] = class_target;
}
