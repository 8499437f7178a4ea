//! How complex images are, by the opinion of a trained estimator: D(G(f)), and the reconstructions G(f).

use std::sync::Arc;

use crate::config::AicConfig;
use crate::device::Device;
use crate::models::Detector;
use crate::models::complexity::{Complexity, Statistics};
use crate::plan::{Builder, Executor, Mode, TensorId};
use crate::weights::{FileTensor, WeightFile, load};
use crate::{Error, Result};

/// A detector's body with the complexity estimator (a GAN) that was trained beside it, in evaluation mode.
pub struct ComplexityEstimator {
    /// The detector whose features are looked at.
    pub detector: Detector,
    executor: Box<dyn Executor>,
    images: TensorId,
    logits: TensorId,
    reconstructions: TensorId,
    side: u32,
    batch: usize,
}

/// What the estimator says of some images.
#[derive(Debug, Clone, PartialEq)]
pub struct Opinion {
    /// D(G(f)) in 0..=1 of each image: the larger, the simpler the image is taken to be.
    pub s: Vec<f32>,
    /// The reconstructions, `[n][side][side][4]`: red, green, blue in [-1, 1] and a zero.
    pub reconstructions: Vec<f32>,
    /// Side of a reconstruction in pixels.
    pub side: u32,
}

impl ComplexityEstimator {
    /// Builds both for `batch` images at a time and takes the weights: the detector's (`last.safetensors` of a run) and
    /// the estimator's (`estimator.safetensors` of the same run; the two belong together).
    ///
    /// # Errors
    /// Weights of another model, or of an autoencoder, which has no discriminator.
    pub fn new(
        detector: Detector,
        aic: &AicConfig,
        device: &Device,
        batch: usize,
        weights: &WeightFile,
        estimator: &WeightFile,
    ) -> Result<ComplexityEstimator> {
        if !estimator.tensors.keys().any(|n| n.starts_with("discriminator.")) {
            return Err(Error::format(
                &estimator.path,
                "has no discriminator",
                "Give the estimator.safetensors of a run whose beta came from a GAN (--method autobidet-sc, for one).",
            ));
        }
        let source = detector.complexity_source(aic.feature)?;
        let name = format!("complexity by {}", detector.name());
        let (plan, (network, side, logits, reconstructions)) =
            Builder::build(&name, Mode::Eval, device.limits(), batch as u32, |b| {
                let n = detector.network(b)?;
                let f = n.sources[source];
                let net = Complexity::of(b.shape(f));
                let image = net.generator(b, "estimate", f, Statistics::Running)?;
                let logits = net.discriminator(b, "estimate", image, Statistics::Running)?;
                b.keep(image);
                b.keep(logits);
                Ok((n, net.image(), logits, image))
            })?;
        let mut executor = device.executor(Arc::new(plan))?;
        let mut tensors = weights.tensors.clone();
        tensors.extend(estimator.tensors.iter().map(|(n, t): (&String, &FileTensor)| (n.clone(), t.clone())));
        let all = WeightFile { path: weights.path.clone(), tensors, ..Default::default() };
        load(executor.as_mut(), &all, true)?;
        Ok(ComplexityEstimator { detector, executor, images: network.images, logits, reconstructions, side, batch })
    }

    /// The estimator's opinion of `n` preprocessed images (`n * size * size * 4` floats).
    pub fn look(&mut self, images: &[f32], n: usize) -> Result<Opinion> {
        let one = self.detector.preprocess.floats();
        if n > self.batch || images.len() != n * one {
            return Err(Error::shape(
                "complexity",
                format!("up to {} images of {one} floats", self.batch),
                format!("{n} images, {} floats", images.len()),
            ));
        }
        // A short batch is padded with zeros; what comes out for them is dropped.
        let mut padded = images.to_vec();
        padded.resize(self.batch * one, 0.0);
        self.executor.write_f32(self.images, &padded)?;
        self.executor.run(&["forward"])?;
        let s = self.executor.read_nchw(self.logits)?.iter().take(n).map(|l| 1.0 / (1.0 + (-l).exp())).collect();
        let mut reconstructions = self.executor.read_f32(self.reconstructions)?;
        reconstructions.truncate(n * self.side as usize * self.side as usize * 4);
        Ok(Opinion { s, reconstructions, side: self.side })
    }
}
