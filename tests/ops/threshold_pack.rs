//! threshold_pack: the bits of the definition, device against twin.

use autobidet::ops::binary_conv2d::InputDomain;
use autobidet::ops::threshold_pack::ThresholdPack;
use autobidet::plan::{Format, Shape, round4};
use autobidet::testing::TestInput;

use super::case_file::{GRID, map, refused};
use super::integers::{exact, int_case, int_map, int_row, numbers, words};

/// Thresholds as a dense row whose pad lanes are not 0.
fn floats(values: &[f32]) -> TestInput {
    let pitch = round4(values.len() as u32);
    let data = (0..pitch as usize).map(|c| values.get(c).copied().unwrap_or(-3.0)).collect();
    TestInput::param("t", Shape::vector(pitch), Format::Flat, data).no_grad()
}

/// Bits past the last channel are 0, although thresholds there are not.
fn clean(shape: Shape, words: &[u32]) -> bool {
    let a_pixel = shape.c.div_ceil(32) as usize;
    let past = if shape.c.is_multiple_of(32) { 0 } else { u32::MAX << (shape.c % 32) };
    words.iter().skip(a_pixel - 1).step_by(a_pixel).all(|w| w & past == 0)
}

#[test]
fn threshold_pack_on_a_grid_of_shapes() {
    for shape in GRID.into_iter().chain([Shape::new(1, 3, 3, 64), Shape::new(2, 2, 3, 97)]) {
        for domain in [InputDomain::Sign, InputDomain::ZeroOne] {
            let set = |sum: f64| if domain == InputDomain::Sign { sum < 0.0 } else { sum > 0.0 };
            let channel = |i: usize| i / (shape.h * shape.w) as usize % shape.c as usize;
            // Few different numbers, so that many sums are 0.
            let x: Vec<i32> = numbers("x", shape.len(), 4);
            let t: Vec<i32> = numbers("t", shape.c as u64, 3);
            let want: Vec<i32> = x.iter().enumerate().map(|(i, x)| set((x + t[channel(i)]) as f64) as i32).collect();

            let op = ThresholdPack { fixed: true, domain };
            let mut row = int_row("t", &t);
            row.data[t.len()..].fill(f32::from_bits(-9i32 as u32));
            let inputs = vec![int_map(shape, Format::Fixed, &x), row];
            let case = int_case(format!("threshold_pack {domain:?} of {shape}, fixed"), inputs, op);
            assert!(exact(&case) == want && clean(shape, &words(&case)), "{}", case.name);

            let op = ThresholdPack { fixed: false, domain };
            let halves = |v: &[i32]| -> Vec<f32> { v.iter().map(|v| *v as f32 / 2.0).collect() };
            let inputs = vec![TestInput::map("x", shape, halves(&x)).no_grad(), floats(&halves(&t))];
            let case = int_case(format!("threshold_pack {domain:?} of {shape}"), inputs, op);
            assert!(exact(&case) == want && clean(shape, &words(&case)), "{}", case.name);
        }
    }
}

/// Thresholds at the ends say always and never, and sums that a float would round are decided as they are.
#[test]
fn threshold_pack_at_the_ends() {
    let shape = Shape::new(1, 1, 2, 4);
    let most = 1 << 24;
    let x = [most, -most, most, -most, 1, 0, 0, -1];
    let t = [i32::MAX, -i32::MAX, -1, 0];
    let op = ThresholdPack { fixed: true, domain: InputDomain::Sign };
    let inputs = vec![int_map(shape, Format::Fixed, &x), int_row("t", &t)];
    assert_eq!(exact(&int_case("ends".into(), inputs, op)), [0, 0, 1, 1, 0, 1, 0, 1]);

    let x = [1.0, -1.0, 1e30, f32::MAX, -0.0, 0.0, 1.0, 1.0];
    let t = [-0.999_999_94, f32::NEG_INFINITY, 0.0, -1.000_000_1];
    for (domain, want) in
        [(InputDomain::Sign, [0, 1, 1, 1, 0, 0, 1, 1]), (InputDomain::ZeroOne, [1, 0, 0, 0, 0, 0, 0, 0])]
    {
        let op = ThresholdPack { fixed: false, domain };
        let inputs = vec![TestInput::map("x", shape, x.to_vec()).no_grad(), floats(&t)];
        assert_eq!(exact(&int_case("ends".into(), inputs, op)), want);
    }
}

#[test]
fn threshold_pack_refusals() {
    let shape = Shape::new(1, 2, 2, 5);
    let op = ThresholdPack { fixed: true, domain: InputDomain::Sign };
    let x = || int_map(shape, Format::Fixed, &numbers("x", shape.len(), 9));
    refused("bits, threshold_pack: x: expected Fixed", vec![map("x", shape), int_row("t", &[0; 5])], |b, t| {
        b.apply(op, "bits", t)
    });
    refused("bits, threshold_pack: threshold: expected 1x1x1x8 FlatI32", vec![x(), floats(&[0.0; 5])], |b, t| {
        b.apply(op, "bits", t)
    });
    refused("bits: expected threshold_pack: x and threshold", vec![x()], |b, t| b.apply(op, "bits", t));
    refused("bits, threshold_pack: x: expected Map", vec![x(), floats(&[0.0; 5])], |b, t| {
        b.apply(ThresholdPack { fixed: false, ..op }, "bits", t)
    });
}
