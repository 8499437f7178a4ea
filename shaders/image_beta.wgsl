// Each image's s in [0, 1], beta and weight 1 / beta; an invocation an image of the slice.
//   source 0: s = sigmoid(logit), one of `pitch` values an image (in this slice's order)
//   source 1, 2: s = clip((d - lo) / (hi - lo), 0, 1), or 1 - that;  d = sqrt(mean square), the second of two values an
//     image (in the batch's order); lo and hi are the moving averages of the batch's extremes with this batch in them
//   source 3: s uniform;  4, 5, 6: s from Beta(1, 3), Beta(2, 2), Beta(3, 1), the least, middle and largest of three
//     uniform values (order statistics).  Drawn from (seed, step, place in the batch) alone.
// s = 0.5 where logit or distance is not finite, and where hi - lo is 0.
// beta = delta + theta (s | exp s | sin s) for transform 0, 1, 2, once hyper[ready] is not 0; before, `initial`.
// state and next: lo, hi, 1 once they hold something, 0.  `next` is the state with this batch in it (sources 1 and 2;
// else a copy); values that are not finite take no part.
struct ImageBetaDims {
    images: u32, first: u32, batch: u32, pitch: u32, source: u32, transform: u32, ready: u32, seed: u32, step: u32,
    delta: f32, theta: f32, initial: f32, decay: f32,
}
@group(0) @binding(0) var<uniform> dims: ImageBetaDims;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read> hyper: array<u32>;
@group(0) @binding(3) var<storage, read> state: array<f32>;
@group(0) @binding(4) var<storage, read_write> next: array<f32>;
@group(0) @binding(5) var<storage, read_write> s_out: array<f32>;
@group(0) @binding(6) var<storage, read_write> beta_out: array<f32>;
@group(0) @binding(7) var<storage, read_write> weight_out: array<f32>;

// Sets this use of the generator apart from others.
const STREAM = 0xbe7a0001u;

fn is_finite(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7f800000u) != 0x7f800000u;
}

// lo, hi and whether they hold something, with this batch in them.
fn moved() -> vec3<f32> {
    var lo = 0.0;
    var hi = 0.0;
    var found = false;
    for (var n = 0u; n < dims.batch; n++) {
        let square = source[2u * n + 1u];
        if is_finite(square) {
            let d = sqrt(max(square, 0.0));
            lo = select(d, min(lo, d), found);
            hi = select(d, max(hi, d), found);
            found = true;
        }
    }
    let old = vec3<f32>(state[0], state[1], state[2]);
    if !found { return old; }
    if old.z == 0.0 { return vec3<f32>(lo, hi, 1.0); }
    return vec3<f32>(old.xy + (1.0 - dims.decay) * (vec2<f32>(lo, hi) - old.xy), 1.0);
}

fn drawn(image: u32) -> f32 {
    let w = pcg4d(vec4<u32>(hyper[dims.seed] ^ STREAM, hyper[dims.step], image, STREAM));
    let a = rng_unit(w.x);
    let b = rng_unit(w.y);
    let c = rng_unit(w.z);
    switch dims.source {
        case 4u: { return min(a, min(b, c)); }
        case 5u: { return max(min(a, b), min(max(a, b), c)); }
        case 6u: { return max(a, max(b, c)); }
        default: { return a; }
    }
}

// sin on [0, 1] to 3e-8: WGSL promises no more than 2^-11 of its own.
fn sine(s: f32) -> f32 {
    let q = s * s;
    return s * (1.0 - q / 6.0 * (1.0 - q / 20.0 * (1.0 - q / 42.0 * (1.0 - q / 72.0))));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = flat_index(gid, groups, 64u);
    if n >= dims.images { return; }
    let image = dims.first + n;
    var range = vec3<f32>(state[0], state[1], state[2]);
    var s = 0.5;
    if dims.source == 0u {
        let x = source[n * dims.pitch];
        if is_finite(x) {
            let e = exp(-abs(x));
            s = select(e, 1.0, x >= 0.0) / (1.0 + e);
        }
    } else if dims.source < 3u {
        range = moved();
        let square = source[2u * image + 1u];
        let span = range.y - range.x;
        if is_finite(square) && span > 1e-20 {
            s = clamp((sqrt(max(square, 0.0)) - range.x) / span, 0.0, 1.0);
            if dims.source == 2u { s = 1.0 - s; }
        }
    } else {
        s = drawn(image);
    }
    if image == 0u {
        next[0] = range.x;
        next[1] = range.y;
        next[2] = range.z;
        next[3] = 0.0;
    }
    var beta = dims.initial;
    if bitcast<f32>(hyper[dims.ready]) != 0.0 {
        switch dims.transform {
            case 0u: { beta = dims.delta + dims.theta * s; }
            case 1u: { beta = dims.delta + dims.theta * exp(s); }
            default: { beta = dims.delta + dims.theta * sine(s); }
        }
    }
    s_out[image] = s;
    beta_out[image] = beta;
    weight_out[image] = 1.0 / beta;
}
