// Gradient of the logits, one workgroup an image, class after class (classes of one image may share a prior).
// With S held constant, d l / d s_i = -(log p_i + 1) / (G S), and d s / d x_j = s ([j = class] - softmax_j), hence for
// every detection  d_x_j += -c (log p + 1) s ([j = class] - softmax(x)_j).  Only detections are touched.
struct SopDims {
    images: u32, priors: u32, classes: u32, first: u32, top_k: u32, capacity: u32, weight: u32,
    image_stride: u32, log_threshold: f32, overlap: f32, v0: f32, v1: f32,
}
@group(0) @binding(0) var<uniform> dims: SopDims;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> log_sum: array<f32>;
@group(0) @binding(3) var<storage, read> kept: array<u32>;
@group(0) @binding(4) var<storage, read> detections: array<u32>;
@group(0) @binding(5) var<storage, read> coefficients: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> d_logits: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
    let n = flat_group(wid, groups);
    if n >= dims.images { return; }
    let foreground = dims.classes - 1u;
    for (var k = 0u; k < foreground; k++) {
        let pair = n * foreground + k;
        let c = coefficients[dims.first * foreground + pair];
        var found = 0u;
        if c.x != 0.0 { found = min(detections[dims.first * foreground + pair], dims.capacity); }
        for (var e = t; e < found; e += 256u) {
            let row = n * dims.priors + kept[pair * dims.capacity + e];
            let at = row * dims.classes;
            let log_s = logits[at + k + 1u] - log_sum[row];
            let a = -c.x * (log_s - c.y + 1.0) * exp(log_s);
            for (var j = 0u; j < dims.classes; j++) {
                d_logits[at + j] += a * (select(0.0, 1.0, j == k + 1u) - exp(logits[at + j] - log_sum[row]));
            }
        }
        storageBarrier();
    }
}
