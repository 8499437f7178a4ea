use std::sync::Arc;

use autobidet::ops::sparse_object_prior::{ClassAware, ClassAwareKind, SparseObjectPrior};
use autobidet::plan::{Builder, Format, Mode, Shape};
use autobidet::testing::{OpCase, TestDevice, TestInput, compare, test_gpu};

use super::losses_support::{bits, case, dense, devices, grid_priors, ground_truth, integers, learned};

/// The loss with a weight for its gradient and weights of the classes.
fn sop(
    op: SparseObjectPrior,
    loc: Vec<f32>,
    logits: TestInput,
    priors: Vec<f32>,
    objects: &[i32],
    weight: f32,
    class_weights: Option<Vec<f32>>,
) -> OpCase<'static> {
    let rows = logits.shape.with_c(4);
    let foreground = logits.shape.c - 1;
    let weighted = class_weights.is_some();
    let class_weights = class_weights.unwrap_or_else(|| vec![7.0; foreground as usize]);
    OpCase {
        name: format!("sparse object prior {}", logits.shape),
        batch: rows.n,
        inputs: vec![
            learned("loc", rows, loc),
            logits,
            dense("priors", rows.with_n(1), Format::Flat, false, priors),
            dense(
                "objects",
                Shape::new(rows.n, 1, 1, foreground),
                Format::FlatU32,
                true,
                bits(objects.iter().copied()),
            ),
            dense("weight", Shape::vector(3), Format::Flat, false, vec![9.0, weight, 9.0]),
            dense("class_weights", Shape::vector(foreground), Format::Flat, false, class_weights),
        ],
        upstream: Vec::new(),
        backward: true,
        build: Box::new(move |b, t| {
            let class_weights = weighted.then_some(t[5]);
            let op = SparseObjectPrior { scale: Some((t[4], 1)), class_weights, ..op };
            b.apply(op, "sop", &t[..4])
        }),
    }
}

#[test]
fn sparse_object_prior_conformance() {
    let Some(c) = case("sparse_object_prior__ssd_voc") else { return };
    let (shape, logits) = c.get("in.logits");
    let (p, k) = (shape[1] as u32, shape[2] as u32);
    let (_, labels, _) = ground_truth(&c.values("in.targets"));
    let objects: Vec<i32> =
        (0..k as i32 - 1).map(|class| labels.iter().filter(|l| **l == class).count() as i32).collect();
    let op = SparseObjectPrior {
        score_threshold: c.number("score_threshold") as f32,
        iou_threshold: c.number("iou_threshold") as f32,
        top_k: c.number("top_k") as u32,
        ..Default::default()
    };
    let logits = learned("logits", Shape::new(1, 1, p, k), logits);
    let s = sop(op, c.values("in.loc"), logits, c.values("in.priors"), &objects, 1.0, None);
    for device in devices() {
        let out = s.run(&device).unwrap();
        assert!(out.gradients[0].is_none(), "no gradient goes to the locations");
        for (got, name) in [(&out.outputs[0], "out.loss"), (out.gradients[1].as_ref().unwrap(), "gin.logits")] {
            let d = compare(got, &c.values(name));
            println!("sparse_object_prior {name} on {}: {:.2e}", device.name(), d.error);
            assert!(d.error <= c.tolerance, "{name} on {}: {d:?}", device.name());
        }
    }
}

