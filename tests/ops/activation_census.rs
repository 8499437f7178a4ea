//! activation_census: counts of what a binary layer reads, exact on every device and in any number of slices.

use autobidet::ops::activation_census::{SEGMENT, activation_census};
use autobidet::ops::binary_conv2d::InputDomain;
use autobidet::plan::{Builder, Format, Mode, PlanLimits, Shape};
use autobidet::testing::{OpCase, TestInput, test_gpu};

use super::case_file::refused;

fn case(x: &TestInput, domain: InputDomain) -> OpCase<'static> {
    OpCase {
        name: format!("activation_census {} {domain:?}", x.shape),
        batch: x.shape.n,
        inputs: vec![x.clone()],
        upstream: Vec::new(),
        backward: false,
        build: Box::new(move |b, t| Ok(vec![activation_census(b, "layer", t[0], domain)?])),
    }
}

#[test]
fn counts_are_exact() {
    let gpu = test_gpu().unwrap();
    let shapes = [(3, 19, 21, 33), (2, 40, 40, 5), (4, 1, 1, 1), (1, 7, 9, 64), (5, 3, 2, 3)]
        .map(|(n, h, w, c)| Shape::new(n, h, w, c));
    for shape in shapes {
        let mut data = TestInput::random(shape, "x", 1.2);
        // Where the counts change, and on both sides of it.
        let edges = [0.0, -0.0, 1.0, -1.0, f32::MIN_POSITIVE, -f32::MIN_POSITIVE, 1.0000001, -1.0000001, 3e38, -3e38];
        for (v, edge) in data.iter_mut().step_by(7).zip(edges.iter().cycle()) {
            *v = *edge;
        }
        let pixels = (shape.h * shape.w) as usize;
        // The first channel has one sign.
        for image in data.chunks_mut(pixels * shape.c as usize) {
            image[..pixels].iter_mut().for_each(|v| *v = -0.5 - v.abs());
        }
        let x = TestInput::map("x", shape, data.clone());
        for domain in [InputDomain::Sign, InputDomain::ZeroOne] {
            let (out, _) = case(&x, domain).check(gpu.as_ref(), 0.0).unwrap();
            let got: Vec<u32> = out.outputs[0].iter().map(|v| v.to_bits()).collect();
            let count = |c: usize, test: &dyn Fn(f32) -> bool| {
                let planes = data.chunks(pixels).skip(c).step_by(shape.c as usize);
                planes.flatten().filter(|v| test(**v)).count() as u32
            };
            for c in 0..shape.c as usize {
                let positive = count(c, &|v| if domain == InputDomain::Sign { v >= 0.0 } else { v > 0.0 });
                let inside = count(c, &|v| v.abs() <= 1.0);
                assert_eq!((got[c], got[shape.c as usize + c]), (positive, inside), "{shape} {domain:?}, channel {c}");
            }
            assert_eq!(got.len(), 2 * shape.c as usize);
            assert_eq!(got[0], 0);
        }
    }
}

/// The steps are in a segment of their own, and whatever comes after them in the one before.
#[test]
fn a_plan_runs_without_the_census() {
    let (plan, ()) = Builder::build("census", Mode::Train, PlanLimits::HOST, 2, |b| {
        let x = b.input("x", Shape::new(2, 5, 5, 8), Format::Map, true);
        activation_census(b, "layer", x, InputDomain::Sign)?;
        assert_eq!(b.current_segment(), "forward");
        Ok(())
    })
    .unwrap();
    assert_eq!((plan.steps_of(&["forward"]).unwrap().len(), plan.steps_of(&[SEGMENT]).unwrap().len()), (0, 2));
}

#[test]
fn what_is_no_map_is_refused() {
    let input = TestInput { format: Format::Flat, ..TestInput::map("x", Shape::vector(4), vec![0.0; 4]) };
    refused("activation_census: a map of", vec![input], |b, t| {
        Ok(vec![activation_census(b, "layer", t[0], InputDomain::Sign)?])
    });
}
