use autobidet::ops::match_priors::{DecodeBoxes, MatchPriors};
use autobidet::plan::{Format, Shape};
use autobidet::rng::Counter;
use autobidet::testing::{OpCase, TestInput, compare, test_gpu};

use super::losses_support::{bits, case, dense, devices, grid_priors, integers};

/// Matching of boxes (capacity a image) and labels against priors.
fn matching(boxes: Vec<f32>, labels: &[i32], counts: &[i32], priors: Vec<f32>) -> OpCase<'static> {
    let (n, m, p) = (counts.len() as u32, (labels.len() / counts.len()) as u32, priors.len() as u32 / 4);
    let column = |n, w, c| Shape::new(n, 1, w, c);
    OpCase {
        name: format!("match {n} {m} {p}"),
        batch: n,
        inputs: vec![
            dense("boxes", column(n, m, 4), Format::Flat, true, boxes),
            dense("labels", column(n, m, 1), Format::FlatI32, true, bits(labels.iter().copied())),
            dense("counts", column(n, 1, 1), Format::FlatU32, true, bits(counts.iter().copied())),
            dense("priors", column(1, p, 4), Format::Flat, false, priors),
        ],
        upstream: Vec::new(),
        backward: false,
        build: Box::new(|b, t| b.apply(MatchPriors::default(), "match", t)),
    }
}

#[test]
fn match_priors_conformance() {
    let Some(c) = case("match_priors__voc") else { return };
    let labels = integers(&c.values("in.labels"));
    let m = matching(c.values("in.boxes"), &labels, &[labels.len() as i32], c.values("in.priors"));
    for device in devices() {
        let out = m.run(&device).unwrap();
        assert_eq!(integers(&out.outputs[1]), integers(&c.values("out.conf")), "{}", device.name());
        let d = compare(&out.outputs[0], &c.values("out.loc"));
        println!("match_priors on {}: {:.2e}", device.name(), d.error);
        assert!(d.error <= c.tolerance, "{}: {d:?}", device.name());
    }
}

#[test]
fn decode_boxes_conformance_and_its_reverse() {
    let Some(c) = case("decode_boxes__voc") else { return };
    let (shape, loc) = c.get("in.loc");
    let rows = Shape::new(1, 1, shape[0] as u32, 4);
    let decode = OpCase {
        name: "decode".to_string(),
        batch: 1,
        inputs: vec![
            dense("loc", rows, Format::Flat, true, loc),
            dense("priors", rows, Format::Flat, false, c.values("in.priors")),
        ],
        upstream: Vec::new(),
        backward: false,
        build: Box::new(|b, t| b.apply(DecodeBoxes::default(), "decode", t)),
    };
    for device in devices() {
        let out = decode.run(&device).unwrap();
        let d = compare(&out.outputs[0], &c.values("out.boxes"));
        println!("decode_boxes on {}: {:.2e}", device.name(), d.error);
        assert!(d.error <= c.tolerance, "{}: {d:?}", device.name());
    }
}

