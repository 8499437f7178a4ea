//! Methods a user can type, each a combination of parts; every part can also be set by itself.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Error, Result};

/// What becomes of the body's convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Binarization {
    /// Float weights and activations.
    Float,
    /// BiDet's binary convolution: sign activations with the ApproxSign gradient, weights alpha * sign(W) with alpha
    /// differentiated, padding with -1, batch norm behind the convolution (docs/method.md, section 1).
    BiReal,
    /// XNOR-Net's: batch norm without affine, then sign with the straight-through gradient, then the convolution,
    /// padding with 0; latent weights mean-centred over the input channels and clamped before each forward pass
    /// (Rastegari et al., ECCV 2016; docs/method.md, section 1).
    Xnor,
}

/// How the information-bottleneck term measures the high-level maps (docs/method.md, section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InformationBottleneck {
    /// No term.
    None,
    /// The release's: mean square of the maps that the heads read.
    MeanSquare,
    /// Mean square of those maps in front of their batch norm, so that the gradient passes on.
    PreNorm,
    /// Kullback-Leibler divergence of sign bits, drawn with P(+1) = (a + 1) / 2, from fair coins.
    Bernoulli,
}

/// Which object prior is added to the loss (docs/method.md, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prior {
    /// None.
    None,
    /// Sparse object prior (Wang et al., BiDet, CVPR 2020).
    Sop,
    /// Class-aware: weights follow a moving average of the predicted positives of each class.
    CSop,
    /// Class-aware, weights from the image's own predicted positives.
    CSopImage,
    /// Class-aware, weights follow a moving average of predicted positives for each annotated object.
    CSopExcess,
}

/// Where each image's trade-off beta comes from (docs/method.md, section 4). The weight of the image's
/// information-bottleneck term is 1 / beta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beta {
    /// One number for all: 1 / `train.ib_weight`.
    Fixed,
    /// From s = D(G(f)), the discriminator's opinion of the image's reconstruction (automatic information compression).
    Gan,
    /// From s = the normalised distance between the image and a variational autoencoder's reconstruction.
    Vae,
    /// The same with s = 1 - distance.
    VaeReversed,
    /// s drawn uniformly from 0 to 1.
    Uniform,
    /// s drawn from Beta(1, 3).
    Beta13,
    /// s drawn from Beta(2, 2).
    Beta22,
    /// s drawn from Beta(3, 1).
    Beta31,
}

impl Beta {
    /// Whether a reconstructor is trained beside the detector.
    pub fn estimates(self) -> bool {
        matches!(self, Beta::Gan | Beta::Vae | Beta::VaeReversed)
    }
}

/// A training method: binarization and the extra terms of the loss. In a configuration file it is either one of the
/// names of [`Method::NAMED`] or a table of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Method {
    /// What becomes of the body's convolutions.
    pub binarization: Binarization,
    /// Whether a shortcut goes around every binary convolution.
    pub shortcut: bool,
    /// The information-bottleneck term.
    pub information_bottleneck: InformationBottleneck,
    /// The object prior.
    pub prior: Prior,
    /// The source of beta.
    pub beta: Beta,
}

impl Method {
    /// Names and their parts.
    pub const NAMED: [(&'static str, Method); 12] = {
        use Binarization::{BiReal, Float, Xnor};
        use InformationBottleneck::MeanSquare;
        const fn m(
            binarization: Binarization,
            shortcut: bool,
            information_bottleneck: InformationBottleneck,
            prior: Prior,
            beta: Beta,
        ) -> Method {
            Method { binarization, shortcut, information_bottleneck, prior, beta }
        }
        const NO_IB: InformationBottleneck = InformationBottleneck::None;
        [
            ("float", m(Float, true, NO_IB, Prior::None, Beta::Fixed)),
            ("xnor", m(Xnor, false, NO_IB, Prior::None, Beta::Fixed)),
            ("bireal", m(BiReal, true, NO_IB, Prior::None, Beta::Fixed)),
            ("bidet", m(Xnor, false, MeanSquare, Prior::Sop, Beta::Fixed)),
            ("bidet-sc", m(BiReal, true, MeanSquare, Prior::Sop, Beta::Fixed)),
            ("bireal+ib", m(BiReal, true, MeanSquare, Prior::None, Beta::Fixed)),
            ("bireal+sop", m(BiReal, true, NO_IB, Prior::Sop, Beta::Fixed)),
            ("bireal+aic", m(BiReal, true, MeanSquare, Prior::None, Beta::Gan)),
            ("bireal+csop", m(BiReal, true, NO_IB, Prior::CSop, Beta::Fixed)),
            ("autobidet", m(Xnor, false, MeanSquare, Prior::CSop, Beta::Gan)),
            ("autobidet-sc", m(BiReal, true, MeanSquare, Prior::CSop, Beta::Gan)),
            ("autobidet-sop", m(Xnor, false, MeanSquare, Prior::Sop, Beta::Gan)),
        ]
    };

    /// The method of a name of [`Method::NAMED`].
    pub fn named(name: &str) -> Option<Method> {
        Method::NAMED.iter().find(|(n, _)| *n == name).map(|(_, m)| *m)
    }

    fn names() -> String {
        Method::NAMED.map(|(n, _)| n).join(", ")
    }
}

impl Default for Method {
    /// `bidet-sc`.
    fn default() -> Method {
        Method {
            binarization: Binarization::BiReal,
            shortcut: true,
            information_bottleneck: InformationBottleneck::MeanSquare,
            prior: Prior::Sop,
            beta: Beta::Fixed,
        }
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Method, D::Error> {
        use serde::de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer};

        /// The parts, each of which may be left out.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Parts {
            binarization: Binarization,
            shortcut: Option<bool>,
            information_bottleneck: Option<InformationBottleneck>,
            prior: Option<Prior>,
            beta: Option<Beta>,
        }
        struct NameOrParts;
        impl<'de> Visitor<'de> for NameOrParts {
            type Value = Method;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a method's name ({}) or a table of its parts", Method::names())
            }
            fn visit_str<E: serde::de::Error>(self, s: &str) -> std::result::Result<Method, E> {
                Method::named(s).ok_or_else(|| {
                    E::custom(format!("there is no method {s:?}; give one of {}, or its parts", Method::names()))
                })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Method, A::Error> {
                let p = Parts::deserialize(MapAccessDeserializer::new(map)).map_err(A::Error::custom)?;
                Ok(Method {
                    binarization: p.binarization,
                    shortcut: p.shortcut.unwrap_or(p.binarization != Binarization::Xnor),
                    information_bottleneck: p.information_bottleneck.unwrap_or(InformationBottleneck::None),
                    prior: p.prior.unwrap_or(Prior::None),
                    beta: p.beta.unwrap_or(Beta::Fixed),
                })
            }
        }
        d.deserialize_any(NameOrParts)
    }
}

impl FromStr for Method {
    type Err = Error;
    fn from_str(s: &str) -> Result<Method> {
        Method::named(s)
            .ok_or_else(|| Error::config("--method", format!("is {s:?}"), format!("Give one of {}.", Method::names())))
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