/// Loss, gradient and counts by the definition, in f64; locations are zero, so boxes are the priors. omega of each class,
/// or of each image and class.
fn definition(
    op: &SparseObjectPrior,
    logits: &[f32],
    k: usize,
    priors: &[f32],
    objects: &[i32],
    omega: &[f64],
) -> (f64, Vec<f32>, Vec<i32>) {
    let p = priors.len() / 4;
    let n = objects.len() / (k - 1);
    let softmax = |row: usize| -> Vec<f64> {
        let x = &logits[row * k..][..k];
        let sum: f64 = x.iter().map(|v| (*v as f64).exp()).sum();
        x.iter().map(|v| (*v as f64).exp() / sum).collect()
    };
    let iou = |a: usize, b: usize| -> f64 {
        let corner = |i: usize| {
            let q: Vec<f64> = priors[4 * i..][..4].iter().map(|v| *v as f64).collect();
            [q[0] - q[2] / 2.0, q[1] - q[3] / 2.0, q[0] + q[2] / 2.0, q[1] + q[3] / 2.0]
        };
        let (a, b) = (corner(a), corner(b));
        let inter = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0) * (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
        inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)
    };
    let (mut loss, mut pairs) = (0f64, 0f64);
    let mut gradient = vec![0f64; logits.len()];
    let mut counts = vec![0i32; objects.len()];
    for pair in (0..objects.len()).filter(|i| objects[*i] > 0) {
        let (image, class) = (pair / (k - 1), pair % (k - 1) + 1);
        let score = |i: usize| softmax(image * p + i)[class];
        let mut order: Vec<(f64, usize)> = (0..p).map(|i| (score(i), i)).collect();
        order.retain(|(s, _)| *s > op.score_threshold as f64);
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        order.truncate(op.top_k as usize);
        let mut kept: Vec<(f64, usize)> = Vec::new();
        for (s, i) in order {
            if kept.iter().all(|(_, j)| iou(i, *j) <= op.iou_threshold as f64) {
                kept.push((s, i));
            }
        }
        counts[pair] = kept.len() as i32;
        if counts[pair] <= objects[pair] {
            continue;
        }
        pairs += 1.0;
        let g = objects[pair] as f64;
        let sum: f64 = kept.iter().map(|(s, _)| s).sum();
        loss -= omega[pair % omega.len()] * kept.iter().map(|(s, _)| s / sum * (s / sum).ln()).sum::<f64>() / g;
        for (s, i) in kept {
            let d_s = -omega[pair % omega.len()] * ((s / sum).ln() + 1.0) / (g * sum);
            for (j, q) in softmax(image * p + i).iter().enumerate() {
                gradient[(image * p + i) * k + j] += d_s * s * ((j == class) as u32 as f64 - q);
            }
        }
    }
    assert!(n > 0);
    let each = 1.0 / (pairs + 1e-6);
    (loss * each, gradient.iter().map(|v| (v * each) as f32).collect(), counts)
}

#[test]
fn sparse_object_prior_follows_its_definition() {
    let gpu = test_gpu().unwrap();
    let priors = grid_priors(9);
    let p = priors.len() as u32 / 4;
    for (n, k, top_k) in [(3u32, 4u32, 200u32), (4, 9, 17), (1, 2, 200)] {
        let shape = Shape::new(n, 1, p, k);
        let data = TestInput::random(shape, "logits", 1.5);
        // No objects in image 1; more objects than detections in the first pair of image 2.
        let objects: Vec<i32> = (0..n * (k - 1))
            .map(|i| match (i / (k - 1), i % (k - 1)) {
                (1, _) => 0,
                (2, 0) => 1000,
                _ => (i % 4) as i32,
            })
            .collect();
        let objects = if n == 1 { vec![2] } else { objects };
        let op = SparseObjectPrior { top_k, ..Default::default() };
        let omega: Vec<f32> = (0..k - 1).map(|i| 0.5 + 0.25 * i as f32).collect();
        for (weight, omega) in [(1.0f32, None), (0.2, Some(omega))] {
            let ones = vec![1.0; k as usize - 1];
            let w: Vec<f64> = omega.as_ref().map_or(ones, |o| o.iter().map(|v| *v as f64).collect());
            let (loss, gradient, counts) = definition(&op, &data, k as usize, &priors, &objects, &w);
            let zeros = vec![0.0; 4 * (n * p) as usize];
            let c = sop(op, zeros, learned("logits", shape, data.clone()), priors.clone(), &objects, weight, omega);
            let (out, worst) = c.check(gpu.as_ref(), 1e-5).unwrap();
            println!("sparse_object_prior {shape} top {top_k}: twin against device {worst:.2e}, counts {counts:?}");
            assert_eq!(integers(&out.outputs[1]), counts);
            assert!((out.outputs[0][0] as f64 / loss - 1.0).abs() < 1e-5, "{} {loss}", out.outputs[0][0]);
            let want: Vec<f32> = gradient.iter().map(|g| g * weight).collect();
            let d = compare(out.gradients[1].as_ref().unwrap(), &want);
            assert!(d.error < 1e-5, "{d:?}");
        }
    }
}

#[test]
fn without_weight_objects_or_detections_it_is_zero() {
    let gpu = test_gpu().unwrap();
    let priors = grid_priors(4);
    let p = priors.len() as u32 / 4;
    let shape = Shape::new(2, 1, p, 3);
    let zeros = vec![0.0; 8 * p as usize];
    let data = TestInput::random(shape, "logits", 1.0);
    // Background wins everywhere: no score above the threshold.
    let background: Vec<f32> = (0..shape.len()).map(|i| if i % 3 == 0 { 20.0 } else { 0.0 }).collect();
    for (data, objects, weight) in
        [(data.clone(), [1, 1, 1, 1], 0.0), (data, [0; 4], 1.0), (background, [1, 2, 3, 4], 1.0)]
    {
        let logits = learned("logits", shape, data);
        let c = sop(SparseObjectPrior::default(), zeros.clone(), logits, priors.clone(), &objects, weight, None);
        let (out, _) = c.check(gpu.as_ref(), 0.0).unwrap();
        assert!(out.outputs.iter().chain(out.gradients.iter().flatten()).flatten().all(|v| *v == 0.0));
    }
}

