// The loss of the whole batch, one workgroup: sum over pairs of omega l / (number of pairs kept + 1e-6), with omega the
// weight of the pair: class_weights[image * image_stride + class].
// coefficients[pair] = (weight omega / (G S (pairs + 1e-6)), log S), 0 for pairs that are not kept.
struct SopDims {
    images: u32, priors: u32, classes: u32, first: u32, top_k: u32, capacity: u32, weight: u32,
    image_stride: u32, log_threshold: f32, overlap: f32, v0: f32, v1: f32,
}
@group(0) @binding(0) var<uniform> dims: SopDims;
@group(0) @binding(1) var<storage, read> terms: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> class_weights: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> coefficients: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> loss: array<f32>;

var<workgroup> lanes: array<vec2<f32>, 256>;

fn omega(pair: u32) -> f32 {
    let foreground = dims.classes - 1u;
    return class_weights[pair / foreground * dims.image_stride + pair % foreground];
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) t: u32) {
    let pairs = dims.images * (dims.classes - 1u);
    var sum = vec2<f32>(0.0);
    for (var i = t; i < pairs; i += 256u) { sum += vec2<f32>(omega(i) * terms[i].x, terms[i].w); }
    lanes[t] = sum;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if t < half { lanes[t] += lanes[t + half]; }
        workgroupBarrier();
    }
    let each = 1.0 / (lanes[0].y + 1e-6);
    if t == 0u { loss[0] = lanes[0].x * each; }
    let scale = weights[dims.weight] * each;
    for (var i = t; i < pairs; i += 256u) {
        coefficients[i] = vec2<f32>(scale * omega(i) * terms[i].y, terms[i].z);
    }
}
