use autobidet::ops::gather_heads::GatherHeads;
use autobidet::plan::{Builder, Format, Mode, PlanLimits, Shape};
use autobidet::testing::{OpCase, TestInput, test_gpu};

#[test]
fn heads_are_joined_in_prior_order() {
    let gpu = test_gpu().unwrap();
    for (values, heads) in [
        (4u32, vec![(3u32, 5u32, 2u32), (2, 2, 3), (1, 1, 1)]),
        (3, vec![(4, 4, 1), (2, 3, 3)]),
        (1, vec![(1, 1, 1)]),
        (21, vec![(5, 3, 4)]),
    ] {
        let n = 3;
        let shapes: Vec<Shape> = heads.iter().map(|(h, w, k)| Shape::new(n, *h, *w, k * values)).collect();
        let inputs: Vec<TestInput> = shapes
            .iter()
            .enumerate()
            .map(|(i, s)| {
                let name = format!("x{i}");
                TestInput::map(&name, *s, TestInput::random(*s, &name, 1.0))
            })
            .collect();
        let priors: u32 = heads.iter().map(|(h, w, k)| h * w * k).sum();
        let case = OpCase {
            name: format!("gather {values} {heads:?}"),
            batch: n,
            inputs,
            upstream: vec![TestInput::random(Shape::new(n, 1, priors, values), "g", 1.0)],
            backward: true,
            build: Box::new(move |b, t| b.apply(GatherHeads { values }, "gather", t)),
        };
        let (out, _) = case.check(gpu.as_ref(), 0.0).unwrap();
        // The definition, from N,C,H,W: image, map, row, column, box, value.
        let mut want = Vec::new();
        let mut gradients: Vec<Vec<f32>> = shapes.iter().map(|s| vec![0.0; s.len() as usize]).collect();
        for i in 0..n {
            for (m, s) in shapes.iter().enumerate() {
                for pixel in 0..s.h * s.w {
                    for c in 0..s.c {
                        let at = ((i * s.c + c) * s.h * s.w + pixel) as usize;
                        gradients[m][at] = case.upstream[0][want.len()];
                        want.push(case.inputs[m].data[at]);
                    }
                }
            }
        }
        assert_eq!(out.outputs[0], want);
        for (got, want) in out.gradients.iter().zip(&gradients) {
            assert_eq!(got.as_ref().unwrap(), want);
        }
    }
}

#[test]
fn refuses_channels_that_are_no_whole_boxes() {
    let error = Builder::build("t", Mode::Train, PlanLimits::HOST, 1, |b| {
        let x = b.input("x", Shape::new(1, 2, 2, 6), Format::Map, true);
        b.apply(GatherHeads { values: 4 }, "loc", &[x])
    });
    let text = error.unwrap_err().to_string();
    assert!(text.contains("loc, head 0") && text.contains("boxes * 4"), "{text}");
}