/// The gradient is added to what the logits already have, and detections of several classes at one prior add up.
#[test]
fn gradients_of_two_uses_add_up() {
    let priors = grid_priors(5);
    let shape = Shape::new(2, 1, priors.len() as u32 / 4, 4);
    let zeros = vec![0.0; 4 * (2 * shape.w) as usize];
    let logits = || learned("logits", shape, TestInput::random(shape, "logits", 1.0));
    let one = sop(SparseObjectPrior::default(), zeros.clone(), logits(), priors.clone(), &[1; 6], 1.0, None);
    let mut two = sop(SparseObjectPrior::default(), zeros, logits(), priors, &[1; 6], 1.0, None);
    two.build = Box::new(|b, t| {
        b.apply(SparseObjectPrior::default(), "first", &t[..4])?;
        b.apply(SparseObjectPrior::default(), "second", &t[..4])
    });
    let (one, _) = one.check(test_gpu().unwrap().as_ref(), 1e-5).unwrap();
    let (two, _) = two.check(test_gpu().unwrap().as_ref(), 1e-5).unwrap();
    let doubled: Vec<f32> = one.gradients[1].as_ref().unwrap().iter().map(|v| 2.0 * v).collect();
    assert!(compare(two.gradients[1].as_ref().unwrap(), &doubled).error < 1e-6);
    assert!(doubled.iter().any(|v| *v != 0.0));
}

#[test]
fn refuses_other_shapes_and_thresholds() {
    let priors = grid_priors(2);
    let shape = Shape::new(1, 1, 8, 3);
    let logits = || learned("logits", shape, vec![0.0; 24]);
    let mut c = sop(SparseObjectPrior::default(), vec![0.0; 32], logits(), priors.clone(), &[1, 1], 1.0, None);
    c.inputs[3] = dense("objects", Shape::new(1, 1, 1, 3), Format::FlatU32, true, bits([1, 1, 1]));
    let e = c.run(&TestDevice::Cpu).unwrap_err().to_string();
    assert!(e.contains("sop, objects") && e.contains("1x1x1x2"), "{e}");
    let op = SparseObjectPrior { score_threshold: 0.0, ..Default::default() };
    let e = sop(op, vec![0.0; 32], logits(), priors, &[1, 1], 1.0, None).run(&TestDevice::Cpu).unwrap_err();
    assert!(e.to_string().contains("score_threshold"), "{e}");
}

const KINDS: [ClassAwareKind; 3] = [ClassAwareKind::Average, ClassAwareKind::Image, ClassAwareKind::Excess];

fn aware(kind: ClassAwareKind) -> SparseObjectPrior {
    SparseObjectPrior { class_aware: Some(ClassAware::new(kind)), ..Default::default() }
}

/// P_k of the classes that the batch holds.
fn positives(kind: ClassAwareKind, counts: &[i32], objects: &[i32], foreground: usize) -> Vec<Option<f64>> {
    let one = |k: usize| -> Option<f64> {
        let pairs = (0..objects.len()).filter(|i| i % foreground == k && objects[*i] > 0);
        let found: Vec<f64> = pairs
            .map(|i| match kind {
                ClassAwareKind::Excess => counts[i] as f64 / objects[i] as f64,
                _ => counts[i] as f64,
            })
            .collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
    };
    (0..foreground).map(one).collect()
}

/// n / mean of n, clipped, over those that are there; 1 for the others.
fn weights_of(n: &[Option<f64>]) -> Vec<f64> {
    let known: Vec<f64> = n.iter().flatten().copied().collect();
    let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
    n.iter().map(|n| n.filter(|_| mean > 0.0).map_or(1.0, |n| (n / mean).clamp(0.25, 4.0))).collect()
}

/// Objects of three images: a class that none holds, one of which few are found, one image without any.
fn some_objects(foreground: u32) -> Vec<i32> {
    let objects = |i: u32| match (i / foreground, i % foreground) {
        (1, _) | (_, 2) => 0,
        (0, 0) => 50,
        (n, k) => ((n + k) % 4) as i32,
    };
    (0..3 * foreground).map(objects).collect()
}

