use autobidet::ops::peak_rate::PeakRate;
use autobidet::plan::{Builder, Format, Mode, PlanLimits, Shape, StepKind};
use autobidet::testing::{OpCase, TestInput, test_gpu};

fn case(bits: bool, rounds: u32, data: Vec<f32>) -> OpCase<'static> {
    let shape = Shape::vector(data.len() as u32);
    let format = if bits { Format::FlatU32 } else { Format::Flat };
    OpCase {
        name: format!("peak_rate {} {rounds}", if bits { "bits" } else { "floats" }),
        batch: 1,
        inputs: vec![TestInput::param("x", shape, format, data).no_grad()],
        upstream: Vec::new(),
        backward: false,
        build: Box::new(move |b, t| b.apply(PeakRate { bits, rounds }, "peak", t)),
    }
}

/// The numbers of one value: bits counted over the rounds.
fn ones(x: u32, rounds: u32) -> u32 {
    let (mut w, mut sum) = (0u32, 0);
    for _ in 0..8 * rounds {
        sum += (0..2).map(|j| (x.wrapping_add(j) ^ w).count_ones()).sum::<u32>();
        w = w.wrapping_add(2_654_435_769);
    }
    sum
}

#[test]
fn bits_are_counted_as_the_algebra_says() {
    let gpu = test_gpu().unwrap();
    for (len, rounds) in [(4, 1), (20, 3), (4096 + 36, 17)] {
        let x: Vec<u32> = (0..len).map(|i: u32| i.wrapping_mul(2_654_435_761)).collect();
        let case = case(true, rounds, x.iter().map(|v| f32::from_bits(*v)).collect());
        let (out, _) = case.check(gpu.as_ref(), 0.0).unwrap();
        for (y, x) in out.outputs[0].iter().zip(&x) {
            assert_eq!(y.to_bits(), ones(*x, rounds), "{x} after {rounds}");
        }
    }
}

#[test]
fn chains_of_floats_end_where_the_algebra_says() {
    let gpu = test_gpu().unwrap();
    for (len, rounds) in [(4u32, 1), (36, 5), (4096 + 20, 20)] {
        // With 1 a chain is j + rounds, with -1 it swings; both exact, fused or not.
        let x = (0..len).map(|i| if i % 3 == 0 { -1.0 } else { 1.0 }).collect::<Vec<f32>>();
        let (out, _) = case(false, rounds, x.clone()).check(gpu.as_ref(), 0.0).unwrap();
        for (y, x) in out.outputs[0].iter().zip(&x) {
            let chain = |j: u32| (0..8 * rounds).fold(j as f32, |a, _| a * x + x);
            assert_eq!(*y, (0..2).map(chain).sum::<f32>());
        }
    }
}

#[test]
fn its_cost_is_what_it_computes_and_odd_sizes_are_refused() {
    let build = |len: u32, format, bits, rounds| {
        Builder::build("peak", Mode::Eval, PlanLimits::HOST, 1, |b| {
            let x = b.input("x", Shape::vector(len), format, false);
            b.apply1(PeakRate { bits, rounds }, "peak", &[x])
        })
    };
    let (plan, _) = build(8, Format::FlatU32, true, 3).unwrap();
    assert_eq!(plan.steps[0].cost.binary_macs, 2 * 8 * 8 * 32 * 3);
    let (plan, _) = build(8, Format::Flat, false, 3).unwrap();
    assert_eq!(plan.steps[0].cost.macs, 2 * 8 * 8 * 3);
    assert!(matches!(plan.steps[0].kind, StepKind::Dispatch { .. }));
    for (len, format, bits, rounds) in
        [(6, Format::Flat, false, 1), (8, Format::Flat, true, 1), (8, Format::FlatU32, true, 0)]
    {
        let e = build(len, format, bits, rounds).unwrap_err().to_string();
        assert!(e.contains("peak_rate: 4 n values"), "{e}");
    }
}
