//! What is seen of the complexity estimator while it trains: means over each epoch, a picture of reconstructions, and
//! warnings when its opinion says nothing.

use std::collections::BTreeMap;

use image::RgbImage;

use super::EstimatorNetwork;
use super::network::TrainNetwork;
use super::trainer::Trainer;
use crate::Result;
use crate::data::PITCH;
use crate::plan::Executor;
use crate::report::events::{Complexity, Event, Spread};

/// A discriminator that is right more often than this has won: its opinion hardly depends on the image any more.
const SATURATED: f64 = 0.99;
/// s with a standard deviation under this is the same for all images.
const FLAT: f64 = 0.005;
/// Images in the picture of reconstructions.
const SHOWN: usize = 8;

/// Sums over the steps of an epoch that were looked at.
#[derive(Default)]
pub(super) struct ComplexityWatch {
    s: Vec<f64>,
    beta: Vec<f64>,
    absolute: Vec<f64>,
    square: Vec<f64>,
    judged: [u64; 2],
    losses: BTreeMap<String, (f64, u64)>,
    warned: [bool; 3],
    /// Whether the executor has run a step in this session: only then it holds reconstructions.
    ran: bool,
}

impl ComplexityWatch {
    /// Reads what the step left.
    pub(super) fn look(&mut self, e: &mut dyn Executor, net: &TrainNetwork) -> Result<()> {
        self.ran = true;
        let Some(betas) = &net.betas else { return Ok(()) };
        let mut read = |t| -> Result<Vec<f64>> { Ok(e.read_f32(t)?.into_iter().map(f64::from).collect()) };
        self.s.extend(read(betas.s)?);
        self.beta.extend(read(betas.beta)?);
        let Some(n) = &net.estimator else { return Ok(()) };
        for pair in read(n.errors)?.chunks_exact(2) {
            self.absolute.push(pair[0]);
            self.square.push(pair[1]);
        }
        for (k, t) in n.logits.iter().flatten().enumerate() {
            // Maps of one channel: a logit and three zeros an image. The first are of images, the second of fakes.
            let right = read(*t)?.iter().step_by(4).filter(|l| (k == 0) == (**l > 0.0)).count();
            self.judged[0] += right as u64;
            self.judged[1] += net.images as u64;
        }
        for (name, t) in &n.losses {
            let sum = self.losses.entry(name.to_string()).or_default();
            *sum = (sum.0 + read(*t)?[0], sum.1 + 1);
        }
        Ok(())
    }

    /// The epoch's event, and warnings of what has just become wrong; starts anew.
    fn take(&mut self, step: u64, epoch: f64, ready: bool) -> Option<(Complexity, Vec<String>)> {
        let s = Spread::of(&self.s)?;
        let beta = Spread::of(&self.beta)?;
        let mean = |v: &[f64]| (!v.is_empty()).then(|| v.iter().sum::<f64>() / v.len() as f64);
        let right = (self.judged[1] > 0).then(|| self.judged[0] as f64 / self.judged[1] as f64);
        let event = Complexity {
            step,
            epoch,
            s,
            beta,
            reconstruction: mean(&self.absolute),
            // Values from -1 to 1: the peak is 2.
            psnr: mean(&self.square).map(|m| 10.0 * (4.0 / m).log10()),
            discriminator_accuracy: right,
            losses: self.losses.iter().map(|(n, (sum, k))| (n.clone(), sum / *k as f64)).collect(),
        };
        let found = [
            right.filter(|r| ready && *r > SATURATED).map(|r| {
                format!(
                    "the discriminator is saturated: it tells {:.1} % of images and reconstructions apart (mean s {:.3}), \
                     so beta stays near its lower end. A lower aic.lr or a larger aic.lambda keeps the two in balance.",
                    100.0 * r,
                    s.mean
                )
            }),
            (ready && s.deviation < FLAT).then(|| {
                format!(
                    "s is {:.3} for every image (deviation {:.1e}): the estimator has collapsed, beta does not depend on \
                     the image.",
                    s.mean, s.deviation
                )
            }),
            event.reconstruction.filter(|r| !r.is_finite()).map(|_| {
                "the reconstructions are not finite; the estimator's updates are skipped, s is taken as 0.5."
                    .to_string()
            }),
        ];
        let warnings = found
            .into_iter()
            .enumerate()
            .filter_map(|(i, w)| w.filter(|_| !std::mem::replace(&mut self.warned[i], true)));
        let warnings = warnings.collect();
        *self = ComplexityWatch { warned: self.warned, ran: self.ran, ..Default::default() };
        Some((event, warnings))
    }
}

