//! What a training executor is given: first weights, the step's scalars, a batch.

use super::{Targets, TrainNetwork};
use crate::Result;
use crate::ops::hyper;
use crate::plan::Executor;

/// Writes first weights from the seed, and first optimizer states.
pub fn first_weights(e: &mut dyn Executor, net: &TrainNetwork, seed: u32) -> Result<()> {
    for p in e.plan().params.clone() {
        let info = e.plan().info(p.tensor).clone();
        let first = p.initial(info.shape, seed);
        let arrays: Vec<&[f32]> = first.iter().map(|a| a.as_slice()).collect();
        e.write(p.tensor, &p.to_engine(&info, &arrays)?)?;
    }
    for t in net.optimizer.moments.iter().chain([&net.optimizer.step]) {
        let info = e.plan().info(*t);
        let data = match &info.data {
            Some(d) => d.to_vec(),
            None => vec![0; (info.bytes() / 4) as usize],
        };
        e.write(*t, &data)?;
    }
    Ok(())
}

/// The scalars of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scalars {
    /// Learning rate.
    pub lr: f32,
    /// Weight of the information-bottleneck term.
    pub ib_weight: f32,
    /// Weight of the object prior.
    pub sop_weight: f32,
    /// Largest gradient norm, 0 for none.
    pub clip_norm: f32,
    /// Scale of the location noise.
    pub noise: f32,
    /// The run's seed.
    pub seed: u32,
    /// Which step (or part of a step) this is, for the noise.
    pub step: u32,
    /// What gradients are multiplied by.
    pub gradient_scale: f32,
}

impl Scalars {
    /// As the hyper tensor's words.
    pub fn words(&self) -> Vec<u32> {
        let mut h = vec![0u32; hyper::LEN as usize];
        for (place, v) in [
            (hyper::LR, self.lr),
            (hyper::IB_WEIGHT, self.ib_weight),
            (hyper::SOP_WEIGHT, self.sop_weight),
            (hyper::CLIP_NORM, self.clip_norm),
            (hyper::NOISE, self.noise),
            (hyper::GRADIENT_SCALE, self.gradient_scale),
        ] {
            h[place as usize] = v.to_bits();
        }
        h[hyper::SEED as usize] = self.seed;
        h[hyper::STEP as usize] = self.step;
        h
    }
}

/// Writes scalars, images (n * size * size * 4 floats) and targets (n of them, n being the plan's batch).
pub fn feed(
    e: &mut dyn Executor,
    net: &TrainNetwork,
    scalars: &Scalars,
    images: &[f32],
    targets: &[Targets],
) -> Result<()> {
    e.write(net.hyper, &scalars.words())?;
    e.write_f32(net.network.images, images)?;
    let loc: Vec<f32> = targets.iter().flat_map(|t| t.loc.iter().copied()).collect();
    let conf: Vec<u32> = targets.iter().flat_map(|t| t.conf.iter().map(|c| *c as u32)).collect();
    e.write_f32(net.loc_targets, &loc)?;
    e.write(net.conf_targets, &conf)?;
    if let Some(c) = net.counts {
        let counts: Vec<u32> = targets.iter().flat_map(|t| t.counts.iter().copied()).collect();
        e.write(c, &counts)?;
    }
    Ok(())
}
