use autobidet::ops::reconstruction_loss::{DifferenceKind, ReconstructionLoss, Reduction};
use autobidet::plan::{Builder, Format, Shape, TensorId};
use autobidet::testing::{OpCase, TestInput, test_gpu};

use super::case_file::{GRID, loss_case, map, refused};

/// A target, and a reconstruction that is 0.5 or more away from it everywhere: the absolute value has no kink near.
fn pair(shape: Shape) -> Vec<TestInput> {
    let x = map("x", shape);
    let noise = TestInput::random(shape, "noise", 1.0);
    let g = x.data.iter().zip(noise).map(|(x, e)| x + e + 0.5f32.copysign(e)).collect();
    vec![TestInput::map("g", shape, g), x.no_grad()]
}

/// The loss; `scaled` by the host with 0.5.
fn case(op: ReconstructionLoss, shape: Shape, scaled: bool) -> OpCase<'static> {
    let mut inputs = pair(shape);
    inputs.push(TestInput::param("hyper", Shape::vector(3), Format::Flat, vec![7.0, 0.5, 9.0]).no_grad());
    loss_case("reconstruction_loss", inputs, move |b, t| {
        let op = ReconstructionLoss { scale: scaled.then_some((t[2], 1)), ..op };
        b.apply(op, "reconstruction", &t[..2])
    })
}

const KINDS: [DifferenceKind; 2] = [DifferenceKind::Absolute, DifferenceKind::Square];
const REDUCTIONS: [Reduction; 2] = [Reduction::Mean, Reduction::SumOverBatch];

#[test]
fn reconstruction_loss_follows_its_definition() {
    let gpu = test_gpu().unwrap();
    let mut worst = 0f64;
    for shape in GRID.into_iter().chain([Shape::new(3, 19, 21, 3)]) {
        for (kind, reduction) in KINDS.into_iter().flat_map(|k| REDUCTIONS.map(|r| (k, r))) {
            let op = ReconstructionLoss { kind, reduction, ..Default::default() };
            let c = case(op, shape, false);
            let (out, error) = c.check(gpu.as_ref(), 2e-6).unwrap();
            worst = worst.max(error);
            let one = shape.len() as usize / shape.n as usize;
            let mut want = 0f64;
            for n in 0..shape.n as usize {
                let pairs = c.inputs[0].data.iter().zip(&c.inputs[1].data).skip(n * one).take(one);
                let away: Vec<f64> = pairs.map(|(g, x)| *g as f64 - *x as f64).collect();
                let means = [away.iter().map(|d| d.abs()).sum::<f64>(), away.iter().map(|d| d * d).sum::<f64>()];
                for (i, sum) in means.iter().enumerate() {
                    let got = out.outputs[1][2 * n + i] as f64;
                    assert!((got / (sum / one as f64) - 1.0).abs() < 1e-5, "image {n}: {got}");
                }
                want += means[kind as usize] / shape.n as f64;
            }
            if reduction == Reduction::Mean {
                want /= one as f64;
            }
            let got = out.outputs[0][0] as f64;
            assert!((got / want - 1.0).abs() < 1e-5, "{shape} {kind:?} {reduction:?}: {got} {want}");
            c.finite_difference(5, 0.1, 2e-2).unwrap();
        }
    }
    println!("reconstruction_loss: twin against device {worst:.2e}");
}

/// Both weights multiply the gradient and leave the value alone.
#[test]
fn weights_scale_the_gradient_only() {
    let gpu = test_gpu().unwrap();
    let shape = Shape::new(2, 5, 7, 3);
    for kind in KINDS {
        let plain = ReconstructionLoss { kind, ..Default::default() };
        let (one, _) = case(plain, shape, false).check(gpu.as_ref(), 2e-6).unwrap();
        let (two, _) =
            case(ReconstructionLoss { weight: 4.0, ..plain }, shape, true).check(gpu.as_ref(), 2e-6).unwrap();
        assert_eq!(one.outputs, two.outputs);
        let (a, b) = (one.gradients[0].as_ref().unwrap(), two.gradients[0].as_ref().unwrap());
        assert!(a.iter().zip(b).all(|(a, b)| 2.0 * a == *b && *a != 0.0));
    }
}

/// Where both are equal the absolute value has no gradient, and the gradient of two uses adds up.
#[test]
fn equal_values_have_no_gradient_and_uses_add_up() {
    let gpu = test_gpu().unwrap();
    let shape = Shape::new(2, 3, 3, 5);
    let mut inputs = pair(shape);
    inputs[0].data[7] = inputs[1].data[7];
    let one = |b: &mut Builder, t: &[TensorId]| b.apply(ReconstructionLoss::default(), "a", t);
    let (single, _) = loss_case("once", inputs.clone(), one).check(gpu.as_ref(), 1e-6).unwrap();
    let twice = loss_case("twice", inputs, move |b, t| {
        one(b, t)?;
        one(b, t)
    });
    let (double, _) = twice.check(gpu.as_ref(), 1e-6).unwrap();
    let (a, b) = (single.gradients[0].as_ref().unwrap(), double.gradients[0].as_ref().unwrap());
    assert_eq!(a[7], 0.0);
    assert!(a.iter().zip(b).all(|(a, b)| 2.0 * a == *b));
    assert!(single.gradients[1].is_none(), "targets are data");
}

#[test]
fn reconstruction_loss_refusals() {
    let shape = Shape::new(2, 3, 3, 5);
    let other = vec![map("g", shape), map("x", shape.with_c(4))];
    refused("reconstruction_loss: maps of one shape, 2x3x3x5, got x 2x3x3x4", other, |b, t| {
        b.apply(ReconstructionLoss::default(), "r", t)
    });
    refused("reconstruction and target", vec![map("g", shape)], |b, t| b.apply(ReconstructionLoss::default(), "r", t));
    refused("a finite weight", vec![map("g", shape), map("x", shape)], |b, t| {
        b.apply(ReconstructionLoss { weight: f32::NAN, ..Default::default() }, "r", t)
    });
}
