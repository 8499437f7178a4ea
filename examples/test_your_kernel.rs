//! Testing WGSL kernels that are not autobidet's: two texts, their Rust twins, a grid of sizes, every adapter at hand.
//!
//! `cargo run --release --example test_your_kernel`

use autobidet::testing::{ExpectedFailure, KernelCase, KernelTest, all_adapters};

/// y = a x + y.
const SAXPY: &str = "
struct Dims { n: u32, a: f32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < dims.n { y[id.x] = dims.a * x[id.x] + y[id.x]; }
}";

/// Inclusive prefix sums of blocks of WG values, in log2(WG) rounds through workgroup memory.
const BLOCK_SCAN: &str = "
override WG: u32 = 64u;
@group(0) @binding(0) var<storage, read> values: array<u32>;
@group(1) @binding(0) var<storage, read_write> sums: array<u32>;
var<workgroup> part: array<u32, WG>;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n = arrayLength(&values);
    part[lane] = select(0u, values[min(id.x, n - 1u)], id.x < n);
    for (var step = 1u; step < WG; step *= 2u) {
        workgroupBarrier();
        let before = select(0u, part[lane - min(step, lane)], lane >= step);
        workgroupBarrier();
        part[lane] += before;
    }
    if id.x < n { sums[id.x] = part[lane]; }
}";

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Dims {
    n: u32,
    a: f32,
}

fn saxpy_case(n: u32) -> KernelCase {
    let x: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
    let y: Vec<f32> = (0..n).map(|i| 1.0 / (i + 1) as f32).collect();
    KernelCase::new(format!("n = {n}")).uniform("dims", &Dims { n, a: 0.3 }).input("x", &x).update("y", &y).groups([
        n.div_ceil(64),
        1,
        1,
    ])
}

fn scan_case(n: u32, workgroup: u32) -> KernelCase {
    let values: Vec<u32> = (0..n).map(|i| i.wrapping_mul(2_654_435_761) >> 20).collect();
    KernelCase::new(format!("n = {n}, WG = {workgroup}"))
        .input("values", &values)
        .output::<u32>("sums", n as usize)
        .constant("WG", workgroup as f64)
        .groups([n.div_ceil(workgroup), 1, 1])
}

fn main() -> autobidet::Result<()> {
    let adapters = all_adapters()?;
    println!("{} adapters\n", adapters.len());

    // WGSL lets a driver fuse `a * x + y` into one rounding, so the results of good drivers differ in the last bit.
    let saxpy = KernelTest::new("saxpy", SAXPY)
        .twin(|args| {
            let dims: Dims = args.uniform("dims")?;
            let (x, y) = (args.input::<f32>("x")?, args.output::<f32>("y")?);
            y.iter_mut().zip(x).take(dims.n as usize).for_each(|(y, x)| *y += dims.a * x);
            Ok(())
        })
        .tolerance(1e-6)
        .cases([1, 63, 64, 65, 1000, 100_000].map(saxpy_case))
        .run(&adapters)?;
    println!("{}", saxpy.markdown());

    // The twin closure does not see constants: one test a workgroup size. Integers are compared exactly.
    for workgroup in [32, 64, 256] {
        let scan = KernelTest::new(format!("block_scan {workgroup}"), BLOCK_SCAN)
            .twin(move |args| {
                let (values, sums) = (args.input::<u32>("values")?, args.output::<u32>("sums")?);
                for (i, s) in sums.iter_mut().enumerate() {
                    let first = i - i % workgroup as usize;
                    *s = values[first..=i].iter().sum();
                }
                Ok(())
            })
            // A failure that is known has a name and a reason; when it is gone, the test says so.
            .expect_failure(ExpectedFailure {
                adapter_contains: "no such adapter".to_string(),
                reason: "shows where a driver's bug would be noted".to_string(),
                ..Default::default()
            })
            .cases([1, 63, 64, 65, 1000, 100_003].map(|n| scan_case(n, workgroup)))
            .cases([KernelCase::new("known sums")
                .input("values", &[1u32, 2, 3, 4])
                .output::<u32>("sums", 4)
                .expect("sums", &[1u32, 3, 6, 10])
                .constant("WG", workgroup as f64)])
            .run(&adapters)?;
        println!("{}", scan.markdown());
        scan.check()?;
    }
    saxpy.check()
}
