// A map and a threshold a channel to packed words, one bit a channel.
//   mode 0 (signs):        bit = 1 where x + t < 0
//   mode 1 (values {0,1}): bit = 1 where x + t > 0
// Computed as x < -t and x > -t: the comparison does not round, and thresholds at the ends of the range do not overflow.
//
// x: (pixels, Cp), f32 or with FIXED i32, t: (Cp) of the same type, both read as vec4; Cp = C rounded up to a multiple of 4;
// y: (pixels, Wd) u32 words, Wd = ceil(C / 32), bit i of word j = channel 32*j + i, bits past C 0.
// One invocation makes one word.

/// Whether numbers are i32, not f32.
override FIXED: bool = false;

struct ThresholdPackDims {
    pixels: u32,
    c: u32,
    mode: u32,
    fixed: u32,
}

@group(0) @binding(0) var<uniform> dims: ThresholdPackDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> threshold: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

fn bits_of(v: vec4<u32>, t: vec4<u32>) -> vec4<bool> {
    if (FIXED) {
        let a = bitcast<vec4<i32>>(v);
        let b = -bitcast<vec4<i32>>(t);
        return select(a < b, b < a, dims.mode == 1u);
    }
    let a = bitcast<vec4<f32>>(v);
    let b = -bitcast<vec4<f32>>(t);
    return select(a < b, b < a, dims.mode == 1u);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let words = (dims.c + 31u) / 32u;
    let i = flat_index(gid, groups, 64u);
    if (i >= dims.pixels * words) {
        return;
    }
    let c4 = (dims.c + 3u) / 4u;
    let word = i % words;
    let first = word * 8u;
    let count = min(c4 - first, 8u);
    let at = i / words * c4 + first;
    var bits = 0u;
    var k = 0u;
    loop {
        let ones = bits_of(x[at + k], threshold[first + k]);
        let nibble = select(vec4<u32>(), vec4<u32>(1u, 2u, 4u, 8u), ones);
        bits |= (nibble.x | nibble.y | nibble.z | nibble.w) << (4u * k);
        continuing {
            k += 1u;
            break if k >= count;
        }
    }
    // x is 0 past C, but a threshold need not be.
    let channels = min(dims.c - 32u * word, 32u);
    y[i] = bits & (0xffffffffu >> (32u - channels));
}
