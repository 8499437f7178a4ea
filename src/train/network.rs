//! The training plan: network, losses, backward pass, optimizer.
//!
//! ```text
//! L = L_conf + L_loc + w_IB * R + w_SOP * L_SOP        (docs/method.md, section 2)
//! ```
//! Segments: `clear` (gradients to zero), `forward`, `backward`, `update` (norm, clipping, gate, optimizer, running
//! statistics). A step runs all four in this order; with micro-batches `forward` and `backward` run several times. The
//! segment `diagnose` counts the inputs of binary layers, among the steps of `forward`; only steps that are looked at run it.

use crate::config::{Beta, Binarization, InformationBottleneck, OptimizerName, Prior, RunConfig};
use crate::models::{DETECTOR, Detector, Network};
use crate::ops::feature_l2::FeatureL2;
use crate::ops::gaussian_location::GaussianLocation;
use crate::ops::gradient_norm::{GradientNorm, add_gradient_norm};
use crate::ops::hyper;
use crate::ops::multibox_loss::MultiboxLoss;
use crate::ops::optimizer::{Optimizer, OptimizerTensors, add_optimizer};
use crate::ops::sparse_object_prior::SparseObjectPrior;
use crate::plan::{Builder, Format, Mode, Plan, PlanLimits, Shape, Slab, TensorId};
use crate::{Error, Result};

/// The tensors of a training plan that the trainer writes and reads.
#[derive(Debug, Clone)]
pub struct TrainNetwork {
    /// The detector's own tensors.
    pub network: Network,
    /// Regression targets (N, 1, priors, 4).
    pub loc_targets: TensorId,
    /// Class targets (N, 1, priors, 1), i32: 0 background, class + 1 otherwise.
    pub conf_targets: TensorId,
    /// Annotated boxes of each image and class (N, 1, 1, classes), u32; only with an object prior.
    pub counts: Option<TensorId>,
    /// Scalars of the step (see `ops::hyper`).
    pub hyper: TensorId,
    /// Loss terms by name; each a scalar before its weight.
    pub losses: Vec<(&'static str, TensorId)>,
    /// The gradient's norm and the gate.
    pub norm: GradientNorm,
    /// What the optimizer keeps.
    pub optimizer: OptimizerTensors,
    /// The slabs that its moments follow.
    pub slabs: Vec<Slab>,
}

/// Builds the training plan for `images` at a time.
pub fn training_plan(
    detector: &Detector,
    config: &RunConfig,
    limits: PlanLimits,
    images: u32,
) -> Result<(Plan, TrainNetwork)> {
    let name = format!("training {}", detector.name());
    not_yet(config)?;
    Builder::build(&name, Mode::Train, limits, images, |b| {
        let p = detector.priors.len() as u32;
        let n = b.batch();
        let hyper = hyper::hyper_input(b);
        let loc_targets = b.input("loc_targets", Shape::new(n, 1, p, 4), Format::Flat, true);
        let conf_targets = b.input("conf_targets", Shape::new(n, 1, p, 1), Format::FlatI32, true);

        let network = detector.network(b)?;
        let mut losses = Vec::new();

        let location = b.apply1(GaussianLocation { hyper }, "location", &[network.locations, conf_targets])?;
        let multibox =
            b.apply(MultiboxLoss::default(), "multibox", &[location, network.logits, loc_targets, conf_targets])?;
        losses.push(("loc", multibox[0]));
        losses.push(("conf", multibox[1]));
        let method = config.model.method;
        if method.information_bottleneck != InformationBottleneck::None {
            let op = FeatureL2 { scale: Some((hyper, hyper::IB_WEIGHT)) };
            losses.push(("ib", b.apply1(op, "information_bottleneck", &network.sources)?));
        }
        let mut counts = None;
        if method.prior == Prior::Sop {
            let priors = detector.priors.iter().flatten().map(|v| v.to_bits()).collect();
            let priors = b.constant("priors", Shape::new(1, 1, p, 4), Format::Flat, priors);
            let c = b.input("box_counts", Shape::new(n, 1, 1, detector.logits() - 1), Format::FlatU32, true);
            let op = SparseObjectPrior { scale: Some((hyper, hyper::SOP_WEIGHT)), ..Default::default() };
            let out = b.apply(op, "sparse_object_prior", &[location, network.logits, priors, c])?;
            losses.push(("sop", out[0]));
            counts = Some(c);
        }

        b.segment("backward");
        b.backward()?;

        b.segment("update");
        let kind = match config.train.optimizer {
            OptimizerName::Adam => Optimizer::ADAM,
            OptimizerName::Sgd => Optimizer::Sgd { momentum: 0.9, weight_decay: 0.0 },
        };
        let scalars: Vec<TensorId> = losses.iter().map(|(_, t)| *t).collect();
        let norm = add_gradient_norm(b, DETECTOR, hyper, &scalars)?;
        let optimizer = add_optimizer(b, DETECTOR, kind, hyper, &norm)?;
        let slabs = b.close_group(DETECTOR);
        b.add_deferred()?;

        b.segment("clear");
        b.clear_gradients(DETECTOR);
        for (_, t) in &losses {
            b.keep(*t);
        }
        Ok(TrainNetwork { network, loc_targets, conf_targets, counts, hyper, losses, norm, optimizer, slabs })
    })
}

/// Parts that can be configured but are not built yet.
fn not_yet(config: &RunConfig) -> Result<()> {
    let m = config.model.method;
    let what = match (m.binarization, m.information_bottleneck, m.prior, m.beta) {
        (Binarization::Xnor, ..) => "binarization xnor",
        (_, InformationBottleneck::PreNorm | InformationBottleneck::Bernoulli, ..) => "this information bottleneck",
        (_, _, Prior::CSop | Prior::CSopImage | Prior::CSopExcess, _) => "the class-aware prior",
        (.., beta) if beta != Beta::Fixed => "a beta for each image",
        _ => return Ok(()),
    };
    Err(Error::config("model.method", format!("asks for {what}, which is not built yet"), "Choose another method."))
}
