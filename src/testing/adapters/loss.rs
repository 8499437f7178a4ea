//! feature_l2: f0, f1, ...[, weights] -> loss; bce_with_logits: logits, targets -> loss;
//! sparse_object_prior: loc, logits, priors, targets -> loss. Own cases alone: bernoulli_kl, reconstruction_loss,
//! image_beta.

use super::{Adapter, Inputs, Own, Planes, Prepared, bits, dense};
use crate::ops::bce_with_logits::BceWithLogits;
use crate::ops::bernoulli_kl::BernoulliKl;
use crate::ops::feature_l2::FeatureL2;
use crate::ops::hyper;
use crate::ops::image_beta::{BetaSource, ImageBeta};
use crate::ops::reconstruction_loss::{DifferenceKind, ReconstructionLoss, Reduction};
use crate::ops::sparse_object_prior::{ClassAware, ClassAwareKind, SparseObjectPrior};
use crate::plan::{Builder, Format, Shape, TensorId};
use crate::testing::cases::CaseFile;
use crate::testing::op::BuildOp;
use crate::testing::{OpCase, TestInput};
use crate::{Error, Result};

pub static ADAPTER: Adapter = Adapter {
    ops: &["feature_l2", "bce_with_logits", "sparse_object_prior"],
    prepare: |file| match file.op.as_str() {
        "feature_l2" => feature_l2(file),
        "bce_with_logits" => bce(file),
        _ => sparse_object_prior(file),
    },
    own,
};

/// The names of the maps of a feature loss.
const MAPS: [Planes; 12] =
    [&["f0"], &["f1"], &["f2"], &["f3"], &["f4"], &["f5"], &["f6"], &["f7"], &["f8"], &["f9"], &["f10"], &["f11"]];

fn feature_l2(file: &CaseFile) -> Result<Prepared> {
    let mut inputs = Inputs::new(file, "f0")?;
    for names in MAPS.into_iter().take_while(|n| file.has(&format!("in.{}", n[0]))) {
        inputs = inputs.map(names)?;
    }
    if file.has("in.weights") {
        let [n] = file.extents("in.weights")?;
        let weights =
            dense("weights", Shape::new(n, 1, 1, 1), Format::Flat, false, file.floats("in.weights")?.to_vec());
        inputs = inputs.push(&[], weights);
    }
    inputs.run(&[&["loss"]], |b, t| b.apply(FeatureL2::default(), "op", t))
}

fn bce(file: &CaseFile) -> Result<Prepared> {
    if file.word("reduction")? != "mean" {
        return Err(file.unknown("reduction"));
    }
    let inputs = Inputs::new(file, "logits")?.flat(&["logits"])?.flat(&["targets"])?;
    inputs.run(&[&["loss"]], |b, t| b.apply(BceWithLogits::default(), "op", t))
}

fn sparse_object_prior(file: &CaseFile) -> Result<Prepared> {
    let op = SparseObjectPrior {
        score_threshold: file.real("score_threshold")?,
        iou_threshold: file.real("iou_threshold")?,
        top_k: file.number("top_k")?,
        variances: file.real_pair("variances")?,
        ..Default::default()
    };
    let [n, _, classes] = file.extents("in.logits")?;
    let [_, m, five] = file.extents("in.targets")?;
    if five != 5 || classes < 2 {
        let problem = format!("{classes} classes in in.logits, {five} values a row in in.targets");
        return Err(Error::format(&file.path, problem, "Expected background and more, and 5 values"));
    }
    // The objects of each image and foreground class.
    let mut objects = vec![0i32; (n * (classes - 1)) as usize];
    for (i, row) in file.floats("in.targets")?.chunks_exact(5).enumerate() {
        let (image, class) = (i / m as usize, row[4]);
        if class >= 0.0 {
            let place = objects.get_mut(image * (classes - 1) as usize + class as usize);
            *place.filter(|_| class < (classes - 1) as f32).ok_or_else(|| {
                Error::format(&file.path, format!("in.targets holds class {class}"), "Classes count from 0")
            })? += 1;
        }
    }
    let objects = dense("objects", Shape::new(n, 1, 1, classes - 1), Format::FlatU32, true, bits(objects));
    let inputs = Inputs::new(file, "loc")?.flat(&["loc"])?.flat(&["logits"])?.priors()?.push(&[], objects);
    inputs.run(&[&["loss"]], move |b, t| b.apply(op, "op", t))
}

