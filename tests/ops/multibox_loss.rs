use autobidet::ops::match_priors::MatchPriors;
use autobidet::ops::multibox_loss::MultiboxLoss;
use autobidet::plan::{Format, Shape};
use autobidet::testing::{OpCase, TestDevice, TestInput, compare, test_gpu};

use super::losses_support::{bits, case, dense, devices, ground_truth, learned};

/// The loss on given targets. With `conf_first` the outputs change places, for finite differences of the logits.
fn multibox(
    loc: TestInput,
    conf: TestInput,
    loc_targets: Vec<f32>,
    targets: &[i32],
    conf_first: bool,
) -> OpCase<'static> {
    let rows = loc.shape;
    OpCase {
        name: format!("multibox {}", conf.shape),
        batch: rows.n,
        inputs: vec![
            loc,
            conf,
            dense("loc_targets", rows, Format::Flat, true, loc_targets),
            dense("targets", rows.with_c(1), Format::FlatI32, true, bits(targets.iter().copied())),
        ],
        upstream: Vec::new(),
        backward: true,
        build: Box::new(move |b, t| {
            let mut out = b.apply(MultiboxLoss::default(), "loss", t)?;
            if conf_first {
                out.reverse();
            }
            Ok(out)
        }),
    }
}

#[test]
fn multibox_loss_conformance() {
    let Some(c) = case("multibox_loss__voc") else { return };
    let (boxes, labels, count) = ground_truth(&c.values("in.targets"));
    let (shape, conf) = c.get("in.conf");
    let (p, k, m) = (shape[1] as u32, shape[2] as u32, labels.len() as u32);
    let row = |w, c| Shape::new(1, 1, w, c);
    let whole = OpCase {
        name: "multibox conformance".to_string(),
        batch: 1,
        inputs: vec![
            learned("loc", row(p, 4), c.values("in.loc")),
            learned("conf", row(p, k), conf),
            dense("boxes", row(m, 4), Format::Flat, true, boxes),
            dense("labels", row(m, 1), Format::FlatI32, true, bits(labels)),
            dense("counts", row(1, 1), Format::FlatU32, true, bits([count])),
            dense("priors", row(p, 4), Format::Flat, false, c.values("in.priors")),
        ],
        upstream: Vec::new(),
        backward: true,
        build: Box::new(|b, t| {
            let targets = b.apply(MatchPriors::default(), "match", &t[2..])?;
            b.apply(MultiboxLoss::default(), "loss", &[t[0], t[1], targets[0], targets[1]])
        }),
    };
    for device in devices() {
        let out = whole.run(&device).unwrap();
        let got =
            [&out.outputs[0], &out.outputs[1], out.gradients[0].as_ref().unwrap(), out.gradients[1].as_ref().unwrap()];
        for (got, name) in got.iter().zip(["out.loss_loc", "out.loss_conf", "gin.loc", "gin.conf"]) {
            let d = compare(got, &c.values(name));
            println!("multibox_loss {name} on {}: {:.2e}", device.name(), d.error);
            assert!(d.error <= c.tolerance, "{name} on {}: {d:?}", device.name());
        }
    }
}

/// Targets with every `step`-th prior positive, shifted by the image; step 0: none.
fn targets(p: u32, k: u32, steps: &[u32]) -> Vec<i32> {
    let mut out = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        out.extend(
            (0..p)
                .map(|i| if *step > 0 && (i + n as u32).is_multiple_of(*step) { (1 + i % (k - 1)) as i32 } else { 0 }),
        );
    }
    out
}

