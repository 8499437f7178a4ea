//! The kernel-testing machinery itself: it finds what is wrong, and says where.

use autobidet::ops;
use autobidet::testing::kernel::{Value, Verdict};
use autobidet::testing::{ExpectedFailure, KernelCase, KernelTest, TestDevice, test_gpu};

const DOUBLE: &str = "
override GAIN: u32 = 2u;
@group(0) @binding(0) var<uniform> n: u32;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) { if id.x < n { y[id.x] = GAIN * x[id.x]; } }";

fn case(n: u32) -> KernelCase {
    let x: Vec<u32> = (0..n).collect();
    KernelCase::new(format!("n={n}")).uniform("n", &n).input("x", &x).output::<u32>("y", n as usize).groups([
        n.div_ceil(64),
        1,
        1,
    ])
}

fn double(args: &mut autobidet::testing::kernel::TwinArgs<'_>) -> autobidet::Result<()> {
    let (x, y) = (args.input::<u32>("x")?, args.output::<u32>("y")?);
    y.iter_mut().zip(x).for_each(|(y, x)| *y = 2 * x);
    Ok(())
}

fn adapters() -> Vec<std::sync::Arc<autobidet::gpu::Gpu>> {
    match test_gpu().unwrap() {
        Some(TestDevice::Gpu(g)) => vec![g],
        _ => Vec::new(),
    }
}

#[test]
fn a_right_kernel_passes_and_a_wrong_one_is_named() {
    let gpus = adapters();
    let good = KernelTest::new("double", DOUBLE).twin(double).cases([1, 64, 65].map(case));
    let report = good.run(&gpus).unwrap();
    report.check().unwrap();
    assert_eq!(report.rows.len(), 3 * (1 + gpus.len()));
    assert!(report.markdown().contains("| n=65 | twin | passed, exact |"));

    let wrong = KernelTest::new("triple", DOUBLE).twin(double).cases([case(70).constant("GAIN", 3.0)]);
    let report = wrong.run(&gpus).unwrap();
    assert_eq!(report.failures().count(), gpus.len());
    if !gpus.is_empty() {
        assert!(report.check().unwrap_err().to_string().contains("y[1] is 3, expected 2"));
        assert!(report.markdown().contains("**failed**"));
    }
}

#[test]
fn the_twin_is_held_to_known_values() {
    let test =
        |y: &[u32]| KernelTest::new("double", DOUBLE).twin(double).cases([case(3).expect("y", y)]).run(&[]).unwrap();
    test(&[0, 2, 4]).check().unwrap();
    assert!(test(&[0, 2, 5]).check().unwrap_err().to_string().contains("y[2] is 4, expected 5"));
    assert!(test(&[0, 2]).check().unwrap_err().to_string().contains("3 values, expected 2"));
}

#[test]
fn expected_failures_must_fail() {
    let gpus = adapters();
    let known =
        ExpectedFailure { case_contains: "n=5".to_string(), reason: "issue 1".to_string(), ..Default::default() };
    let fails = KernelTest::new("double", DOUBLE)
        .twin(double)
        .cases([case(5).constant("GAIN", 3.0), case(6)])
        .expect_failure(known.clone());
    let report = fails.run(&gpus).unwrap();
    report.check().unwrap();
    let as_expected = report.rows.iter().filter(|r| matches!(r.verdict, Verdict::FailedAsExpected(_))).count();
    assert_eq!(as_expected, gpus.len());
    let passes = KernelTest::new("double", DOUBLE).twin(double).cases([case(5)]).expect_failure(known);
    assert_eq!(passes.run(&gpus).unwrap().failures().count(), gpus.len());
}

#[test]
fn a_wrong_test_is_an_error_and_not_a_result() {
    let error = |t: KernelTest<'_>| t.run(&[]).unwrap_err().to_string();
    let test = || KernelTest::new("double", DOUBLE).twin(double);
    assert!(error(test()).contains("at least one case"));
    assert!(error(KernelTest::new("double", DOUBLE).cases([case(1)])).contains("a twin"));
    assert!(error(test().cases([case(1).input("z", &[1u32])])).contains("z"));
    assert!(
        error(test().cases([KernelCase::new("c").uniform("n", &1u32).input("x", &[1u32])])).contains("y to be bound")
    );
    assert!(
        error(test().cases([KernelCase::new("c").uniform("n", &1u32).update("x", &[1u32]).output::<u32>("y", 1)]))
            .contains("x bound as Read")
    );
    assert!(error(KernelTest::new("bad", "fn main( {").twin(double).cases([case(1)])).contains("bad:1"));
    let asks = |name: &'static str| {
        KernelTest::new("double", DOUBLE).twin(move |a| a.input::<f32>(name).map(|_| ())).cases([case(1)])
    };
    assert!(error(asks("x")).contains("x Some(F32)"), "wrong element type");
    assert!(error(asks("q")).contains("q Some(F32)"), "wrong name");
    let twice = KernelTest::new("double", DOUBLE)
        .twin(|a| a.output::<u32>("y").and_then(|_| a.output::<u32>("y")).map(|_| ()))
        .cases([case(1)]);
    assert!(error(twice).contains("once each"));
    assert_eq!(<u32 as Value>::ELEM, autobidet::plan::Elem::U32);
}

#[test]
fn a_row_of_the_table_runs_on_its_own_twin() {
    let x: Vec<f32> = (0..40).map(|i| i as f32 - 20.0).collect();
    let dims = autobidet::cpu::relu::ReluDims { vectors: 10, accumulate: 0 };
    let want: Vec<f32> = x.iter().map(|v| v.max(0.0)).collect();
    KernelTest::of(&ops::relu::FORWARD)
        .cases([KernelCase::new("40 values")
            .uniform("dims", &dims)
            .input("x", &x)
            .output::<f32>("y", 40)
            .expect("y", &want)])
        .run(&adapters())
        .unwrap()
        .check()
        .unwrap();
}