fn own() -> Vec<Own> {
    let mut out = Vec::new();
    for n in [1u32, 3] {
        let map = |name: &str, h, w, c| {
            let shape = Shape::new(n, h, w, c);
            TestInput::map(name, shape, TestInput::random(shape, name, 1.0))
        };
        let weights: Vec<f32> = (0..n).map(|i| 0.5 + i as f32).collect();
        let features = vec![
            map("f0", 7, 5, 33),
            map("f1", 3, 3, 5),
            map("f2", 1, 1, 1),
            dense("weights", Shape::new(n, 1, 1, 1), Format::Flat, false, weights),
        ];
        let logits = map("logits", 3, 3, 5);
        let mut targets = TestInput { grad: false, ..map("targets", 3, 3, 5) };
        targets.data.iter_mut().for_each(|v| *v = if *v > 0.0 { 1.0 } else { 0.0 });
        let (p, k) = (60, 4);
        let row = |c| Shape::new(n, 1, p, c);
        let centres = TestInput::random(row(2), "centres", 0.2);
        let priors = (0..p as usize).flat_map(|i| [0.5 + centres[2 * i], 0.5 + centres[2 * i + 1], 0.3, 0.4]).collect();
        let prior = vec![
            dense("loc", row(4), Format::Flat, true, TestInput::random(row(4), "loc", 0.3)),
            TestInput {
                grad: true,
                ..dense("logits", row(k), Format::Flat, true, TestInput::random(row(k), "sop", 1.0))
            },
            dense("priors", row(4).with_n(1), Format::Flat, false, priors),
            dense(
                "objects",
                Shape::new(n, 1, 1, k - 1),
                Format::FlatU32,
                true,
                bits((0..n * (k - 1)).map(|i| i as i32 % 3)),
            ),
        ];
        let class_aware = |kind| SparseObjectPrior { class_aware: Some(ClassAware::new(kind)), ..Default::default() };
        let [average, image] = [ClassAwareKind::Average, ClassAwareKind::Image].map(class_aware);
        let mut add = |op, inputs: Vec<TestInput>, build: Box<BuildOp<'static>>, differences| {
            let case = OpCase {
                name: format!("{op}, {n} images"),
                batch: n,
                inputs,
                upstream: Vec::new(),
                backward: true,
                build,
            };
            out.push(Own { op, case, tolerance: 2e-5, differences });
        };
        let differences = Some((5, 0.1, 2e-2));
        // Inside the clip, but for some.
        let mut signs = features.clone();
        signs.iter_mut().take(3).for_each(|f| f.data.iter_mut().for_each(|v| *v *= 0.25));
        signs[0].data[0] = 7.0;
        let bounded = vec![false, true, true];
        let kl = move |b: &mut Builder, t: &[TensorId]| {
            b.apply(BernoulliKl { bounded: bounded.clone(), ..Default::default() }, "op", t)
        };
        add("bernoulli_kl", signs, Box::new(kl), Some((5, 0.02, 2e-2)));
        add("feature_l2", features, Box::new(|b, t| b.apply(FeatureL2::default(), "op", t)), differences);
        add(
            "bce_with_logits",
            vec![logits, targets],
            Box::new(|b, t| b.apply(BceWithLogits::default(), "op", t)),
            differences,
        );
        // Its normaliser is held constant, so its gradient is not the derivative.
        for op in [SparseObjectPrior::default(), average, image] {
            add("sparse_object_prior", prior.clone(), Box::new(move |b, t| b.apply(op, "op", t)), None);
        }
        // Nowhere near each other, so that the absolute difference has a derivative.
        let (mut g, x) = (map("g", 9, 7, 3), TestInput { grad: false, ..map("x", 9, 7, 3) });
        g.data.iter_mut().zip(&x.data).for_each(|(g, x)| *g += *x + 0.5f32.copysign(*g));
        for (kind, reduction) in
            [(DifferenceKind::Absolute, Reduction::Mean), (DifferenceKind::Square, Reduction::SumOverBatch)]
        {
            let op = ReconstructionLoss { kind, reduction, ..Default::default() };
            let inputs = vec![g.clone(), x.clone()];
            add("reconstruction_loss", inputs, Box::new(move |b, t| b.apply(op, "op", t)), differences);
        }
    }
    out.extend([BetaSource::Logit, BetaSource::Distance, BetaSource::Beta22].map(image_beta));
    out
}

/// Three images; a larger map beside the source makes slices.
fn image_beta(source: BetaSource) -> Own {
    let one = Shape::new(3, 1, 1, 1);
    let mut numbers = vec![0f32; hyper::LEN as usize];
    numbers[hyper::BETA_READY as usize] = 1.0;
    numbers[hyper::SEED as usize] = f32::from_bits(9);
    let beside = Shape::new(3, 8, 8, 4);
    let mut inputs = vec![
        TestInput::map("beside", beside, vec![0.0; beside.len() as usize]).no_grad(),
        dense("hyper", Shape::vector(hyper::LEN), Format::Flat, false, numbers),
    ];
    match source {
        BetaSource::Logit => inputs.push(TestInput::map("logits", one, vec![0.3, -2.0, 5.0]).no_grad()),
        BetaSource::Distance | BetaSource::DistanceReversed => {
            let squares = vec![0.0, 0.3, 0.0, 0.1, 0.0, 0.7];
            inputs.push(dense("differences", one.with_c(2), Format::Flat, false, squares));
        }
        _ => {}
    }
    let case = OpCase {
        name: format!("image_beta, {source:?}"),
        batch: 3,
        inputs,
        upstream: Vec::new(),
        backward: false,
        build: Box::new(move |b, t| b.apply(ImageBeta::new(source, t[1]), "op", &t[2..])),
    };
    Own { op: "image_beta", case, tolerance: 1e-6, differences: None }
}