impl Trainer {
    /// Steps for which beta does not follow the estimator yet.
    pub(super) fn warm_up(&self, steps: u64) -> u64 {
        match (self.job.config.model.method.beta.estimates(), self.job.config.aic.warm_up) {
            (false, _) => 0,
            (true, 0) => (steps / 20).max(100),
            (true, n) => n,
        }
    }

    /// Tells what the estimator did in the epoch that ends with `step`.
    pub(super) fn tell_complexity(&mut self, step: u64, steps: u64) -> Result<()> {
        let epoch = step as f64 / self.steps_per_epoch() as f64;
        let ready = step > self.warm_up(steps);
        let estimates = self.net.estimator.is_some();
        let Some((event, warnings)) = self.complexity.take(step, epoch, ready && estimates) else { return Ok(()) };
        self.tell(Event::Complexity(event))?;
        warnings.into_iter().try_for_each(|message| self.tell(Event::Warning { message }))
    }

    /// Writes the picture of the last batch's first images (above) and their reconstructions (below).
    pub(super) fn save_reconstructions(&mut self) -> Result<()> {
        let Some(n) = self.net.estimator.clone().filter(|_| self.complexity.ran) else { return Ok(()) };
        let picture = strip(self.executor.as_mut(), &n)?;
        let path = self.job.folder.reconstructions();
        let mut png = std::io::Cursor::new(Vec::new());
        picture
            .write_to(&mut png, image::ImageFormat::Png)
            .map_err(|e| crate::Error::format(&path, format!("cannot be written as PNG: {e}"), "Check its size."))?;
        crate::weights::write_atomically(&path, png.get_ref())
    }
}

fn strip(e: &mut dyn Executor, n: &EstimatorNetwork) -> Result<RgbImage> {
    let side = n.complexity.image();
    let one = side as usize * side as usize * PITCH;
    let rows = [e.read_f32(n.images)?, e.read_f32(n.reconstructions)?];
    let shown = (rows[0].len() / one).min(SHOWN);
    let gap = 2;
    let mut out = RgbImage::from_pixel((side + gap) * shown as u32 - gap, 2 * side + gap, image::Rgb([128; 3]));
    for (r, row) in rows.iter().enumerate() {
        for (k, image) in row.chunks_exact(one).take(shown).enumerate() {
            for (p, v) in image.chunks_exact(PITCH).enumerate() {
                let at = (p as u32 % side + k as u32 * (side + gap), p as u32 / side + r as u32 * (side + gap));
                let byte = |v: f32| ((v + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
                out.put_pixel(at.0, at.1, image::Rgb([byte(v[0]), byte(v[1]), byte(v[2])]));
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn watch(s: [f64; 2], right: u64) -> ComplexityWatch {
        ComplexityWatch {
            s: s.to_vec(),
            beta: vec![10.0, 12.0],
            absolute: vec![0.2; 2],
            square: vec![0.04; 2],
            judged: [right, 1000],
            ..Default::default()
        }
    }

    #[test]
    fn an_epoch_is_summed_up() {
        let (event, warnings) = watch([0.4, 0.6], 700).take(30, 2.0, true).unwrap();
        assert_eq!((event.s.mean, event.s.low, event.s.high, event.beta.mean), (0.5, 0.4, 0.6, 11.0));
        assert!((event.psnr.unwrap() - 20.0).abs() < 1e-9 && event.discriminator_accuracy == Some(0.7));
        assert!(warnings.is_empty(), "{warnings:?}");
        assert!(ComplexityWatch::default().take(30, 2.0, true).is_none(), "nothing was looked at");
    }

    #[test]
    fn an_estimator_without_an_opinion_is_told_once() {
        let told = |w: &mut ComplexityWatch, ready| w.take(30, 2.0, ready).unwrap().1;
        let mut saturated = watch([0.01, 0.3], 995);
        assert!(told(&mut watch([0.01, 0.3], 995), false).is_empty(), "it may still be learning");
        assert!(told(&mut saturated, true)[0].contains("saturated"));
        let mut again = ComplexityWatch { warned: saturated.warned, ..watch([0.01, 0.3], 995) };
        assert!(told(&mut again, true).is_empty());
        let collapsed = told(&mut watch([0.5, 0.501], 500), true);
        assert!(collapsed.len() == 1 && collapsed[0].contains("collapsed"), "{collapsed:?}");
    }
}
