use autobidet::ops::relu::Relu;
use autobidet::plan::Shape;
use autobidet::testing::{OpCase, TestInput, test_gpu};

#[test]
fn relu_on_a_grid_of_shapes() {
    let gpu = test_gpu().unwrap();
    for shape in [Shape::new(1, 1, 1, 1), Shape::new(2, 3, 5, 3), Shape::new(3, 4, 4, 33), Shape::new(1, 70, 70, 64)] {
        let case = OpCase {
            name: format!("relu {shape}"),
            batch: shape.n,
            inputs: vec![TestInput::map("x", shape, TestInput::random(shape, "x", 1.0))],
            upstream: vec![TestInput::random(shape, "g", 1.0)],
            backward: true,
            build: Box::new(|b, t| b.apply(Relu, "relu", t)),
        };
        let (out, _) = case.check(gpu.as_ref(), 0.0).unwrap();
        for (y, x) in out.outputs[0].iter().zip(&case.inputs[0].data) {
            assert_eq!(*y, x.max(0.0));
        }
        case.finite_difference(5, 1e-3, 1e-2).unwrap();
    }
}
