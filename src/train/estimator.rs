//! Beta of each image, and the training of the complexity estimator, as parts of the training plan
//! (docs/method.md, section 4).
//!
//! ```text
//! forward:    ... f ...;  s = sigmoid D(G(f)) with running statistics;  beta = transform(s);  the compression term takes
//!             1 / beta of each image
//! backward, update: of the detector; f is a constant for the estimator, and s for the detector
//! estimator:  fake = G(f)
//!             L_D = bce(D(x), 1) + bce(D(fake), 0)            one Adam step of D
//!             L_G = bce(D(fake), 1) + lambda mean |x - fake|  one Adam step of G
//! ```
//! where x is the training image in small. The autoencoder has no D: its loss is the squared error (summed over pixels,
//! mean over images) + beta_vae KL, and s its distance.

use crate::Result;
use crate::config::{Beta, RunConfig, Transform};
use crate::data::Preprocess;
use crate::models::complexity::{Complexity, DISCRIMINATOR, GENERATOR, Statistics};
use crate::models::{Detector, Network};
use crate::ops::bce_with_logits::BceWithLogits;
use crate::ops::gaussian_latent::GaussianLatent;
use crate::ops::gradient_norm::{GradientNorm, add_gradient_norm};
use crate::ops::hyper;
use crate::ops::image_beta::{BetaSource, BetaTransform, ImageBeta};
use crate::ops::optimizer::{Optimizer, OptimizerTensors, add_optimizer};
use crate::ops::reconstruction_loss::{DifferenceKind, ReconstructionLoss, Reduction};
use crate::plan::{Builder, Format, Shape, Slab, TensorId};

/// Adam as GANs use it.
const ADAM: Optimizer = Optimizer::Adam { beta1: 0.5, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };

/// What each image's beta came from and to.
#[derive(Debug, Clone, Copy)]
pub struct ImageBetas {
    /// s of each image, dense (N, 1, 1, 1).
    pub s: TensorId,
    /// beta of each image.
    pub beta: TensorId,
    /// 1 / beta of each image: the weight of its compression term.
    pub weight: TensorId,
}

/// A group of parameters and what makes it learn.
#[derive(Debug, Clone)]
pub struct Learner {
    /// The group's gradient and gate.
    pub norm: GradientNorm,
    /// What its optimizer keeps.
    pub optimizer: OptimizerTensors,
    /// The slabs that its moments follow.
    pub slabs: Vec<Slab>,
}