/// Against the definition in f64, with images without positives, with few, and with so many that the negatives run out.
#[test]
fn multibox_loss_follows_its_definition() {
    let gpu = test_gpu().unwrap();
    for (p, k, steps) in
        [(300u32, 5u32, vec![40u32, 0, 7, 1]), (257, 2, vec![3, 2]), (31, 21, vec![30]), (1, 3, vec![1, 0])]
    {
        let n = steps.len() as u32;
        let (rows, logits) = (Shape::new(n, 1, p, 4), Shape::new(n, 1, p, k));
        let targets = targets(p, k, &steps);
        let (loc, conf) = (TestInput::random(rows, "loc", 1.5), TestInput::random(logits, "conf", 2.0));
        let loc_targets = TestInput::random(rows, "t", 1.0);
        let c = multibox(
            learned("loc", rows, loc.clone()),
            learned("conf", logits, conf.clone()),
            loc_targets.clone(),
            &targets,
            false,
        );
        let (out, worst) = c.check(gpu.as_ref(), 1e-5).unwrap();
        println!("multibox_loss {logits}: twin against device {worst:.2e}");

        let m = targets.iter().filter(|t| **t > 0).count() as f64;
        let (mut want_loc, mut want_conf) = (0f64, 0f64);
        let (mut g_loc, mut g_conf) = (vec![0f32; loc.len()], vec![0f32; conf.len()]);
        for image in 0..n as usize {
            let range = image * p as usize..(image + 1) * p as usize;
            let softmax = |row: usize| -> Vec<f64> {
                let x = &conf[row * k as usize..][..k as usize];
                let sum: f64 = x.iter().map(|v| (*v as f64).exp()).sum();
                x.iter().map(|v| (*v as f64).exp() / sum).collect()
            };
            let ce = |row: usize| -softmax(row)[targets[row] as usize].ln();
            let positives: Vec<usize> = range.clone().filter(|r| targets[*r] > 0).collect();
            let mut others: Vec<usize> = range.filter(|r| targets[*r] == 0).collect();
            others.sort_by(|a, b| ce(*b).total_cmp(&ce(*a)));
            others.truncate((3 * positives.len()).min(p as usize - 1));
            for row in positives.iter().chain(&others) {
                want_conf += ce(*row) / m;
                for (j, s) in softmax(*row).iter().enumerate() {
                    let one = (j == targets[*row] as usize) as u32 as f64;
                    g_conf[*row * k as usize + j] = ((s - one) / m) as f32;
                }
            }
            for i in positives.iter().flat_map(|r| 4 * r..4 * r + 4) {
                let d = (loc[i] - loc_targets[i]) as f64;
                want_loc += if d.abs() < 1.0 { 0.5 * d * d } else { d.abs() - 0.5 } / m;
                g_loc[i] = (d.clamp(-1.0, 1.0) / m) as f32;
            }
        }
        let expected = [vec![want_loc as f32], vec![want_conf as f32], g_loc, g_conf];
        let got =
            [&out.outputs[0], &out.outputs[1], out.gradients[0].as_ref().unwrap(), out.gradients[1].as_ref().unwrap()];
        for (g, w) in got.iter().zip(&expected) {
            let d = compare(g, w);
            // One prior alone has a loss of a few thousandths, the difference of numbers near 1.
            assert!(d.error < 1e-5, "{logits}: {d:?}");
        }
    }
}

#[test]
fn equal_losses_are_taken_by_index_and_no_positives_give_zero() {
    let gpu = test_gpu().unwrap();
    let (p, k) = (600u32, 4u32);
    let (rows, logits) = (Shape::new(2, 1, p, 4), Shape::new(2, 1, p, k));
    let mut wanted = vec![0i32; 2 * p as usize];
    wanted[5] = 1;
    wanted[p as usize + 500] = 2;
    wanted[p as usize + 599] = 3;
    let zeros = || {
        (
            learned("loc", rows, vec![0.0; rows.len() as usize]),
            learned("conf", logits, vec![0.0; logits.len() as usize]),
        )
    };
    let (loc, conf) = zeros();
    let (out, _) =
        multibox(loc, conf, vec![0.0; rows.len() as usize], &wanted, false).check(gpu.as_ref(), 1e-6).unwrap();
    let g = out.gradients[1].as_ref().unwrap();
    let used: Vec<usize> = (0..2 * p as usize).filter(|r| g[r * k as usize] != 0.0).collect();
    let second = p as usize;
    assert_eq!(
        used,
        [0, 1, 2, 5, second, second + 1, second + 2, second + 3, second + 4, second + 5, second + 500, second + 599]
    );

    let (loc, conf) = zeros();
    let (out, _) = multibox(loc, conf, vec![1.0; rows.len() as usize], &vec![0; 2 * p as usize], false)
        .check(gpu.as_ref(), 0.0)
        .unwrap();
    assert!(out.outputs.iter().chain(out.gradients.iter().flatten()).flatten().all(|v| *v == 0.0));
}

