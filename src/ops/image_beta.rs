//! Each image's trade-off beta, from an estimate of its complexity or drawn.

use super::check::expect_tensor;
use super::gated_copy::defer_replace;
use super::{INDEX, RNG, hyper};
use crate::cpu::image_beta::{ImageBetaDims, image_beta};
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Saved, Shape, TensorId, flat_groups, round4};
use crate::{Error, Result, kernel};

/// The kernel.
pub static FORWARD: Kernel = kernel!(
    "image_beta",
    [INDEX, RNG],
    ImageBetaDims,
    [
        read source: f32, read hyper: u32, read state: f32, write next: f32, write s_out: f32, write beta_out: f32,
        write weight_out: f32
    ],
    [],
    image_beta
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD];

/// Where an image's s in [0, 1] comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BetaSource {
    /// s = sigmoid(logit), the discriminator's opinion.
    Logit,
    /// s = (d - lo) / (hi - lo), clipped to [0, 1], of the distance d between image and reconstruction; lo and hi are
    /// moving averages of the batch's smallest and largest distance.
    Distance,
    /// 1 - that.
    DistanceReversed,
    /// Drawn uniformly.
    Uniform,
    /// Drawn from Beta(1, 3): the least of three uniform values.
    Beta13,
    /// Drawn from Beta(2, 2): the middle one.
    Beta22,
    /// Drawn from Beta(3, 1): the largest.
    Beta31,
}

/// From s to beta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BetaTransform {
    /// delta + theta s.
    Linear,
    /// delta + theta exp(s).
    Exponential,
    /// delta + theta sin(s), s in radians.
    Sine,
}

/// s, beta and the weight 1 / beta of each image of the batch.
///
/// Inputs, by [`BetaSource`]: for `Logit` one logit an image, (N, 1, 1, 1) as map or [`Format::Flat`], following the
/// batch; for the distances the second output of [`super::reconstruction_loss`], [`Format::Flat`] (N, 1, 1, 2), whose
/// mean square's root is d; for what is drawn, none.
///
/// Outputs, for the host to read, each [`Format::Flat`] (N, 1, 1, 1), not sliced: s, beta, 1 / beta. The last is what
/// [`super::feature_l2`] takes as weights.
///
/// While `hyper[BETA_READY]` is 0, beta is `initial`; s is what it will be. Drawn values depend on `hyper[SEED]`,
/// `hyper[STEP]` and the image's place in the batch alone. A logit or distance that is not finite gives s = 0.5 and
/// leaves lo and hi alone: it must not reach the detector by way of its loss's weight (the gate of the network that it
/// comes from stops the rest). Where hi = lo, s = 0.5, too.
///
/// lo and hi start at those of the first batch, each batch's own s is taken with that batch in them, and they are only
/// replaced by a deferred step that obeys [`Builder::gate`]. There is no gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageBeta {
    /// Where s comes from.
    pub source: BetaSource,
    /// From s to beta.
    pub transform: BetaTransform,
    /// The transform's offset; 10 in AutoBiDet.
    pub delta: f32,
    /// Its gain; 5 in AutoBiDet.
    pub theta: f32,
    /// beta during the warm-up; 10.
    pub initial: f32,
    /// Weight of the old lo and hi in the new ones; 0.99.
    pub decay: f32,
    /// The tensor of [`hyper::hyper_input`].
    pub hyper: TensorId,
}

impl ImageBeta {
    /// AutoBiDet's transform beta = 10 + 5 sin(s).
    pub fn new(source: BetaSource, hyper: TensorId) -> Self {
        let transform = BetaTransform::Sine;
        ImageBeta { source, transform, delta: 10.0, theta: 5.0, initial: 10.0, decay: 0.99, hyper }
    }

    /// beta of s.
    fn beta(&self, s: f32) -> f32 {
        let value = match self.transform {
            BetaTransform::Linear => s,
            BetaTransform::Exponential => s.exp(),
            BetaTransform::Sine => s.sin(),
        };
        self.delta + self.theta * value
    }