/// Logits whose classes are found more often the higher their number.
fn slanted(shape: Shape, name: &str) -> Vec<f32> {
    let mut data = TestInput::random(shape, name, 1.0);
    data.iter_mut().enumerate().for_each(|(i, v)| *v += 0.8 * (i as u32 % shape.c) as f32);
    data
}

#[test]
fn class_aware_weights_follow_their_definition() {
    let gpu = test_gpu().unwrap();
    let priors = grid_priors(7);
    let (p, k) = (priors.len() as u32 / 4, 6u32);
    let (shape, foreground) = (Shape::new(3, 1, p, k), k as usize - 1);
    let data = slanted(shape, "logits");
    let objects = some_objects(k - 1);
    for kind in KINDS {
        let op = aware(kind);
        let (_, _, counts) = definition(&op, &data, k as usize, &priors, &objects, &[1.0]);
        let omega: Vec<f64> = match kind {
            ClassAwareKind::Image => {
                let images = counts.chunks(foreground).zip(objects.chunks(foreground));
                images.flat_map(|(c, o)| weights_of(&positives(kind, c, o, foreground))).collect()
            }
            _ => weights_of(&positives(kind, &counts, &objects, foreground)),
        };
        assert!(omega.iter().any(|w| *w > 1.1) && omega.iter().any(|w| *w < 0.9), "{omega:?}");
        let (loss, gradient, _) = definition(&op, &data, k as usize, &priors, &objects, &omega);
        let zeros = vec![0.0; 4 * (3 * p) as usize];
        let c = sop(op, zeros, learned("logits", shape, data.clone()), priors.clone(), &objects, 0.2, None);
        let (out, worst) = c.check(gpu.as_ref(), 1e-5).unwrap();
        println!("class-aware {kind:?}: twin against device {worst:.2e}, omega {omega:.2?}");
        assert_eq!(integers(&out.outputs[1]), counts);
        let omega: Vec<f32> = omega.iter().map(|w| *w as f32).collect();
        assert!(compare(&out.outputs[2], &omega).error < 1e-6, "{:?} {omega:?}", out.outputs[2]);
        assert!((out.outputs[0][0] as f64 / loss - 1.0).abs() < 1e-5, "{} {loss}", out.outputs[0][0]);
        let want: Vec<f32> = gradient.iter().map(|g| g * 0.2).collect();
        let d = compare(out.gradients[1].as_ref().unwrap(), &want);
        assert!(d.error < 1e-5, "{d:?}");
    }
}

#[test]
fn class_aware_with_weights_of_one_is_the_plain_prior() {
    let priors = grid_priors(6);
    let shape = Shape::new(3, 1, priors.len() as u32 / 4, 5);
    let zeros = vec![0.0; 4 * (3 * shape.w) as usize];
    let objects = some_objects(4);
    let run = |op, device: &TestDevice| {
        let logits = learned("logits", shape, slanted(shape, "logits"));
        let mut out = sop(op, zeros.clone(), logits, priors.clone(), &objects, 0.2, None).run(device).unwrap();
        out.outputs.truncate(2);
        out
    };
    for device in devices() {
        let plain = run(SparseObjectPrior::default(), &device);
        assert!(plain.outputs[0][0] > 0.0);
        for kind in KINDS {
            let aware = ClassAware { low: 1.0, high: 1.0, ..ClassAware::new(kind) };
            let op = SparseObjectPrior { class_aware: Some(aware), ..Default::default() };
            assert!(run(op, &device) == plain, "{kind:?} on {}", device.name());
        }
    }
}

