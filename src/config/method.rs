//! Methods a user can type, each a combination of parts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What becomes of the body's convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Binarization {
    /// Float weights and activations.
    Float,
    /// Sign activations with the ApproxSign gradient, weights alpha * sign(W), a shortcut around every convolution
    /// (Liu et al., Bi-Real Net, ECCV 2018; docs/method.md, section 1).
    BiReal,
}

/// Which object prior is added to the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prior {
    /// None.
    None,
    /// Sparse object prior (Wang et al., BiDet, CVPR 2020).
    Sop,
}

/// A training method: binarization and the extra terms of the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// What becomes of the body's convolutions.
    pub binarization: Binarization,
    /// Whether the information-bottleneck term is added.
    pub information_bottleneck: bool,
    /// Which object prior is added.
    pub prior: Prior,
}

impl Method {
    /// Names and their parts.
    pub const NAMED: [(&'static str, Method); 5] = {
        const fn m(binarization: Binarization, information_bottleneck: bool, prior: Prior) -> Method {
            Method { binarization, information_bottleneck, prior }
        }
        [
            ("float", m(Binarization::Float, false, Prior::None)),
            ("bireal", m(Binarization::BiReal, false, Prior::None)),
            ("bireal+ib", m(Binarization::BiReal, true, Prior::None)),
            ("bireal+sop", m(Binarization::BiReal, false, Prior::Sop)),
            ("bidet-sc", m(Binarization::BiReal, true, Prior::Sop)),
        ]
    };
}

impl FromStr for Method {
    type Err = Error;
    fn from_str(s: &str) -> Result<Method> {
        Method::NAMED.iter().find(|(n, _)| *n == s).map(|(_, m)| *m).ok_or_else(|| {
            let names: Vec<_> = Method::NAMED.iter().map(|(n, _)| *n).collect();
            Error::config("--method", format!("is {s:?}"), format!("Give one of {}.", names.join(", ")))
        })
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Method::NAMED.iter().find(|(_, m)| m == self) {
            Some((n, _)) => f.write_str(n),
            None => write!(f, "{self:?}"),
        }
    }
}