/// What is not finite must be seen in the loss, by the twins and by the device: at a positive, at a prior that would not be
/// chosen, and in an image without positives.
#[test]
fn a_logit_that_is_not_finite_makes_the_loss_infinite() {
    let (p, k) = (300u32, 5u32);
    let (rows, logits) = (Shape::new(2, 1, p, 4), Shape::new(2, 1, p, k));
    for steps in [[40, 0], [0, 0]] {
        let targets = targets(p, k, &steps);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            // The target's own logit and another one of a positive, of a background prior, of the second image.
            for at in [(40, 0), (40, 4), (41, 3), (2 * p - 1, 4)] {
                let mut conf = TestInput::random(logits, "conf", 2.0);
                conf[(at.0 * k + at.1) as usize] = bad;
                let loc = vec![0.0; rows.len() as usize];
                let c =
                    multibox(learned("loc", rows, loc.clone()), learned("conf", logits, conf), loc, &targets, false);
                for device in devices() {
                    let out = c.run(&device).unwrap();
                    assert!(!out.outputs[1][0].is_finite(), "{bad} at {at:?} on {}: {:?}", device.name(), out.outputs);
                    assert!(out.outputs[0][0].is_finite(), "locations are not to blame: {:?}", out.outputs);
                }
            }
        }
    }
    let mut loc = TestInput::random(rows, "loc", 1.0);
    loc[4 * 40 + 2] = f32::NAN;
    let (targets, conf) = (targets(p, k, &[40, 0]), TestInput::random(logits, "conf", 2.0));
    let c = multibox(learned("loc", rows, loc), learned("conf", logits, conf), vec![0.0; 2400], &targets, false);
    for device in devices() {
        let out = c.run(&device).unwrap();
        assert!(!out.outputs[0][0].is_finite() && out.outputs[1][0].is_finite(), "{:?}", out.outputs);
    }
}

#[test]
fn multibox_gradients_are_those_of_finite_differences() {
    let (rows, logits) = (Shape::new(2, 1, 40, 4), Shape::new(2, 1, 40, 5));
    let targets = targets(40, 5, &[9, 4]);
    for conf_first in [false, true] {
        let mut loc = learned("loc", rows, TestInput::random(rows, "loc", 1.0));
        let mut conf = learned("conf", logits, TestInput::random(logits, "conf", 1.0));
        loc.grad = !conf_first;
        conf.grad = conf_first;
        let c = multibox(loc, conf, vec![0.1; rows.len() as usize], &targets, conf_first);
        c.finite_difference(60, 4e-3, 1e-2).unwrap();
    }
}

#[test]
fn multibox_refuses_other_shapes() {
    let rows = Shape::new(1, 1, 8, 4);
    let conf = learned("conf", Shape::new(1, 1, 9, 3), vec![0.0; 27]);
    let c = multibox(learned("loc", rows, vec![0.0; 32]), conf, vec![0.0; 32], &[0; 8], false);
    let e = c.run(&TestDevice::Cpu).unwrap_err().to_string();
    assert!(e.contains("loss, locations") && e.contains("1x1x9x4"), "{e}");
}
