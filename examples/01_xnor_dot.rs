//! The idea that everything here stands on: the dot product of two vectors of signs is a xor and a count of bits.
//!
//! ```text
//! x, w in {-1, +1}^K, bit 1 for -1:    x . w = K - 2 popcount(x ^ w)
//! ```
//! 32 multiply-adds become one xor, one population count and one addition, and the answer is an exact integer.
//!
//! `cargo run --release --example 01_xnor_dot`

use autobidet::cpu::binary_conv2d::{SignPackDims, sign_pack};
use autobidet::gpu::{DeviceChoice, Gpu, LimitsChoice, Once, OnceBuffer, OnceKind, adapters};
use autobidet::rng::Counter;

/// Length of a vector; no multiple of 32, so that the last word is half empty.
const K: usize = 1000;
/// Vectors on each side: all 96 x 96 pairs are multiplied.
const ROWS: usize = 96;
const WORDS: usize = K.div_ceil(32);

/// One invocation a pair. The engine's own kernel (shaders/binary_conv2d.wgsl) does the same with 64 results an
/// invocation, because on every device loads are dearer than counting.
const SHADER: &str = "
struct Dims { rows: u32, words: u32, k: i32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<i32>;
@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= dims.rows || id.y >= dims.rows { return; }
    var disagree = 0u;
    for (var i = 0u; i < dims.words; i++) {
        disagree += countOneBits(x[id.y * dims.words + i] ^ w[id.x * dims.words + i]);
    }
    y[id.y * dims.rows + id.x] = dims.k - 2 * i32(disagree);
}";

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Dims {
    rows: u32,
    words: u32,
    k: i32,
    pad0: u32,
}

fn sign(v: f32) -> i32 {
    if v < 0.0 { -1 } else { 1 }
}

fn main() -> autobidet::Result<()> {
    // Normal numbers from a seed and a name: the same on every machine and in any order.
    let random = |name| -> Vec<f32> {
        let rng = Counter::named(1, name);
        (0..(ROWS * K) as u32).map(|i| rng.normal(i)).collect()
    };
    let (x, w) = (random("x"), random("w"));

    // The definition: signs multiplied one by one.
    let mut want = vec![0i32; ROWS * ROWS];
    for r in 0..ROWS {
        for c in 0..ROWS {
            want[r * ROWS + c] = (0..K).map(|i| sign(x[r * K + i]) * sign(w[c * K + i])).sum();
        }
    }

    // Packed: 32 signs a word. Bits past K are 0 on both sides, so they never disagree.
    let pack = |values: &[f32]| {
        let mut words = vec![0u32; ROWS * WORDS];
        sign_pack(&SignPackDims { pixels: ROWS as u32, c: K as u32, mode: 0 }, values, &mut words);
        words
    };
    let (xw, ww) = (pack(&x), pack(&w));
    println!("{} KiB of floats become {} KiB of signs", 4 * x.len() / 1024, 4 * xw.len() / 1024);

    let mut on_cpu = vec![0i32; ROWS * ROWS];
    for r in 0..ROWS {
        for c in 0..ROWS {
            let pairs = xw[r * WORDS..(r + 1) * WORDS].iter().zip(&ww[c * WORDS..(c + 1) * WORDS]);
            let disagree: u32 = pairs.map(|(a, b)| (a ^ b).count_ones()).sum();
            on_cpu[r * ROWS + c] = K as i32 - 2 * disagree as i32;
        }
    }
    assert_eq!(on_cpu, want);
    println!("on the CPU: {} dot products of {K} signs, all equal to the definition", want.len());

    // The same on an adapter, a software one too.
    let Some(adapter) = adapters().into_iter().next() else {
        println!("no adapter was found, so no shader runs (Debian: apt-get install mesa-vulkan-drivers)");
        return Ok(());
    };
    let gpu = Gpu::open(&DeviceChoice::Index(adapter.index), LimitsChoice::Floor)?;
    let dims = Dims { rows: ROWS as u32, words: WORDS as u32, k: K as i32, pad0: 0 };
    let zeros = vec![0i32; ROWS * ROWS];
    let buffer = |binding, kind, bytes| OnceBuffer { group: 0, binding, kind, bytes };
    let got = gpu.run_once(&Once {
        label: "xnor_dot",
        source: SHADER,
        entry_point: "main",
        constants: &[],
        buffers: &[
            buffer(0, OnceKind::Uniform, bytemuck::bytes_of(&dims)),
            buffer(1, OnceKind::Read, bytemuck::cast_slice(&xw)),
            buffer(2, OnceKind::Read, bytemuck::cast_slice(&ww)),
            buffer(3, OnceKind::ReadWrite, bytemuck::cast_slice(&zeros)),
        ],
        groups: [ROWS.div_ceil(8) as u32, ROWS.div_ceil(8) as u32, 1],
    })?;
    let on_gpu: Vec<i32> = bytemuck::pod_collect_to_vec(&got[0]);
    assert_eq!(on_gpu, want);
    println!("on {}: the same integers", gpu.name());
    Ok(())
}
