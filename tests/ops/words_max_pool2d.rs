//! words_max_pool2d: the sign of the maximum, device against twin.

use autobidet::ops::pool::PoolWindow;
use autobidet::ops::words_max_pool2d::WordsMaxPool2d;
use autobidet::plan::{Format, Shape};

use super::case_file::{map, refused};
use super::integers::{at, exact, int_case, int_map, numbers};

const WINDOWS: [PoolWindow; 6] = [
    PoolWindow::square(2, 2, 0),
    PoolWindow::square(2, 2, 0).ceil(),
    PoolWindow::square(3, 1, 1),
    PoolWindow::square(3, 2, 1).ceil(),
    PoolWindow::square(2, 3, 1).ceil(),
    PoolWindow { kernel: [3, 5], stride: [2, 1], padding: [0, 2], ceil_mode: true },
];

/// The sign of the maximum of -1 and 1 over the pixels inside, N,C,H,W.
fn definition(window: PoolWindow, s: Shape, bits: &[i32]) -> Vec<i32> {
    let (h, w) = (window.count(0, s.h).unwrap(), window.count(1, s.w).unwrap());
    let mut out = Vec::new();
    for (n, c) in (0..s.n).flat_map(|n| (0..s.c).map(move |c| (n, c))) {
        for (oy, ox) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
            let mut most = i32::MIN;
            for (ky, kx) in (0..window.kernel[0]).flat_map(|y| (0..window.kernel[1]).map(move |x| (y, x))) {
                let y = (oy * window.stride[0] + ky).wrapping_sub(window.padding[0]);
                let x = (ox * window.stride[1] + kx).wrapping_sub(window.padding[1]);
                if y < s.h && x < s.w {
                    most = most.max(if bits[at(s, n, c, y, x)] == 1 { -1 } else { 1 });
                }
            }
            out.push((most < 0) as i32);
        }
    }
    out
}

#[test]
fn words_max_pool2d_on_a_grid_of_shapes_and_windows() {
    for window in WINDOWS {
        for shape in
            [Shape::new(2, 3, 5, 1), Shape::new(1, 13, 11, 5), Shape::new(3, 8, 7, 33), Shape::new(2, 9, 9, 64)]
        {
            // Mostly negative, so that windows of both kinds occur.
            let bits: Vec<i32> = numbers("bits", shape.len(), 3).into_iter().map(|v| (v < 3) as i32).collect();
            let input = int_map(shape, Format::Words, &bits);
            let case = int_case(format!("{window:?} on {shape}"), vec![input], WordsMaxPool2d(window));
            assert!(exact(&case) == definition(window, shape, &bits), "{}", case.name);
        }
    }
}

#[test]
fn words_max_pool2d_refusals() {
    let shape = Shape::new(1, 4, 4, 3);
    let x = || vec![int_map(shape, Format::Words, &[1; 48])];
    for window in [PoolWindow::square(5, 1, 0), PoolWindow::square(2, 0, 0), PoolWindow::square(2, 1, 2)] {
        refused("pool: expected words_max_pool2d: a window that fits", x(), |b, t| {
            b.apply(WordsMaxPool2d(window), "pool", t)
        });
    }
    refused("pool, words_max_pool2d: x: expected Words of 1 images", vec![map("x", shape)], |b, t| {
        b.apply(WordsMaxPool2d(PoolWindow::square(2, 2, 0)), "pool", t)
    });
}
