//! The training plan: network, losses, backward pass, optimizer.
//!
//! ```text
//! L = L_conf + L_loc + w_IB * R + w_SOP * L_SOP        (docs/method.md, section 2)
//! ```
//! Segments: `clear` (gradients to zero), `forward`, `backward`, `update` (norm, clipping, gate, optimizer, running
//! statistics), and `estimator` where one is trained ([`super::estimator`]). A step runs all in this order; with
//! micro-batches `forward` and `backward` run several times, and the estimator learns from the last part. The segment
//! `diagnose` counts the inputs of binary layers, among the steps of `forward`; only steps that are looked at run it.

use std::collections::BTreeMap;

use super::Scalars;
use super::estimator::{EstimatorNetwork, ImageBetas, Inputs, image_betas, train_estimator};
use crate::Result;
use crate::config::{InformationBottleneck, OptimizerName, Prior, RunConfig};
use crate::models::{DETECTOR, Detector, Network};
use crate::ops::bernoulli_kl::BernoulliKl;
use crate::ops::feature_l2::FeatureL2;
use crate::ops::gaussian_location::GaussianLocation;
use crate::ops::gradient_norm::{GradientNorm, add_gradient_norm};
use crate::ops::hyper;
use crate::ops::multibox_loss::MultiboxLoss;
use crate::ops::optimizer::{Optimizer, OptimizerTensors, add_optimizer};
use crate::ops::sparse_object_prior::{ClassAware, ClassAwareKind, SparseObjectPrior};
use crate::plan::{Builder, Format, Mode, Plan, PlanLimits, Shape, Slab, TensorId};

/// The tensors of a training plan that the trainer writes and reads.
#[derive(Debug, Clone)]
pub struct TrainNetwork {
    /// Images of a forward and backward pass.
    pub images: u32,
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
    /// Each image's beta, where it is not fixed.
    pub betas: Option<ImageBetas>,
    /// The complexity estimator, where one is trained.
    pub estimator: Option<EstimatorNetwork>,
}

impl TrainNetwork {
    /// The segments of a forward and backward pass, in front of which `clear` has run; with `update`, those that end a
    /// step, too.
    pub fn segments(&self, update: bool) -> &'static [&'static str] {
        match (update, self.estimator.is_some()) {
            (false, _) => &["forward", "backward"],
            (true, false) => &["forward", "backward", "update"],
            (true, true) => &["forward", "backward", "update", "estimator"],
        }
    }

    /// The loss terms by name, each times its weight in a step, and their `total`. `terms` are as [`TrainNetwork::losses`].
    pub fn weighted(&self, terms: &[f32], scalars: &Scalars) -> BTreeMap<String, f64> {
        let weight = |name: &str| match name {
            "ib" => scalars.ib_weight,
            "sop" => scalars.sop_weight,
            _ => 1.0,
        };
        let named = self.losses.iter().zip(terms);
        let mut losses: BTreeMap<String, f64> =
            named.map(|((name, _), v)| (name.to_string(), (weight(name) * v) as f64)).collect();
        losses.insert("total".to_string(), losses.values().sum());
        losses
    }

    /// All optimizers: what they keep, and the slabs that their moments follow.
    pub fn optimizers(&self) -> Vec<(&OptimizerTensors, &[Slab])> {
        let estimator = self.estimator.iter().flat_map(|e| &e.learners);
        let estimator = estimator.map(|l| (&l.optimizer, l.slabs.as_slice()));
        std::iter::once((&self.optimizer, self.slabs.as_slice())).chain(estimator).collect()
    }
}

/// Builds the training plan for `images` at a time.
pub fn training_plan(
    detector: &Detector,
    config: &RunConfig,
    limits: PlanLimits,
    images: u32,
) -> Result<(Plan, TrainNetwork)> {
    let name = format!("training {}", detector.name());
    let limits = PlanLimits { recompute: config.train.recompute, ..limits };
    Builder::build(&name, Mode::Train, limits, images, |b| {
        let p = detector.priors.len() as u32;
        let n = b.batch();
        let hyper = hyper::hyper_input(b);
        let loc_targets = b.input("loc_targets", Shape::new(n, 1, p, 4), Format::Flat, true);
        let conf_targets = b.input("conf_targets", Shape::new(n, 1, p, 1), Format::FlatI32, true);

        let network = detector.network(b)?;
        let mut losses = Vec::new();
        let inputs = Inputs::add(b, detector, config, &network)?;
        let betas = image_betas(b, config, inputs.as_ref(), hyper)?;

        let location = b.apply1(GaussianLocation { hyper }, "location", &[network.locations, conf_targets])?;
        let multibox =
            b.apply(MultiboxLoss::default(), "multibox", &[location, network.logits, loc_targets, conf_targets])?;
        losses.push(("loc", multibox[0]));
        losses.push(("conf", multibox[1]));
        let method = config.model.method;
        if method.information_bottleneck != InformationBottleneck::None {
            let form = method.information_bottleneck;
            losses.push(("ib", information_bottleneck(b, form, &network, betas.as_ref(), hyper)?));
        }
        let mut counts = None;
        if method.prior != Prior::None {
            let priors = detector.priors.iter().flatten().map(|v| v.to_bits()).collect();
            let priors = b.constant("priors", Shape::new(1, 1, p, 4), Format::Flat, priors);
            let c = b.input("box_counts", Shape::new(n, 1, 1, detector.logits() - 1), Format::FlatU32, true);
            let op = SparseObjectPrior {
                scale: Some((hyper, hyper::SOP_WEIGHT)),
                class_aware: class_aware(method.prior),
                ..Default::default()
            };
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

        let estimator = inputs.map(|i| train_estimator(b, config, &i)).transpose()?;

        b.segment("clear");
        b.clear_gradients(DETECTOR);
        for (_, t) in &losses {
            b.keep(*t);
        }
        Ok(TrainNetwork {
            images,
            network,
            loc_targets,
            conf_targets,
            counts,
            hyper,
            losses,
            norm,
            optimizer,
            slabs,
            betas,
            estimator,
        })
    })
}

/// What makes an object prior class-aware.
fn class_aware(prior: Prior) -> Option<ClassAware> {
    let kind = match prior {
        Prior::None | Prior::Sop => return None,
        Prior::CSop => ClassAwareKind::Average,
        Prior::CSopImage => ClassAwareKind::Image,
        Prior::CSopExcess => ClassAwareKind::Excess,
    };
    Some(ClassAware::new(kind))
}

/// The information-bottleneck term of the high-level maps (docs/method.md, section 2.3), weighted by each image's 1 / beta
/// where there is one.
fn information_bottleneck(
    b: &mut Builder,
    form: InformationBottleneck,
    network: &Network,
    betas: Option<&ImageBetas>,
    hyper: TensorId,
) -> Result<TensorId> {
    let (label, scale) = ("information_bottleneck", Some((hyper, hyper::IB_WEIGHT)));
    let maps = |maps: &[TensorId]| maps.iter().copied().chain(betas.map(|i| i.weight)).collect::<Vec<_>>();
    match form {
        InformationBottleneck::Bernoulli => {
            let bounded = network.signed.iter().map(|signed| !signed).collect();
            b.apply1(BernoulliKl { scale, bounded }, label, &maps(&network.sources))
        }
        InformationBottleneck::PreNorm => b.apply1(FeatureL2 { scale }, label, &maps(&network.pre_norm)),
        InformationBottleneck::MeanSquare | InformationBottleneck::None => {
            b.apply1(FeatureL2 { scale }, label, &maps(&network.sources))
        }
    }
}
