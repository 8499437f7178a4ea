//! The latent map of a variational autoencoder: a draw from the posterior that the encoder predicts, and its divergence
//! from the prior (Kingma and Welling 2014).

use super::loss_sum::loss_sum;
use super::{INDEX, RNG, hyper, map_shape};
use crate::cpu::gaussian_latent::*;
use crate::plan::{Builder, Cost, Format, Io, Kernel, Mode, Op, Saved, Shape, TensorId, flat_groups, round4};
use crate::{Error, Result, kernel};

/// Draws.
pub static FORWARD: Kernel = kernel!(
    "gaussian_latent",
    [INDEX, RNG],
    GaussianLatentDims,
    [read raw: f32, read hyper: u32, write z: f32],
    [],
    gaussian_latent
);
/// Divergence of blocks.
pub static PARTIAL: Kernel = kernel!(
    "gaussian_latent_partial",
    [INDEX],
    GaussianLatentDims,
    [read raw: f32, write partials: f32],
    [],
    gaussian_latent_partial
);
/// Gradients of means and log-variances.
pub static D_INPUT: Kernel = kernel!(
    "gaussian_latent_d_input",
    [INDEX],
    GaussianLatentDims,
    [read raw: f32, read z: f32, read d_z: f32, update d_raw: f32],
    [],
    gaussian_latent_d_input
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD, &PARTIAL, &D_INPUT];

/// Latent values of a block.
const BLOCK: u32 = 64;

/// z = mean + eps exp(v / 2), eps standard normal, and KL = sum of (mean^2 + exp(v) - 1 - v) / 2 over the latent values
/// of all images / images, the divergence of N(mean, exp(v)) from N(0, 1). Input: a map of 2 Z channels, Z means, then Z
/// log-variances v, which count as at least -10 and at most 10 (with zero gradient outside).
///
/// Outputs: z, a map of Z channels; KL, [`Format::Flat`] of 1 value for the host to read, without its weight.
///
/// The noise depends on `hyper[SEED]`, `hyper[STEP]`, the image's place in the batch and the value's place in the image
/// alone. In [`Mode::Eval`] z is the mean.
///
/// Gradients: that of z, where it has one, through mean and v; and the divergence's own times `kl_weight`, with which the
/// backward pass starts by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GaussianLatent {
    /// The tensor of [`hyper::hyper_input`].
    pub hyper: TensorId,
    /// Weight of the divergence in the objective: beta of a beta-VAE (Higgins et al. 2017).
    pub kl_weight: f32,
    /// Whether z is drawn in training plans; the mean where not.
    pub sampled: bool,
}

impl GaussianLatent {
    fn dims(&self, b: &Builder, shape: Shape, first: u32, images: u32) -> GaussianLatentDims {
        let (pixels, channels) = (shape.h * shape.w, shape.c / 2);
        GaussianLatentDims {
            images,
            first,
            pixels,
            channels,
            pitch: round4(channels),
            raw_pitch: round4(shape.c),
            seed: hyper::SEED,
            step: hyper::STEP,
            sampled: (self.sampled && b.mode() == Mode::Train) as u32,
            block: BLOCK,
            blocks: (pixels * channels).div_ceil(BLOCK),
            ..Default::default()
        }
    }
}

impl Op for GaussianLatent {
    fn name(&self) -> &'static str {
        "gaussian_latent"
    }

    fn is_loss(&self) -> bool {
        true
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let raw = super::elementwise::one_input(label, "gaussian_latent", inputs)?;
        let shape = map_shape(b, label, "gaussian_latent", raw)?;
        if !shape.c.is_multiple_of(2) {
            let expected = "gaussian_latent: an even number of channels, means and log-variances";
            return Err(Error::shape(label, expected, shape.to_string()));
        }
        if !(self.kl_weight >= 0.0 && self.kl_weight.is_finite()) {
            let problem = format!("is {}, expected a number of 0 or more", self.kl_weight);
            return Err(Error::config(format!("{label}, kl_weight"), problem, "A plain autoencoder has 1."));
        }
        hyper::expect_hyper(b, label, self.hyper)?;
        let z = b.map(&format!("{label}.z"), shape.with_c(shape.c / 2));
        let blocks = self.dims(b, shape, 0, shape.n).blocks;
        let partials = b.scratch(&format!("{label}.partials"), Shape::new(1, 1, shape.n, blocks), Format::Flat);
        for (s, first, n) in b.slices() {
            let dims = self.dims(b, shape, first, n);
            let views = [b.at(raw, s), b.at(self.hyper, 0), b.at(z, s)];
            let values = n as u64 * dims.pixels as u64 * dims.pitch as u64;
            b.dispatch(&FORWARD, label, &dims, &views, flat_groups(values, 64), Cost::default())?;
            let views = [b.at(raw, s), b.at(partials, 0)];
            let groups = flat_groups(n as u64 * blocks as u64, 64);
            b.dispatch(&PARTIAL, label, &dims, &views, groups, Cost::default())?;
        }
        let kl = loss_sum(b, label, partials, None, 1.0 / shape.n as f32)?;
        b.keep(kl);
        Ok((vec![z, kl], vec![]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, _saved: &Saved) -> Result<()> {
        let (raw, z) = (io.inputs[0], io.outputs[0]);
        let d_z = b.d_output(io, 0);
        let Some(d_raw) = b.d_input(io, 0) else { return Ok(()) };
        let shape = b.shape(raw);
        for (s, first, n) in b.slices() {
            let dims = GaussianLatentDims {
                weight: self.kl_weight / shape.n as f32,
                upstream: d_z.is_some() as u32,
                accumulate: d_raw.flag(),
                ..self.dims(b, shape, first, n)
            };
            let views = [b.at(raw, s), b.at(z, s), b.at(d_z.unwrap_or(z), s), b.at(d_raw.tensor, s)];
            let values = n as u64 * dims.pixels as u64 * dims.raw_pitch as u64;
            b.dispatch(&D_INPUT, &io.label, &dims, &views, flat_groups(values, 64), Cost::default())?;
        }
        Ok(())
    }
}