/// The rules one by one, against a plain statement of them.
#[test]
fn matching_follows_its_rules() {
    let gpu = test_gpu().unwrap();
    let priors = grid_priors(8);
    let (images, capacity) = (4usize, 6usize);
    let rng = Counter::named(3, "boxes");
    let mut boxes = Vec::new();
    for i in 0..(images * capacity) as u32 {
        let (x, y) = (0.8 * rng.uniform(4 * i), 0.8 * rng.uniform(4 * i + 1));
        boxes.extend([x, y, x + 0.05 + 0.3 * rng.uniform(4 * i + 2), y + 0.05 + 0.3 * rng.uniform(4 * i + 3)]);
    }
    // Image 0: the second object is the first again, so both want one prior and the later wins. Image 1: no objects.
    // Image 2: an object without area in the middle.
    boxes.copy_within(0..4, 4);
    boxes[4 * (2 * capacity + 1) + 2] = boxes[4 * (2 * capacity + 1)];
    let labels: Vec<i32> = (0..(images * capacity) as i32).collect();
    let counts = [3i32, 0, 4, 6];
    let (out, worst) = matching(boxes.clone(), &labels, &counts, priors.clone()).check(gpu.as_ref(), 1e-5).unwrap();
    println!("match_priors on a grid: {worst:.2e}");
    let got = integers(&out.outputs[1]);
    let iou = |b: &[f32], p: &[f32]| -> f64 {
        let p = [p[0] - p[2] / 2.0, p[1] - p[3] / 2.0, p[0] + p[2] / 2.0, p[1] + p[3] / 2.0].map(f64::from);
        let b = [b[0], b[1], b[2], b[3]].map(f64::from);
        let inter = (b[2].min(p[2]) - b[0].max(p[0])).max(0.0) * (b[3].min(p[3]) - b[1].max(p[1])).max(0.0);
        inter / ((b[2] - b[0]) * (b[3] - b[1]) + (p[2] - p[0]) * (p[3] - p[1]) - inter)
    };
    let count = priors.len() / 4;
    for n in 0..images {
        let mut want = vec![0i32; count];
        let real: Vec<usize> = (0..counts[n] as usize).filter(|j| !(n == 2 && *j == 1)).collect();
        let object = |j: usize| &boxes[4 * (n * capacity + j)..][..4];
        let prior = |p: usize| &priors[4 * p..][..4];
        for p in 0..count {
            let best =
                real.iter().map(|j| (iou(object(*j), prior(p)), *j)).reduce(|a, b| if b.0 > a.0 { b } else { a });
            want[p] = best.filter(|b| b.0 >= 0.5).map_or(0, |b| labels[n * capacity + b.1] + 1);
        }
        for j in real {
            let best = (0..count).map(|p| (iou(object(j), prior(p)), p)).reduce(|a, b| if b.0 > a.0 { b } else { a });
            want[best.unwrap().1] = labels[n * capacity + j] + 1;
        }
        assert_eq!(&got[n * count..][..count], want, "image {n}");
    }
    assert!(out.outputs[0].iter().all(|v| v.is_finite()));

    // Decoding the targets gives the boxes back.
    let rows = Shape::new(images as u32, 1, count as u32, 4);
    let decode = OpCase {
        name: "decode".to_string(),
        batch: images as u32,
        inputs: vec![
            dense("loc", rows, Format::Flat, true, out.outputs[0].clone()),
            dense("priors", rows.with_n(1), Format::Flat, false, priors),
        ],
        upstream: Vec::new(),
        backward: false,
        build: Box::new(|b, t| b.apply(DecodeBoxes::default(), "decode", t)),
    };
    let (decoded, _) = decode.check(gpu.as_ref(), 1e-5).unwrap();
    for (row, class) in got.iter().enumerate().filter(|(_, c)| **c > 0) {
        let d = compare(&decoded.outputs[0][4 * row..][..4], &boxes[4 * (class - 1) as usize..][..4]);
        assert!(d.error < 1e-5, "{d:?}");
    }
}

#[test]
fn refuses_tensors_of_other_shapes() {
    let mut m = matching(vec![0.0; 8], &[0, 0], &[1], grid_priors(2));
    m.inputs[1] = dense("labels", Shape::new(1, 1, 3, 1), Format::FlatI32, true, vec![0.0; 3]);
    let e = m.run(&autobidet::testing::TestDevice::Cpu).unwrap_err().to_string();
    assert!(e.contains("match, labels") && e.contains("1x1x2x1"), "{e}");
    m.inputs[1] =
        TestInput { sliced: false, ..dense("l", Shape::new(1, 1, 2, 1), Format::FlatI32, true, vec![0.0; 2]) };
    assert!(m.run(&autobidet::testing::TestDevice::Cpu).is_err());
}
