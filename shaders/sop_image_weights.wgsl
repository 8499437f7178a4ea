// Class-aware weights from each image's own detections, an invocation an image:
//   omega[n][k] = clamp(detections[n][k] / mean of detections[n] over the classes that the image holds, low, high)
// for classes with counted[n][k] > 0; 1 for others, and where that mean is 0.
struct SopWeightsDims { images: u32, foreground: u32, excess: u32, decay: f32, low: f32, high: f32 }
@group(0) @binding(0) var<uniform> dims: SopWeightsDims;
@group(0) @binding(1) var<storage, read> detections: array<u32>;
@group(0) @binding(2) var<storage, read> counted: array<u32>;
@group(0) @binding(3) var<storage, read_write> omega: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = flat_index(gid, groups, 64u);
    if n >= dims.images { return; }
    var sum = 0u;
    var classes = 0.0;
    for (var pair = n * dims.foreground; pair < (n + 1u) * dims.foreground; pair++) {
        if counted[pair] > 0u {
            sum += detections[pair];
            classes += 1.0;
        }
    }
    let mean = f32(sum) / max(classes, 1.0);
    for (var pair = n * dims.foreground; pair < (n + 1u) * dims.foreground; pair++) {
        var weight = 1.0;
        if counted[pair] > 0u && mean > 0.0 { weight = clamp(f32(detections[pair]) / mean, dims.low, dims.high); }
        omega[pair] = weight;
    }
}
