//! What a look at the binary layers of a network in training found. docs/training.md says what each figure means.

use serde::{Deserialize, Serialize};

use super::series::number_or_null;

/// A look at all binary layers, at one step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Steps done.
    pub step: u64,
    /// Steps planned.
    pub of: u64,
    /// Passes over the training set so far, with their fraction.
    pub epoch: f64,
    /// Steps between the look before (or the beginning of the session) and this one.
    pub since: u64,
    /// The layers, in the order in which they compute.
    pub layers: Vec<LayerDiagnosis>,
    /// Advice that is new with this look: a sentence each.
    #[serde(default)]
    pub advice: Vec<String>,
}

/// What was found in one binary layer. Shares are in 0..=1.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LayerDiagnosis {
    /// The layer's name.
    pub layer: String,
    /// Its weights W.
    pub weights: u64,
    /// Share of the weights whose sign is another one than at the look before.
    #[serde(with = "number_or_null")]
    pub flipped: f64,
    /// Share of the weights with |W| below a tenth of the layer's mean |W|: the next to flip.
    #[serde(with = "number_or_null")]
    pub near_zero: f64,
    /// Share of the weights that are exactly 0.
    #[serde(with = "number_or_null")]
    pub zeros: f64,
    /// Mean W.
    #[serde(with = "number_or_null")]
    pub mean: f64,
    /// Mean |W|.
    #[serde(with = "number_or_null")]
    pub mean_abs: f64,
    /// Length of W as one vector.
    #[serde(with = "number_or_null")]
    pub norm: f64,
    /// Smallest W.
    #[serde(with = "number_or_null")]
    pub lowest: f64,
    /// Largest W.
    #[serde(with = "number_or_null")]
    pub highest: f64,
    /// Weights in each bin of W / mean |W|; see [`bin`].
    pub histogram: Vec<u64>,
    /// Length of the gradient of W in this step, before clipping.
    #[serde(with = "number_or_null")]
    pub gradient: f64,
    /// Values a channel of the map that the layer reads: pixels of all images that were counted.
    pub values: u64,
    /// Share of the values that the layer reads with |x| <= 1: inside the window in which gradients pass the sign.
    #[serde(with = "number_or_null")]
    pub inside: f64,
    /// Share of the channels that the layer reads whose sign is the same at every pixel of the batch.
    #[serde(with = "number_or_null")]
    pub constant_inputs: f64,
    /// The same of the channels that this layer puts out, as the next binary layer reads them, after batch norm and
    /// shortcut; none where no binary layer reads them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_outputs: Option<f64>,
}

impl LayerDiagnosis {
    /// The gradient's length by that of the weights.
    pub fn gradient_ratio(&self) -> f64 {
        self.gradient / self.norm
    }
}

impl Diagnosis {
    /// Share of the weights of all layers that flipped since the look before.
    pub fn flipped(&self) -> f64 {
        let weights: u64 = self.layers.iter().map(|l| l.weights).sum();
        self.layers.iter().map(|l| l.flipped * l.weights as f64).sum::<f64>() / weights as f64
    }
}

/// Bins of a histogram: one each side for what lies beyond [`REACH`].
pub const BINS: usize = 26;
/// The inner bins go from -REACH to REACH, in units of mean |W|.
pub const REACH: f64 = 3.0;
/// The width of an inner bin.
pub const WIDTH: f64 = 2.0 * REACH / (BINS - 2) as f64;

/// The bin of W / mean |W|. An edge belongs to the bin above it, so that 0 is where its sign, +1, is.
pub fn bin(value: f64) -> usize {
    // What is not a number has no sign either; it is counted in the first bin.
    ((value + REACH) / WIDTH + 1.0).floor().clamp(0.0, (BINS - 1) as f64) as usize
}

/// The upper edge of a bin but the last.
pub fn edge(bin: usize) -> f64 {
    bin as f64 * WIDTH - REACH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_meet_at_zero() {
        assert_eq!((bin(-1e-9), bin(0.0), bin(-0.0)), (BINS / 2 - 1, BINS / 2, BINS / 2));
        assert_eq!((bin(-1e30), bin(-3.01), bin(-3.0), bin(2.99), bin(3.0), bin(1e30)), (0, 0, 1, 24, 25, 25));
        assert_eq!((bin(f64::NAN), edge(0), edge(BINS / 2 - 1), edge(BINS - 2)), (0, -3.0, 0.0, 3.0));
        for i in 1..BINS - 1 {
            assert_eq!((bin(edge(i - 1)), bin(edge(i) - 1e-9)), (i, i));
        }
    }
}
