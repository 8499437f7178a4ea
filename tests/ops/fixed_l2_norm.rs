//! fixed_l2_norm: near real arithmetic, device against twin.

use autobidet::ops::fixed_l2_norm::{FixedL2Norm, fixed_l2_weight};
use autobidet::plan::{Format, Shape};

use super::case_file::{GRID, map, refused};
use super::integers::{at, exact, int_case, int_map, int_row, numbers};

/// What a weight stands for.
fn factor(weight: i32) -> f64 {
    f64::from(weight >> 4) / f64::from(1 << (weight & 15))
}

#[test]
fn weights_stand_for_their_factors() {
    for i in 0..20_000 {
        let size = 0.5 * 1.000_517f64.powi(i);
        for f in [size, -size] {
            let w = fixed_l2_weight(f);
            assert!((factor(w) - f).abs() <= f.abs() / 16_384.0 + if size > 16_383.0 { size } else { 0.0 }, "{f} {w}");
            assert!((w >> 4).abs() < 1 << 14 && (w & 15) <= 14);
        }
    }
    assert_eq!([0.0, f64::NAN].map(|f| factor(fixed_l2_weight(f))), [0.0; 2]);
    assert_eq!([f64::INFINITY, -1e9].map(|f| factor(fixed_l2_weight(f))), [16_383.0, -16_383.0]);
    assert!((factor(fixed_l2_weight(0.01)) - 0.01).abs() < 1e-4);
}

#[test]
fn fixed_l2_norm_on_a_grid_of_shapes() {
    let big = [Shape::new(1, 3, 3, 512), Shape::new(2, 2, 2, 1024)];
    for shape in GRID.into_iter().chain(big) {
        for (shift, most) in [(0, 3), (0, 2047), (5, 60_000), (12, 1 << 23), (3, 1 << 23)] {
            let mut x = numbers("x", shape.len(), most);
            // The first pixel is of zeros, and the second has one channel alone.
            for c in 0..shape.c {
                x[at(shape, 0, c, 0, 0)] = 0;
                if shape.w > 2 && c > 0 {
                    x[at(shape, 0, c, 0, 1)] = 0;
                }
            }
            let factors: Vec<f64> = (0..shape.c)
                .map(|c| [100.0, -37.5, 900.0, 2.25, 0.6][c as usize % 5] * (1.0 + c as f64 / 64.0))
                .collect();
            let weights: Vec<i32> = factors.iter().map(|f| fixed_l2_weight(*f)).collect();
            let inputs = vec![int_map(shape, Format::Fixed, &x), int_row("weight", &weights)];
            let case = int_case(format!("fixed_l2_norm of {shape}, {shift}"), inputs, FixedL2Norm { shift });
            let got = exact(&case);
            for (n, y, col) in
                (0..shape.n).flat_map(|n| (0..shape.h).flat_map(move |y| (0..shape.w).map(move |c| (n, y, c))))
            {
                let t = |c: u32| f64::from((x[at(shape, n, c, y, col)] >> shift).clamp(-2047, 2047));
                let norm = (0..shape.c).map(|c| t(c) * t(c)).sum::<f64>().sqrt();
                for c in 0..shape.c {
                    let want = if norm == 0.0 { 0.0 } else { factors[c as usize] * t(c) / norm };
                    let value = f64::from(got[at(shape, n, c, y, col)]);
                    let error = (value - want.clamp(-128.0, 127.0)).abs();
                    assert!(error <= 0.5 + want.abs() / 4096.0, "{}: {value} for {want}", case.name);
                }
            }
        }
    }
}

#[test]
fn fixed_l2_norm_refusals() {
    let inputs = |c: u32, weights: usize| {
        let shape = Shape::new(1, 2, 2, c);
        vec![int_map(shape, Format::Fixed, &numbers("x", shape.len(), 9)), int_row("weight", &vec![16; weights])]
    };
    let run = |part: &str, inputs, shift| {
        refused(part, inputs, move |b, t| b.apply(FixedL2Norm { shift }, "norm", t));
    };
    run("norm: expected fixed_l2_norm: at most 1024 channels, got 1025", inputs(1025, 1025), 0);
    run("norm: expected fixed_l2_norm: a shift from 0 to 31, got 32", inputs(5, 5), 32);
    run("norm, fixed_l2_norm: weight: expected 1x1x1x8 FlatI32", inputs(5, 4), 0);
    run("norm: expected fixed_l2_norm: x and weight, got 1 inputs", inputs(5, 5)[..1].to_vec(), 0);
    run("norm, fixed_l2_norm: x: expected Fixed", vec![map("x", Shape::new(1, 2, 2, 5)), inputs(5, 5)[1].clone()], 0);
}