/// The estimator's tensors that the trainer writes and reads.
#[derive(Debug, Clone)]
pub struct EstimatorNetwork {
    /// Sizes.
    pub complexity: Complexity,
    /// How the network's input was made, to go back to images.
    pub preprocess: Preprocess,
    /// The images in small, in [-1, 1], which the host writes.
    pub images: TensorId,
    /// Its scalars (see `ops::hyper`).
    pub hyper: TensorId,
    /// The reconstructions, in [-1, 1].
    pub reconstructions: TensorId,
    /// Mean absolute and mean squared difference of each image, dense (N, 1, 1, 2).
    pub errors: TensorId,
    /// D's logits of the images and of the reconstructions, before its update; none for the autoencoder.
    pub logits: Option<[TensorId; 2]>,
    /// Loss terms by name, each a scalar.
    pub losses: Vec<(&'static str, TensorId)>,
    /// What learns.
    pub learners: Vec<Learner>,
}

/// What both parts share: the images in small and the scalars.
pub(super) struct Inputs {
    complexity: Complexity,
    preprocess: Preprocess,
    feature: TensorId,
    images: TensorId,
    hyper: TensorId,
}

impl Inputs {
    /// Adds them to a plan, for methods that train an estimator.
    pub(super) fn add(
        b: &mut Builder,
        detector: &Detector,
        config: &RunConfig,
        network: &Network,
    ) -> Result<Option<Inputs>> {
        if !config.model.method.beta.estimates() {
            return Ok(None);
        }
        let feature = network.sources[detector.complexity_source(config.aic.feature)?];
        let complexity = Complexity::of(b.shape(feature));
        let side = complexity.image();
        let images = b.input("estimator.images", Shape::new(b.batch(), side, side, 3), Format::Map, true);
        let hyper = b.input("estimator.hyper", Shape::vector(hyper::LEN), Format::Flat, false);
        Ok(Some(Inputs { complexity, preprocess: detector.preprocess, feature, images, hyper }))
    }
}

/// Adds the steps that give each image its beta, for methods where it is not fixed.
pub(super) fn image_betas(
    b: &mut Builder,
    config: &RunConfig,
    inputs: Option<&Inputs>,
    hyper: TensorId,
) -> Result<Option<ImageBetas>> {
    let beta = config.model.method.beta;
    let source = match beta {
        Beta::Fixed => return Ok(None),
        Beta::Gan => BetaSource::Logit,
        Beta::Vae => BetaSource::Distance,
        Beta::VaeReversed => BetaSource::DistanceReversed,
        Beta::Uniform => BetaSource::Uniform,
        Beta::Beta13 => BetaSource::Beta13,
        Beta::Beta22 => BetaSource::Beta22,
        Beta::Beta31 => BetaSource::Beta31,
    };
    let mut of = Vec::new();
    if let Some(i) = inputs {
        of.push(b.scope(&[], |b| {
            let pass = "estimate";
            if beta == Beta::Gan {
                let image = i.complexity.generator(b, pass, i.feature, Statistics::Running)?;
                return i.complexity.discriminator(b, pass, image, Statistics::Running);
            }
            let latent = i.complexity.encoder(b, pass, i.feature)?;
            let mean = GaussianLatent { hyper: i.hyper, kl_weight: 0.0, sampled: false };
            let latent = b.apply(mean, "estimate.latent", &[latent])?[0];
            let image = i.complexity.generator(b, pass, latent, Statistics::Running)?;
            Ok(b.apply(ReconstructionLoss::default(), "estimate.distance", &[image, i.images])?[1])
        })?);
    }
    let [delta, theta] = config.aic.constants();
    let op = ImageBeta {
        transform: match config.aic.transform {
            Transform::Linear => BetaTransform::Linear,
            Transform::Exponential => BetaTransform::Exponential,
            Transform::Sine => BetaTransform::Sine,
        },
        delta,
        theta,
        initial: 1.0 / config.train.ib_weight,
        ..ImageBeta::new(source, hyper)
    };
    let out = b.apply(op, "image_beta", &of)?;
    for t in &out {
        b.keep(*t);
    }
    Ok(Some(ImageBetas { s: out[0], beta: out[1], weight: out[2] }))
}

/// Adds the segment `estimator`: one step of each of its optimizers.
pub(super) fn train_estimator(b: &mut Builder, config: &RunConfig, i: &Inputs) -> Result<EstimatorNetwork> {
    b.segment("estimator");
    if config.model.method.beta == Beta::Gan { train_gan(b, config, i) } else { train_autoencoder(b, config, i) }
}

/// The gradient's norm, the update behind its gate, and what was deferred.
fn learn(b: &mut Builder, group: &str, hyper: TensorId, losses: &[(&'static str, TensorId)]) -> Result<Learner> {
    let scalars: Vec<TensorId> = losses.iter().map(|(_, t)| *t).collect();
    let norm = add_gradient_norm(b, group, hyper, &scalars)?;
    let optimizer = add_optimizer(b, group, ADAM, hyper, &norm)?;
    b.add_deferred()?;
    Ok(Learner { norm, optimizer, slabs: b.close_group(group) })
}

fn train_gan(b: &mut Builder, config: &RunConfig, i: &Inputs) -> Result<EstimatorNetwork> {
    let opinions = Shape::new(b.batch(), 1, 1, 1);
    let real_target = b.batch_constant("estimator.real", opinions, Format::Map, 1.0);
    let fake_target = b.batch_constant("estimator.fake", opinions, Format::Map, 0.0);
    let net = i.complexity;
    b.scope(&[GENERATOR], |b| {
        let fake = net.generator(b, "generate", i.feature, Statistics::Batch)?;

        let (discriminator, logits, mut losses) = b.scope(&[DISCRIMINATOR], |b| {
            let real_logits = net.discriminator(b, "real", i.images, Statistics::Batch)?;
            let real = b.apply1(BceWithLogits::default(), "real.loss", &[real_logits, real_target])?;
            let fake_logits = net.discriminator(b, "fake", fake, Statistics::Batch)?;
            let fake = b.apply1(BceWithLogits::default(), "fake.loss", &[fake_logits, fake_target])?;
            b.close_group(DISCRIMINATOR);
            b.clear_gradients(DISCRIMINATOR);
            b.backward()?;
            let losses = vec![("d_real", real), ("d_fake", fake)];
            let learner = learn(b, DISCRIMINATOR, i.hyper, &losses)?;
            Ok((learner, [real_logits, fake_logits], losses))
        })?;

        let judged = net.discriminator(b, "judge", fake, Statistics::BatchUntracked)?;
        let fool = b.apply1(BceWithLogits::default(), "judge.loss", &[judged, real_target])?;
        let op = ReconstructionLoss { weight: config.aic.lambda, ..Default::default() };
        let reconstruction = b.apply(op, "reconstruction", &[fake, i.images])?;
        b.clear_gradients(GENERATOR);
        b.backward()?;
        let of_generator = [("g", fool), ("reconstruction", reconstruction[0])];
        let generator = learn(b, GENERATOR, i.hyper, &of_generator)?;
        losses.extend(of_generator);
        keep(b, &losses, &[fake, reconstruction[1], logits[0], logits[1]]);
        Ok(EstimatorNetwork {
            complexity: net,
            preprocess: i.preprocess,
            images: i.images,
            hyper: i.hyper,
            reconstructions: fake,
            errors: reconstruction[1],
            logits: Some(logits),
            losses,
            learners: vec![discriminator, generator],
        })
    })
}

fn train_autoencoder(b: &mut Builder, config: &RunConfig, i: &Inputs) -> Result<EstimatorNetwork> {
    let net = i.complexity;
    b.scope(&[GENERATOR], |b| {
        let latent = net.encoder(b, "encode", i.feature)?;
        let op = GaussianLatent { hyper: i.hyper, kl_weight: config.aic.vae_beta, sampled: true };
        let latent = b.apply(op, "latent", &[latent])?;
        let image = net.generator(b, "decode", latent[0], Statistics::Batch)?;
        let op = ReconstructionLoss {
            kind: DifferenceKind::Square,
            reduction: Reduction::SumOverBatch,
            ..Default::default()
        };
        let reconstruction = b.apply(op, "reconstruction", &[image, i.images])?;
        b.clear_gradients(GENERATOR);
        b.backward()?;
        let losses = vec![("reconstruction", reconstruction[0]), ("kl", latent[1])];
        let learner = learn(b, GENERATOR, i.hyper, &losses)?;
        keep(b, &losses, &[image, reconstruction[1]]);
        Ok(EstimatorNetwork {
            complexity: net,
            preprocess: i.preprocess,
            images: i.images,
            hyper: i.hyper,
            reconstructions: image,
            errors: reconstruction[1],
            logits: None,
            losses,
            learners: vec![learner],
        })
    })
}

fn keep(b: &mut Builder, losses: &[(&'static str, TensorId)], others: &[TensorId]) {
    for t in losses.iter().map(|(_, t)| t).chain(others) {
        b.keep(*t);
    }
}
