//! The shared function of the integer kernels in WGSL against its twin, which has a test of its own.

use autobidet::cpu::fixed::fixed_scale;
use autobidet::ops::FIXED_SCALE;
use autobidet::rng::Counter;
use autobidet::testing::{KernelCase, KernelTest, TestDevice, test_gpu};

const KERNEL: &str = "
@group(0) @binding(0) var<uniform> n: u32;
@group(0) @binding(1) var<storage, read> acc: array<vec4<i32>>;
@group(0) @binding(2) var<storage, read> mul: array<vec4<i32>>;
@group(0) @binding(3) var<storage, read> shift: array<vec4<i32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<i32>>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < n { y[id.x] = FUNCTION(acc[id.x], mul[id.x], shift[id.x]); }
}
";

#[test]
fn fixed_scale_on_random_and_extreme_values() {
    check("fixed_scale", i32::MAX, 50_000);
}

#[test]
fn fixed_scale_small_gives_the_same() {
    check("fixed_scale_small", 1 << 16, 20_000);
}

/// The shader's function against the twin where |acc| <= most (and for the lowest i32, if that is all of them).
fn check(function: &str, most: i32, least: usize) {
    let rng = Counter::named(3, "fixed_scale shader");
    let ends = |v: i32| [v, v - 1, v + 1, -v, 1 - v, -v - 1];
    let mut triples = Vec::new();
    let mut add = |acc: i32, mul: i32, shift: i32| {
        let wide = acc as i128 * mul as i128;
        let size = if shift > 0 { wide >> shift } else { wide << -shift };
        let meant = most == i32::MAX || acc.unsigned_abs() <= most as u32;
        if meant && (-(1i128 << 29)..1 << 29).contains(&size) {
            triples.push((acc, mul, shift));
        }
    };
    for shift in -14..=46 {
        for mul in [0, 1, -1, 2, 3, -3, 255, 16_384, -16_384, 32_766, 32_767, -32_767] {
            for acc in [0, 1, 2, 3, 127, 0xffff, 0x1_0000, 1 << 23, 1 << 29, i32::MAX - 1].into_iter().flat_map(ends) {
                add(acc, mul, shift);
            }
            add(i32::MIN, mul, shift);
        }
    }
    for i in 0..100_000 {
        let w = rng.words(i);
        add(w[0] as i32 >> (w[3] % 32), (w[1] % 65_535) as i32 - 32_767, (w[2] % 61) as i32 - 14);
    }
    assert!(triples.len() > least, "{}", triples.len());
    triples.resize(triples.len().next_multiple_of(4), (0, 0, 0));
    let part = |f: fn(&(i32, i32, i32)) -> i32| -> Vec<i32> { triples.iter().map(f).collect() };
    let vectors = triples.len() as u32 / 4;
    let case = KernelCase::new("triples")
        .uniform("n", &vectors)
        .input("acc", &part(|t| t.0))
        .input("mul", &part(|t| t.1))
        .input("shift", &part(|t| t.2))
        .output::<i32>("y", triples.len())
        .groups([vectors.div_ceil(64), 1, 1]);
    let gpus = match test_gpu().unwrap() {
        Some(TestDevice::Gpu(g)) => vec![g],
        _ => Vec::new(),
    };
    KernelTest::new(function, format!("{}{}", KERNEL.replace("FUNCTION", function), FIXED_SCALE.source))
        .twin(|args| {
            let (acc, mul, shift) = (args.input::<i32>("acc")?, args.input::<i32>("mul")?, args.input::<i32>("shift")?);
            for (i, y) in args.output::<i32>("y")?.iter_mut().enumerate() {
                *y = fixed_scale(acc[i], mul[i], shift[i]);
            }
            Ok(())
        })
        .cases([case])
        .run(&gpus)
        .unwrap()
        .check()
        .unwrap();
}
