//! fixed_quantize: exact against the definition, device against twin.

use autobidet::ops::fixed_quantize::FixedQuantize;
use autobidet::ops::pool::PoolWindow;
use autobidet::plan::{Format, Shape};

use super::case_file::{map, refused};
use super::integers::{at, exact, int_case, int_map, numbers, scaled, words};

const HALVES: PoolWindow = PoolWindow::square(2, 2, 0);
const PLAIN: FixedQuantize = FixedQuantize { pool: None, mul: 1, shift: 0, zero: 0 };

/// N,C,H,W from the definition.
fn definition(op: &FixedQuantize, s: Shape, x: &[i32]) -> Vec<i32> {
    let (h, w) = op.pool.map_or((s.h, s.w), |p| (p.count(0, s.h).unwrap(), p.count(1, s.w).unwrap()));
    let step = if op.pool.is_some() { 2 } else { 1 };
    let mut out = Vec::new();
    for n in 0..s.n {
        for c in 0..s.c {
            for (oy, ox) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                let (mut sum, mut count) = (0i64, 0i64);
                for y in oy * step..((oy + 1) * step).min(s.h) {
                    for col in ox * step..((ox + 1) * step).min(s.w) {
                        sum += x[at(s, n, c, y, col)] as i64;
                        count += 1;
                    }
                }
                let q = scaled(sum.div_euclid(count), op.mul, op.shift) + op.zero as i64;
                out.push(q.clamp(-128, 127) as i32);
            }
        }
    }
    out
}

#[test]
fn fixed_quantize_on_a_grid_of_shapes() {
    let ops = [
        (PLAIN, 200),
        (FixedQuantize { mul: 21_000, shift: 22, zero: -9, ..PLAIN }, 30_000),
        (FixedQuantize { mul: -32_767, shift: 37, zero: 100, ..PLAIN }, (1 << 29) - 1),
        (FixedQuantize { mul: 3, shift: -5, zero: 3, ..PLAIN }, 2),
    ];
    for (op, most) in ops {
        for pool in [None, Some(HALVES), Some(HALVES.ceil())] {
            for shape in [
                Shape::new(1, 2, 2, 1),
                Shape::new(2, 3, 5, 3),
                Shape::new(3, 4, 4, 33),
                Shape::new(2, 7, 9, 6),
                Shape::new(1, 20, 19, 32),
            ] {
                let op = FixedQuantize { pool, ..op };
                // What the input is after its way through floats.
                let x: Vec<i32> = numbers("x", shape.len(), most).into_iter().map(|v| v as f32 as i32).collect();
                let x: Vec<i32> = x.into_iter().map(|v| v.clamp(-(1 << 29) + 64, (1 << 29) - 64)).collect();
                let case = int_case(format!("{op:?} on {shape}"), vec![int_map(shape, Format::Fixed, &x)], op);
                assert!(exact(&case) == definition(&op, shape, &x), "{}", case.name);
                if !shape.c.is_multiple_of(4) {
                    let (words_a_pixel, used) = (shape.c.div_ceil(4) as usize, 8 * (shape.c % 4));
                    let last = words(&case).into_iter().skip(words_a_pixel - 1).step_by(words_a_pixel);
                    assert!(last.into_iter().all(|w| w >> used == 0), "{}", case.name);
                }
            }
        }
    }
}

#[test]
fn fixed_quantize_refusals() {
    let shape = Shape::new(1, 4, 4, 3);
    let x = || vec![int_map(shape, Format::Fixed, &numbers("x", shape.len(), 9))];
    let run = |part: &str, op: FixedQuantize| refused(part, x(), move |b, t| b.apply(op, "q", t));
    for window in [PoolWindow::square(3, 2, 1), PoolWindow::square(2, 1, 0), PoolWindow::square(2, 2, 1)] {
        run("q: expected fixed_quantize: windows of 2x2", FixedQuantize { pool: Some(window), ..PLAIN });
    }
    run("q: expected fixed_quantize: a multiplier below 2^15", FixedQuantize { mul: -32_768, ..PLAIN });
    run("q: expected fixed_quantize: a shift from -14 to 46", FixedQuantize { shift: 47, ..PLAIN });
    run("q: expected fixed_quantize: a zero below 2^20", FixedQuantize { zero: i32::MIN, ..PLAIN });
    refused("q, fixed_quantize: x: expected Fixed of 1 images", vec![map("x", shape)], |b, t| b.apply(PLAIN, "q", t));
    let flat = Shape::new(1, 1, 4, 3);
    let thin = vec![int_map(flat, Format::Fixed, &numbers("x", flat.len(), 9))];
    refused("q: expected fixed_quantize: a window that fits", thin, |b, t| {
        b.apply(FixedQuantize { pool: Some(HALVES), ..PLAIN }, "q", t)
    });
}
