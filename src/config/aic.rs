//! Automatic information compression: how an image's complexity is estimated and becomes its beta.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// From s in 0..=1 to beta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transform {
    /// beta = delta + theta s.
    Linear,
    /// beta = delta + theta exp(s).
    Exponential,
    /// beta = delta + theta sin(s), s in radians.
    Sine,
}

impl Transform {
    /// delta and theta where none are given: 10 and 5, or for the exponential 7.5 and 2.5, which has nearly the sine's
    /// range (10 to 14.3; docs/method.md, section 4).
    pub fn constants(self) -> [f32; 2] {
        match self {
            Transform::Linear | Transform::Sine => [10.0, 5.0],
            Transform::Exponential => [7.5, 2.5],
        }
    }

    /// beta of s.
    pub fn beta(self, [delta, theta]: [f32; 2], s: f32) -> f32 {
        match self {
            Transform::Linear => delta + theta * s,
            Transform::Exponential => delta + theta * s.exp(),
            Transform::Sine => delta + theta * s.sin(),
        }
    }
}

/// Settings of the complexity estimator; used by methods whose [`super::Beta`] is not fixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AicConfig {
    /// The transform.
    pub transform: Transform,
    /// Its offset; 0: the transform's own.
    pub delta: f32,
    /// Its gain; 0: the transform's own.
    pub theta: f32,
    /// Which map is reconstructed from: an index into the maps that the heads read; negative: the end of the base
    /// network (SSD300: conv7, index 1; tiny: the 20-cell map, index 0).
    pub feature: i32,
    /// Weight of the absolute difference in the reconstructor's loss; 0 is the plain GAN.
    pub lambda: f32,
    /// Learning rate of reconstructor and discriminator (Adam, betas 0.5 and 0.999).
    pub lr: f64,
    /// Weight of the divergence term of the variational autoencoder.
    pub vae_beta: f32,
    /// Steps for which beta stays at 1 / `train.ib_weight` while the estimator learns; 0: 100 or a twentieth of the
    /// run, whichever is more.
    pub warm_up: u64,
}

impl Default for AicConfig {
    fn default() -> Self {
        AicConfig {
            transform: Transform::Sine,
            delta: 0.0,
            theta: 0.0,
            feature: -1,
            lambda: 10.0,
            lr: 2e-4,
            vae_beta: 1.0,
            warm_up: 0,
        }
    }
}

impl AicConfig {
    /// delta and theta.
    pub fn constants(&self) -> [f32; 2] {
        let [delta, theta] = self.transform.constants();
        let or = |v: f32, own: f32| if v == 0.0 { own } else { v };
        [or(self.delta, delta), or(self.theta, theta)]
    }

    /// Looks for impossible values; a beta that is not above 0 for every s is one.
    pub fn check(&self) -> Result<()> {
        for (key, v, low, high) in [
            ("aic.delta", self.delta as f64, -1e6, 1e6),
            ("aic.theta", self.theta as f64, -1e6, 1e6),
            ("aic.lambda", self.lambda as f64, 0.0, 1e6),
            ("aic.lr", self.lr, 0.0, 1.0),
            ("aic.vae_beta", self.vae_beta as f64, 0.0, 1e6),
        ] {
            if !(v >= low && v <= high) {
                let remedy = "Change it in the file or by its flag.";
                return Err(Error::config(key, format!("is {v}, expected {low} to {high}"), remedy));
            }
        }
        // All three transforms are monotonic in s from 0 to 1.
        let ends = [0.0, 1.0].map(|s| self.transform.beta(self.constants(), s));
        if let Some(beta) = ends.into_iter().find(|b| *b < 1e-3) {
            return Err(Error::config(
                "aic.delta",
                format!("gives a beta of {beta} for some image, expected more than 0 (its weight is 1 / beta)"),
                "Choose aic.delta and aic.theta so that beta is positive for every s from 0 to 1.",
            ));
        }
        Ok(())
    }
}
