//! Locations sampled from the posterior that the head predicts.

use super::check::{expect_rows, expect_tensor};
use super::{INDEX, LOCATION_NOISE, RNG, hyper};
use crate::cpu::gaussian_location::{GaussianDims, gaussian_location, gaussian_location_d_input};
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Role, Saved, Shape, TensorId, flat_groups};
use crate::{Error, Result, kernel};

/// Forward kernel.
pub static FORWARD: Kernel = kernel!(
    "gaussian_location",
    [INDEX, RNG, LOCATION_NOISE],
    GaussianDims,
    [read raw: f32, read targets: i32, read hyper: u32, write y: f32],
    [],
    gaussian_location
);
/// Backward kernel.
pub static D_INPUT: Kernel = kernel!(
    "gaussian_location_d_input",
    [INDEX, RNG, LOCATION_NOISE],
    GaussianDims,
    [read raw: f32, read targets: i32, read hyper: u32, read d_y: f32, update d_raw: f32],
    [],
    gaussian_location_d_input
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD, &D_INPUT];

/// One draw from p(l|f), a Gaussian with diagonal covariance (BiDet, Wang et al. 2020; channels as in its release).
/// Inputs: head output [`Format::Flat`] (N, 1, P, 8), per prior 4 log-variances then 4 means; class targets
/// [`Format::FlatI32`] (N, 1, P, 1). Output: locations [`Format::Flat`] (N, 1, P, 4) = mean + k * noise *
/// exp(log-variance / 2) at positive priors, the mean elsewhere.
///
/// k is `hyper[NOISE]`; the noise depends on `hyper[SEED]`, `hyper[STEP]`, the image's place in the batch and the prior
/// alone. With k = 0 the log-variances have a gradient of exactly zero. Background priors are not sampled and
/// log-variances above 20 count as 20 (with zero gradient): nothing else holds a log-variance down, and one that runs
/// away would turn the gradient into NaN while the loss stays finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GaussianLocation {
    /// The tensor of [`hyper::hyper_input`].
    pub hyper: TensorId,
}

impl GaussianLocation {
    fn dims(priors: u32, first: u32, images: u32, accumulate: u32) -> GaussianDims {
        GaussianDims {
            rows: images * priors,
            priors,
            first,
            noise: hyper::NOISE,
            seed: hyper::SEED,
            step: hyper::STEP,
            accumulate,
        }
    }
}

impl Op for GaussianLocation {
    fn name(&self) -> &'static str {
        "gaussian_location"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let &[raw, targets] = inputs else {
            return Err(Error::shape(
                label,
                "gaussian_location: head output, class targets",
                format!("{} inputs", inputs.len()),
            ));
        };
        let (priors, _) = expect_rows(b, label, "head output", raw)?;
        let shape = Shape::new(b.batch(), 1, priors, 4);
        expect_tensor(b, label, "head output", raw, shape.with_c(8), Format::Flat, true)?;
        expect_tensor(b, label, "class targets", targets, shape.with_c(1), Format::FlatI32, true)?;
        hyper::expect_hyper(b, label, self.hyper)?;
        let y = b.tensor(&format!("{label}.y"), shape, Format::Flat, Role::Transient, true);
        for (s, first, n) in b.slices() {
            let d = Self::dims(priors, first, n, 0);
            let views = [b.at(raw, s), b.at(targets, s), b.at(self.hyper, 0), b.at(y, s)];
            b.dispatch(&FORWARD, label, &d, &views, flat_groups(d.rows as u64, 64), Cost::default())?;
        }
        Ok((vec![y], Vec::new()))
    }

    fn backward(&self, b: &mut Builder, io: &Io, _saved: &Saved) -> Result<()> {
        let Some(d_y) = b.d_output(io, 0) else { return Ok(()) };
        let Some(d_raw) = b.d_input(io, 0) else { return Ok(()) };
        let priors = b.shape(io.outputs[0]).w;
        for (s, first, n) in b.slices() {
            let d = Self::dims(priors, first, n, d_raw.flag());
            let views = [
                b.at(io.inputs[0], s),
                b.at(io.inputs[1], s),
                b.at(self.hyper, 0),
                b.at(d_y, s),
                b.at(d_raw.tensor, s),
            ];
            b.dispatch(&D_INPUT, &io.label, &d, &views, flat_groups(d.rows as u64, 64), Cost::default())?;
        }
        Ok(())
    }
}
