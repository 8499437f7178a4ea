//! upsample_nearest and channel_shuffle: values only move.
use autobidet::ops::add::Add;
use autobidet::ops::channel_shuffle::ChannelShuffle;
use autobidet::ops::upsample_nearest::UpsampleNearest;
use autobidet::plan::Shape;
use autobidet::testing::test_gpu;

use super::case_file::{GRID, cases, map, op_case, refused};

#[test]
fn upsample_nearest_on_a_grid_of_shapes() {
    let gpu = test_gpu().unwrap();
    for shape in &GRID[..4] {
        for scale in [1, 2, 3] {
            let big = Shape { h: shape.h * scale, w: shape.w * scale, ..*shape };
            // Added to itself, so that gradients accumulate.
            let case = op_case("upsample_nearest", vec![map("x", *shape)], big, move |b, t| {
                let y = b.apply1(UpsampleNearest { scale }, "up", t)?;
                let z = b.apply1(UpsampleNearest { scale }, "up", t)?;
                b.apply(Add, "sum", &[y, z])
            });
            let (out, _) = case.check(gpu.as_ref(), 0.0).unwrap();
            let d_x = out.gradients[0].as_ref().unwrap();
            let mut want = vec![0f64; d_x.len()];
            for (i, y) in out.outputs[0].iter().enumerate() {
                let (w, h) = (big.w as usize, big.h as usize);
                let (plane, row, column) = (i / (w * h), i / w % h / scale as usize, i % w / scale as usize);
                let at = (plane * shape.h as usize + row) * shape.w as usize + column;
                assert_eq!(*y, 2.0 * case.inputs[0].data[at]);
                want[at] += 2.0 * case.upstream[0][i] as f64;
            }
            assert!(d_x.iter().zip(want).all(|(d, w)| (*d as f64 - w).abs() < 1e-5));
        }
    }
}

#[test]
fn channel_shuffle_on_a_grid_of_shapes() {
    let gpu = test_gpu().unwrap();
    for (c, groups) in [(1, 1), (3, 3), (6, 2), (33, 3), (64, 4)] {
        let shape = Shape::new(2, 3, 5, c);
        let case = op_case("channel_shuffle", vec![map("x", shape)], shape, move |b, t| {
            let y = b.apply1(ChannelShuffle { groups }, "shuffle", t)?;
            let z = b.apply1(ChannelShuffle { groups }, "shuffle", t)?;
            b.apply(Add, "sum", &[y, z])
        });
        let (out, _) = case.check(gpu.as_ref(), 0.0).unwrap();
        for i in 0..shape.len() as usize {
            let (plane, members) = (15, (c / groups) as usize);
            let (n, k) = (i / plane / c as usize, i / plane % c as usize);
            let from = k % groups as usize * members + k / groups as usize;
            let at = (n * c as usize + from) * plane + i % plane;
            assert_eq!(out.outputs[0][i], 2.0 * case.inputs[0].data[at]);
            assert_eq!(out.gradients[0].as_ref().unwrap()[at], 2.0 * case.upstream[0][i]);
        }
    }
}

#[test]
fn rearrange_conformance() {
    for f in cases("upsample_nearest") {
        let op = UpsampleNearest { scale: f.u32("scale") };
        f.check(&f.op_case(vec![f.map("x")], move |b, t| b.apply(op, "up", t)), &[&["y"]], &[&["x"]]);
    }
    for f in cases("channel_shuffle") {
        let op = ChannelShuffle { groups: f.u32("groups") };
        f.check(&f.op_case(vec![f.map("x")], move |b, t| b.apply(op, "shuffle", t)), &[&["y"]], &[&["x"]]);
    }
}

#[test]
fn rearrange_refusals() {
    let x = || vec![map("x", Shape::new(1, 2, 2, 4))];
    refused("groups that divide the channels, got 3 groups, 4 channels", x(), |b, t| {
        b.apply(ChannelShuffle { groups: 3 }, "shuffle", t)
    });
    refused("a factor of 1 or more, got 0", x(), |b, t| b.apply(UpsampleNearest { scale: 0 }, "up", t));
}