    fn check(&self, b: &Builder, label: &str) -> Result<()> {
        hyper::expect_hyper(b, label, self.hyper)?;
        // All transforms are monotonic in s.
        for beta in [self.initial, self.beta(0.0), self.beta(1.0)] {
            if !(beta >= 1e-3 && beta.is_finite()) {
                let problem = format!("gives a beta of {beta}, expected 0.001 or more (the weight is 1 / beta)");
                let remedy = "Choose delta, theta and initial so that beta is positive for every s from 0 to 1.";
                return Err(Error::config(format!("{label}, delta"), problem, remedy));
            }
        }
        if !(0.0..1.0).contains(&self.decay) {
            let problem = format!("is {}, expected 0 or more and less than 1", self.decay);
            return Err(Error::config(format!("{label}, decay"), problem, "The usual value is 0.99."));
        }
        Ok(())
    }

    fn distances(&self) -> bool {
        matches!(self.source, BetaSource::Distance | BetaSource::DistanceReversed)
    }

    /// The tensor that s is made of, and its values an image; the hyper tensor, which is not looked at, where s is
    /// drawn.
    fn source_of(&self, b: &Builder, label: &str, inputs: &[TensorId]) -> Result<(TensorId, u32)> {
        let one = Shape::new(b.batch(), 1, 1, 1);
        match (self.source, inputs) {
            (BetaSource::Logit, &[x]) => {
                let format = if b.info(x).format == Format::Map { Format::Map } else { Format::Flat };
                expect_tensor(b, label, "logits", x, one, format, true)?;
                Ok((x, if format == Format::Map { round4(1) } else { 1 }))
            }
            (BetaSource::Distance | BetaSource::DistanceReversed, &[x]) => {
                expect_tensor(b, label, "differences", x, one.with_c(2), Format::Flat, false)?;
                Ok((x, 2))
            }
            (BetaSource::Logit | BetaSource::Distance | BetaSource::DistanceReversed, _) => {
                let expected = format!("image_beta: one input for {:?}", self.source);
                Err(Error::shape(label, expected, format!("{} inputs", inputs.len())))
            }
            (_, &[]) => Ok((self.hyper, 0)),
            _ => Err(Error::shape(label, "image_beta: no inputs where s is drawn", format!("{} inputs", inputs.len()))),
        }
    }
}

impl Op for ImageBeta {
    fn name(&self) -> &'static str {
        "image_beta"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        self.check(b, label)?;
        let (source, pitch) = self.source_of(b, label, inputs)?;
        let four = Shape::vector(4);
        let state = match self.distances() {
            true => b.state(&format!("{label}.range"), four, Format::Flat, None),
            false => b.constant(&format!("{label}.no_range"), four, Format::Flat, vec![0; 4]),
        };
        let next = b.scratch(&format!("{label}.next"), four, Format::Flat);
        let one = Shape::new(b.batch(), 1, 1, 1);
        let outputs = ["s", "beta", "weight"].map(|o| b.output(&format!("{label}.{o}"), one, Format::Flat, false));
        for (s, first, images) in b.slices() {
            let dims = ImageBetaDims {
                images,
                first,
                batch: b.batch(),
                pitch,
                source: self.source as u32,
                transform: self.transform as u32,
                ready: hyper::BETA_READY,
                seed: hyper::SEED,
                step: hyper::STEP,
                delta: self.delta,
                theta: self.theta,
                initial: self.initial,
                decay: self.decay,
            };
            let [s_out, beta, weight] = outputs.map(|o| b.at(o, 0));
            let views = [b.at(source, s), b.at(self.hyper, 0), b.at(state, 0), b.at(next, 0), s_out, beta, weight];
            b.dispatch(&FORWARD, label, &dims, &views, flat_groups(images as u64, 64), Cost::default())?;
        }
        if self.distances() {
            defer_replace(b, label, next, state)?;
        }
        Ok((outputs.to_vec(), vec![]))
    }

    fn backward(&self, _b: &mut Builder, _io: &Io, _saved: &Saved) -> Result<()> {
        Ok(())
    }
}
