// Class-aware weights from moving averages, one workgroup.  For foreground class k, over the images n of the batch that
// hold objects of it (counted[n][k] > 0):  P_k = mean of detections[n][k], or where `excess` is 1 of
// detections[n][k] / counted[n][k].
// state and next: (average, 1 once the class was seen) of each class.  next = decay average + (1 - decay) P_k, P_k
// itself the first time, the old one for classes that the batch does not hold.
// omega_k = clamp(next_k / mean of next over the classes seen, low, high);  1 for classes never seen, and where that
// mean is 0.
struct SopWeightsDims { images: u32, foreground: u32, excess: u32, decay: f32, low: f32, high: f32 }
@group(0) @binding(0) var<uniform> dims: SopWeightsDims;
@group(0) @binding(1) var<storage, read> detections: array<u32>;
@group(0) @binding(2) var<storage, read> counted: array<u32>;
@group(0) @binding(3) var<storage, read> state: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> next: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> omega: array<f32>;

var<workgroup> lanes: array<vec2<f32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) t: u32) {
    var seen = vec2<f32>(0.0);
    for (var k = t; k < dims.foreground; k += 256u) {
        var sum = 0.0;
        var images = 0.0;
        for (var n = 0u; n < dims.images; n++) {
            let pair = n * dims.foreground + k;
            if counted[pair] > 0u {
                let found = f32(detections[pair]);
                sum += select(found, found / f32(counted[pair]), dims.excess == 1u);
                images += 1.0;
            }
        }
        var average = state[k];
        if images > 0.0 {
            let mean = sum / images;
            average.x = select(mean, average.x + (1.0 - dims.decay) * (mean - average.x), average.y > 0.0);
            average.y = 1.0;
        }
        next[k] = average;
        seen += vec2<f32>(average.y * average.x, average.y);
    }
    lanes[t] = seen;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if t < half { lanes[t] += lanes[t + half]; }
        workgroupBarrier();
    }
    let mean = lanes[0].x / max(lanes[0].y, 1.0);
    for (var k = t; k < dims.foreground; k += 256u) {
        // Written by this invocation above.
        let average = next[k];
        var weight = 1.0;
        if average.y > 0.0 && mean > 0.0 { weight = clamp(average.x / mean, dims.low, dims.high); }
        omega[k] = weight;
    }
}
