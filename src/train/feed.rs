//! What a training executor is given: first weights, the step's scalars, a batch.

use super::{Targets, Timetable, TrainNetwork};
use crate::Result;
use crate::config::RunConfig;
use crate::ops::hyper;
use crate::plan::{Executor, Plan, Role, TensorId};

/// Writes first weights from the seed, and the first value of every other state.
pub fn first_weights(e: &mut dyn Executor, seed: u32) -> Result<()> {
    for p in e.plan().params.clone() {
        let info = e.plan().info(p.tensor).clone();
        let first = p.initial(info.shape, seed);
        let arrays: Vec<&[f32]> = first.iter().map(|a| a.as_slice()).collect();
        e.write(p.tensor, &p.to_engine(&info, &arrays)?)?;
    }
    for t in other_state(e.plan()) {
        let info = e.plan().info(t);
        let data = match &info.data {
            Some(d) => d.to_vec(),
            None => vec![0; (info.bytes() / 4) as usize],
        };
        e.write(t, &data)?;
    }
    Ok(())
}

/// What a plan keeps between steps beside its parameters: optimizer moments, counters, moving averages.
pub(super) fn other_state(plan: &Plan) -> Vec<TensorId> {
    let is_param = |t: TensorId| plan.params.iter().any(|p| p.tensor == t);
    (0..plan.tensors.len() as u32)
        .map(TensorId)
        .filter(|t| {
            let info = plan.info(*t);
            info.role == Role::State && !info.name.starts_with("slab.") && !is_param(*t)
        })
        .collect()
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
    /// Whether beta follows the complexity estimator yet.
    pub beta_ready: bool,
    /// Learning rate of the complexity estimator.
    pub estimator_lr: f32,
}

impl Default for Scalars {
    /// Those of a first step as the configuration's defaults have them, with all terms on.
    fn default() -> Self {
        Scalars {
            lr: 1e-3,
            ib_weight: 0.1,
            sop_weight: 0.2,
            clip_norm: 5.0,
            noise: 0.001,
            seed: 1,
            step: 0,
            gradient_scale: 1.0,
            beta_ready: true,
            estimator_lr: 2e-4,
        }
    }
}

impl Scalars {
    /// Those of a 0-based step.
    pub fn of_step(config: &RunConfig, net: &TrainNetwork, table: &Timetable, step: u64) -> Scalars {
        let t = &config.train;
        let extra = table.extra(step);
        Scalars {
            lr: table.lr(step) as f32,
            // With a beta for each image the term itself is divided by it.
            ib_weight: match (extra, net.betas.is_some()) {
                (false, _) => 0.0,
                (true, false) => t.ib_weight,
                (true, true) => 1.0,
            },
            sop_weight: if extra { t.sop_weight } else { 0.0 },
            clip_norm: t.clip_norm,
            noise: t.location_noise,
            seed: t.seed,
            step: step as u32,
            gradient_scale: 1.0,
            beta_ready: true,
            estimator_lr: config.aic.lr as f32,
        }
    }

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
            (hyper::BETA_READY, self.beta_ready as u32 as f32),
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
    if let Some(n) = &net.estimator {
        let own = Scalars { lr: scalars.estimator_lr, clip_norm: 0.0, gradient_scale: 1.0, ..*scalars };
        e.write(n.hyper, &own.words())?;
        let one = n.preprocess.floats();
        let small = images.chunks_exact(one).flat_map(|i| n.preprocess.in_small(i, n.complexity.image()));
        e.write_f32(n.images, &small.collect::<Vec<f32>>())?;
    }
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
