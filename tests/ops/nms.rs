use autobidet::ops::nms::Nms;
use autobidet::plan::{Format, Shape};
use autobidet::rng::Counter;
use autobidet::testing::{OpCase, test_gpu};

use super::losses_support::{case, dense, devices, integers};

fn suppression(op: Nms, n: u32, boxes: Vec<f32>, scores: Vec<f32>) -> OpCase<'static> {
    let p = boxes.len() as u32 / 4 / n;
    let k = scores.len() as u32 / n / p;
    OpCase {
        name: format!("nms {n} {p} {k}"),
        batch: n,
        inputs: vec![
            dense("boxes", Shape::new(n, 1, p, 4), Format::Flat, true, boxes),
            dense("scores", Shape::new(n, 1, p, k), Format::Flat, true, scores),
        ],
        upstream: Vec::new(),
        backward: false,
        build: Box::new(move |b, t| b.apply(op, "nms", t)),
    }
}

#[test]
fn nms_conformance() {
    for name in ["nms__iou45", "nms__many_top200", "nms__many_top500", "nms__empty"] {
        let Some(c) = case(name) else { return };
        let op = Nms {
            score_threshold: f32::MIN,
            iou_threshold: c.number("iou_threshold") as f32,
            top_k: c.number("top_k") as u32,
            first_class: 0,
        };
        let (mut boxes, mut scores) = (c.values("in.boxes"), c.values("in.scores"));
        let mut op = op;
        if scores.is_empty() {
            // A plan has no tensors without values: one box that is no candidate.
            (boxes, scores) = (vec![0.0; 4], vec![0.0]);
            op.score_threshold = 0.5;
        }
        let want = integers(&c.values("out.keep"));
        for device in devices() {
            let out = suppression(op, 1, boxes.clone(), scores.clone()).run(&device).unwrap();
            let kept = integers(&out.outputs[1])[0] as usize;
            let keep = integers(&out.outputs[0]);
            assert_eq!(keep[..kept], want, "{name} on {}", device.name());
            assert!(keep[kept..].iter().all(|i| *i == -1));
        }
    }
}

/// Many slots with ties, few and many candidates, against the plain algorithm.
#[test]
fn nms_follows_its_rules() {
    let gpu = test_gpu().unwrap();
    let (n, p, k) = (3u32, 700u32, 4u32);
    let rng = Counter::named(5, "nms");
    let mut boxes = Vec::new();
    for i in 0..n * p {
        let (x, y) = (rng.uniform(4 * i), rng.uniform(4 * i + 1));
        boxes.extend([x, y, x + 0.02 + 0.2 * rng.uniform(4 * i + 2), y + 0.02 + 0.2 * rng.uniform(4 * i + 3)]);
    }
    // Class 1: all scores equal; class 2: a few levels, so that the last chosen one is a tie; class 3: nearly none.
    let scores: Vec<f32> = (0..n * p * k)
        .map(|i| {
            let u = Counter::named(6, "scores").uniform(i);
            [u, 0.5, (u * 8.0).floor() / 8.0, if u > 0.995 { u } else { 0.0 }][(i % k) as usize]
        })
        .collect();
    for (top_k, first_class) in [(200u32, 1u32), (37, 0), (512, 0), (1, 0)] {
        let op = Nms { score_threshold: 0.03, iou_threshold: 0.45, top_k, first_class };
        let (out, _) = suppression(op, n, boxes.clone(), scores.clone()).check(gpu.as_ref(), 0.0).unwrap();
        let (keep, kept) = (integers(&out.outputs[0]), integers(&out.outputs[1]));
        let mut slot = 0;
        for image in 0..n {
            for class in first_class..k {
                let score = |i: u32| scores[((image * p + i) * k + class) as usize];
                let corner = |i: u32| &boxes[4 * (image * p + i) as usize..][..4];
                let mut order: Vec<u32> = (0..p).filter(|i| score(*i) > 0.03).collect();
                order.sort_by(|a, b| score(*b).total_cmp(&score(*a)).then(a.cmp(b)));
                order.truncate(top_k as usize);
                let mut want: Vec<i32> = Vec::new();
                for i in order {
                    let free = want.iter().all(|j| {
                        let (a, b) = (corner(i), corner(*j as u32));
                        let inter =
                            (a[2].min(b[2]) - a[0].max(b[0])).max(0.0) * (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
                        let area = |c: &[f32]| (c[2] - c[0]) * (c[3] - c[1]);
                        inter / (area(a) + area(b) - inter) <= 0.45
                    });
                    if free {
                        want.push(i as i32);
                    }
                }
                let count = kept[slot] as usize;
                assert_eq!(keep[slot * top_k as usize..][..count], want, "image {image}, class {class}");
                slot += 1;
            }
        }
    }
}

#[test]
fn refuses_a_top_k_that_does_not_fit() {
    let op = Nms { score_threshold: 0.0, iou_threshold: 0.45, top_k: 513, first_class: 0 };
    let e = suppression(op, 1, vec![0.0; 4], vec![0.0]).run(&autobidet::testing::TestDevice::Cpu).unwrap_err();
    assert!(e.to_string().contains("1 to 512"), "{e}");
}
