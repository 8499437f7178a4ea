// A float map to packed words, one bit a channel.
//   mode 0 (signs):    bit = 1 where x < 0, so that 0 counts as +1
//   mode 1 (values {0,1}): bit = 1 where x > 0
// The lanes past C hold 0 in x, so their bits are 0 in both modes.
//
// x: (pixels, Cp) f32 read as vec4, Cp = C rounded up to a multiple of 4;
// y: (pixels, Wd) u32 words, Wd = ceil(C / 32), bit i of word j = channel 32*j + i.
// One invocation makes one word.
//
// Grid: x = min(ceil(pixels * Wd / WG), 65535), y = ceil(ceil(pixels * Wd / WG) / x), z = 1.

override WG: u32 = 64u;

struct SignPackDims {
    pixels: u32,
    c: u32,
    mode: u32,
}

@group(0) @binding(0) var<uniform> dims: SignPackDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let words = (dims.c + 31u) / 32u;
    let i = id.y * groups.x * WG + id.x;
    if (i >= dims.pixels * words) {
        return;
    }
    let c4 = (dims.c + 3u) / 4u;
    let first = i % words * 8u;
    let count = min(c4 - first, 8u);
    let at = i / words * c4 + first;
    let zero = vec4<f32>();
    var bits = 0u;
    var k = 0u;
    loop {
        let v = x[at + k];
        let ones = select(v < zero, zero < v, dims.mode == 1u);
        let nibble = select(vec4<u32>(), vec4<u32>(1u, 2u, 4u, 8u), ones);
        bits |= (nibble.x | nibble.y | nibble.z | nibble.w) << (4u * k);
        continuing {
            k += 1u;
            break if k >= count;
        }
    }
    y[i] = bits;
}