/// Averages over steps: they wait for the loss to be switched on, pass over skipped steps, and keep what absent classes
/// had.
#[test]
fn averages_move_with_the_steps() {
    let priors = grid_priors(7);
    let (p, k, n) = (priors.len() as u32 / 4, 5u32, 2u32);
    let (shape, foreground) = (Shape::new(n, 1, p, k), k as usize - 1);
    // (objects, weight of the loss, gate)
    let steps: [([i32; 8], f32, bool); 6] = [
        ([1; 8], 0.0, true),
        ([1, 1, 0, 0, 2, 0, 0, 0], 1.0, true),
        ([0, 1, 1, 0, 0, 3, 1, 0], 1.0, true),
        ([5, 5, 1, 1, 5, 5, 1, 1], 1.0, false),
        ([1, 0, 0, 0, 0, 0, 0, 0], 1.0, true),
        ([1, 2, 3, 0, 3, 2, 1, 0], 1.0, true),
    ];
    for (device, kind) in devices().into_iter().flat_map(|d| [KINDS[0], KINDS[2]].map(|k| (d.clone(), k))) {
        let (plan, tensors) = Builder::build("averages", Mode::Train, device.limits(), n, |b| {
            let loc = b.input("loc", shape.with_c(4), Format::Flat, true);
            let logits = b.input("logits", shape, Format::Flat, true);
            let given = b.input("priors", shape.with_n(1).with_c(4), Format::Flat, false);
            let objects = b.input("objects", Shape::new(n, 1, 1, k - 1), Format::FlatU32, true);
            let weight = b.input("weight", Shape::vector(1), Format::Flat, false);
            let gate = b.input("gate", Shape::vector(1), Format::FlatU32, false);
            let op = SparseObjectPrior { scale: Some((weight, 0)), ..aware(kind) };
            let out = b.apply(op, "sop", &[loc, logits, given, objects])?;
            b.set_gate(gate);
            b.add_deferred()?;
            Ok(([logits, given, objects, weight, gate], out))
        })
        .unwrap();
        let ([logits, given, objects, weight, gate], out) = tensors;
        let state = plan.tensor("sop.averages").unwrap();
        let all: Vec<usize> = (0..plan.steps.len()).collect();
        let mut e = device.executor(Arc::new(plan)).unwrap();
        e.write_f32(given, &priors).unwrap();
        let mut averages: Vec<Option<f64>> = vec![None; foreground];
        for (s, (counts, on, open)) in steps.iter().enumerate() {
            e.write_f32(logits, &slanted(shape, &format!("step {s}"))).unwrap();
            e.write_nchw(objects, &bits(counts.iter().copied())).unwrap();
            e.write_f32(weight, &[*on]).unwrap();
            e.write(gate, &[*open as u32]).unwrap();
            e.run_steps(&all).unwrap();
            let found = integers(&e.read_nchw(out[1]).unwrap());
            let counts: &[i32] = if *on == 0.0 { &[0; 8] } else { counts };
            assert!(found.iter().zip(counts).all(|(f, c)| (*f > 0) == (*c > 0)), "{found:?}");
            let new: Vec<Option<f64>> = averages
                .iter()
                .zip(positives(kind, &found, counts, foreground))
                .map(|(old, p)| match (old, p) {
                    (Some(n), Some(p)) => Some(0.99 * n + 0.01 * p),
                    (None, p) => p,
                    (n, None) => *n,
                })
                .collect();
            let omega = e.read_f32(out[2]).unwrap();
            let want: Vec<f32> = weights_of(&new).iter().map(|w| *w as f32).collect();
            assert!(compare(&omega, &want).error < 1e-5, "step {s} on {}: {omega:?} {want:?}", device.name());
            // Above 1 exactly for classes with more than the mean.
            let known: Vec<f64> = new.iter().flatten().copied().collect();
            let mean = known.iter().sum::<f64>() / known.len() as f64;
            for (w, n) in omega.iter().zip(&new) {
                let above = n.is_some_and(|n| n > mean * (1.0 + 1e-6));
                assert_eq!(*w > 1.000001, above, "step {s}: {w} for {n:?}, mean {mean}");
            }
            if *open {
                averages = new;
            }
            let kept = e.read_f32(state).unwrap();
            for (a, got) in averages.iter().zip(kept.chunks(2)) {
                let want = a.map_or([0.0, 0.0], |a| [a, 1.0]);
                let near = (0..2).all(|i| (got[i] as f64 - want[i]).abs() <= 1e-5 * want[i]);
                assert!(near, "step {s} on {}: {got:?} {want:?}", device.name());
            }
        }
        assert!(averages[3].is_none() && averages[..3].iter().all(|a| a.is_some()));
    }
}

#[test]
fn class_aware_refusals() {
    let priors = grid_priors(2);
    let logits = || learned("logits", Shape::new(1, 1, 8, 3), vec![0.0; 24]);
    let error = |op, class_weights| {
        let case = sop(op, vec![0.0; 32], logits(), priors.clone(), &[1, 1], 1.0, class_weights);
        case.run(&TestDevice::Cpu).unwrap_err().to_string()
    };
    let op = aware(ClassAwareKind::Average);
    assert!(error(op, Some(vec![1.0; 2])).contains("class_weights or class_aware, got both"));
    let class_aware = Some(ClassAware { low: 0.0, ..ClassAware::new(ClassAwareKind::Image) });
    let e = error(SparseObjectPrior { class_aware, ..op }, None);
    assert!(e.contains("sop, class_aware") && e.contains("low 0"), "{e}");
}
