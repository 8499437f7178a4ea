use autobidet::ops::add::Add;
use autobidet::ops::relu::Relu;
use autobidet::plan::Shape;
use autobidet::testing::{OpCase, TestInput, test_gpu};

use super::case_file::{map, refused};

#[test]
fn add_on_a_grid_of_shapes() {
    let gpu = test_gpu().unwrap();
    for shape in [Shape::new(1, 1, 1, 1), Shape::new(2, 3, 5, 3), Shape::new(3, 4, 4, 33)] {
        let case = OpCase {
            name: format!("add {shape}"),
            batch: shape.n,
            inputs: vec![map("a", shape), map("b", shape)],
            upstream: vec![TestInput::random(shape, "g", 1.0)],
            backward: true,
            build: Box::new(|b, t| b.apply(Add, "add", t)),
        };
        let (out, _) = case.check(gpu.as_ref(), 0.0).unwrap();
        for (k, y) in out.outputs[0].iter().enumerate() {
            assert_eq!(*y, case.inputs[0].data[k] + case.inputs[1].data[k]);
        }
        for g in &out.gradients {
            assert_eq!(g.as_ref(), Some(&case.upstream[0]));
        }
    }
}

/// Gradients that were passed on without a copy must not be spoilt by what is added to them: u = relu(x), v = u + x,
/// y = (v + v) + (v + w) has d_w = g, d_u = 3 g, d_x = 3 g + 3 g [x > 0].
#[test]
fn shared_gradients_stay_apart() {
    let shape = Shape::new(2, 3, 3, 5);
    let case = OpCase {
        name: "sum of sums".into(),
        batch: 2,
        inputs: vec![map("x", shape), map("w", shape)],
        upstream: vec![TestInput::random(shape, "g", 1.0)],
        backward: true,
        build: Box::new(|b, t| {
            let u = b.apply1(Relu, "u", &t[..1])?;
            let v = b.apply1(Add, "v", &[u, t[0]])?;
            let vv = b.apply1(Add, "vv", &[v, v])?;
            let vw = b.apply1(Add, "vw", &[v, t[1]])?;
            b.apply(Add, "y", &[vv, vw])
        }),
    };
    let (out, _) = case.check(test_gpu().unwrap().as_ref(), 0.0).unwrap();
    let [d_x, d_w] = &out.gradients[..] else { panic!() };
    for (k, g) in case.upstream[0].iter().enumerate() {
        let want = if case.inputs[0].data[k] > 0.0 { 6.0 * g } else { 3.0 * g };
        assert!((d_x.as_ref().unwrap()[k] - want).abs() <= 1e-6 * want.abs(), "{k}");
        assert_eq!(d_w.as_ref().unwrap()[k], *g);
    }
}

#[test]
fn add_refuses_other_shapes() {
    let maps = vec![map("a", Shape::new(1, 2, 2, 4)), map("b", Shape::new(1, 2, 2, 5))];
    refused("lay: expected add: maps of one shape, 1x2x2x4, got b 1x2x2x5", maps, |b, t| b.apply(Add, "lay", t));
}
