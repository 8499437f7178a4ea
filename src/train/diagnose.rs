//! Looks at the binary layers of a network in training: which signs flip, where latent weights lie, whether gradients
//! pass. A look reads and never writes, so training is the same to the bit with any number of looks.

use std::collections::BTreeSet;

use crate::Result;
use crate::models::DETECTOR;
use crate::ops::activation_census::census_name;
use crate::plan::{Executor, Plan, TensorId, TensorInfo, round4};
use crate::report::advice::{Rule, advice};
use crate::report::diagnosis::{BINS, Diagnosis, LayerDiagnosis, bin};

/// Looks of a run, unless the configuration says how often.
const LOOKS: u64 = 20;

/// A binary layer of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BinaryLayer {
    name: String,
    /// The latent weights.
    weights: TensorId,
    /// Their place among the group's parameters.
    place: usize,
    /// The counts of the map it reads.
    census: TensorId,
    /// Values a channel of that map: images times pixels.
    values: u64,
    /// The layer whose convolution made that map, up to a batch norm, a shortcut and the like.
    maker: Option<String>,
}

/// The binary layers of a training plan, in the order in which they compute.
fn binary_layers(plan: &Plan) -> Result<Vec<BinaryLayer>> {
    let learned: Vec<TensorId> =
        plan.params.iter().filter(|p| p.learned && p.group == DETECTOR).map(|p| p.tensor).collect();
    let mut layers = Vec::new();
    for l in plan.layers.iter().filter(|l| l.op == "binary_conv2d") {
        let &[x, weights] = &l.inputs[..] else { continue };
        let Some(place) = learned.iter().position(|t| *t == weights) else { continue };
        layers.push(BinaryLayer {
            name: l.label.clone(),
            weights,
            place,
            census: plan.tensor(&census_name(&l.label))?,
            values: l.input.pixels(),
            maker: maker(plan, x),
        });
    }
    Ok(layers)
}

/// The binary convolution that made `map`: the first one up the chain of first inputs, if it comes before any float one.
fn maker(plan: &Plan, mut map: TensorId) -> Option<String> {
    loop {
        let made_by = plan.layers.iter().find(|l| l.outputs.contains(&map))?;
        match made_by.op {
            "binary_conv2d" => return Some(made_by.label.clone()),
            "conv2d" | "linear" => return None,
            _ => map = *made_by.inputs.first()?,
        }
    }
}

/// When the next looks are due, and what the one before saw.
pub(super) struct Looks {
    layers: Vec<BinaryLayer>,
    /// Steps between looks; none: never.
    every: Option<u64>,
    /// Sign bits of each layer's weights at the look before.
    signs: Vec<Vec<u64>>,
    before: Option<Diagnosis>,
    last: u64,
    told: BTreeSet<Rule>,
}

/// Where a run stands at a look.
pub(super) struct Moment {
    pub(super) step: u64,
    pub(super) of: u64,
    pub(super) per_epoch: u64,
    /// Sums of squares of the gradient of each parameter of the group, and what the gradient is multiplied by.
    pub(super) squares: TensorId,
    pub(super) gradient_scale: f64,
}

impl Looks {
    /// Begins at `step` of `of`. `every` is the configuration's: steps; 0 for once an epoch, but at most [`LOOKS`] times
    /// a run; negative for never.
    pub(super) fn begin(e: &mut dyn Executor, every: i64, step: u64, of: u64, per_epoch: u64) -> Result<Looks> {
        let layers = binary_layers(e.plan())?;
        let every = match u64::try_from(every) {
            Ok(_) if layers.is_empty() => None,
            Ok(0) => Some(per_epoch.max(of.div_ceil(LOOKS)).max(1)),
            Ok(every) => Some(every),
            Err(_) => None,
        };
        let mut signs = Vec::new();
        if every.is_some() {
            for l in &layers {
                let words = e.read(l.weights)?;
                signs.push(sign_bits(e.plan().info(l.weights), &words));
            }
        }
        Ok(Looks { layers, every, signs, before: None, last: step, told: BTreeSet::new() })
    }

    /// Whether step number `step` (1 is the first) of `of` is looked at.
    pub(super) fn due(&self, step: u64, of: u64) -> bool {
        self.every.is_some_and(|every| step == of || step.is_multiple_of(every))
    }

    /// Looks, right after a step that ran with the census.
    pub(super) fn look(&mut self, e: &mut dyn Executor, at: &Moment) -> Result<Diagnosis> {
        let squares = e.read_f32(at.squares)?;
        let mut layers = Vec::new();
        for (l, signs) in self.layers.iter().zip(&mut self.signs) {
            let words = e.read(l.weights)?;
            let info = e.plan().info(l.weights);
            let mut d = latent(info, &words);
            let now = sign_bits(info, &words);
            let flips: u32 = signs.iter().zip(&now).map(|(a, b)| (a ^ b).count_ones()).sum();
            d.flipped = flips as f64 / d.weights as f64;
            *signs = now;
            d.layer = l.name.clone();
            d.gradient = (squares.get(l.place).copied().unwrap_or(f32::NAN) as f64).sqrt() * at.gradient_scale;
            let counts = e.read(l.census)?;
            let (positive, inside) = counts.split_at(counts.len() / 2);
            let channels = positive.len() as f64;
            d.values = l.values;
            d.inside = inside.iter().map(|n| *n as f64).sum::<f64>() / (channels * l.values as f64);
            let constant = positive.iter().filter(|n| **n == 0 || **n as u64 == l.values).count();
            d.constant_inputs = constant as f64 / channels;
            layers.push(d);
        }
        for (l, made) in self.layers.iter().enumerate().filter_map(|(i, l)| Some((i, l.maker.as_ref()?))) {
            let constant = layers[l].constant_inputs;
            if let Some(maker) = layers.iter_mut().find(|d| d.layer == *made) {
                maker.dead_outputs.get_or_insert(constant);
            }
        }
        let mut now = Diagnosis {
            step: at.step,
            of: at.of,
            epoch: at.step as f64 / at.per_epoch as f64,
            since: at.step - std::mem::replace(&mut self.last, at.step),
            layers,
            advice: Vec::new(),
        };
        let new = advice(self.before.as_ref(), &now).into_iter().filter(|a| self.told.insert(a.rule));
        now.advice = new.map(|a| a.message).collect();
        self.before = Some(now.clone());
        Ok(now)
    }
}

/// The weights of a [`crate::plan::Format::Weight`] tensor without its padding, in memory order.
fn weights<'a>(info: &TensorInfo, words: &'a [u32]) -> impl Iterator<Item = f32> + 'a {
    let (inputs, outputs) = (info.shape.w as usize, info.shape.c as usize);
    let rows = words.chunks_exact(round4(info.shape.c) as usize).enumerate();
    let pitch = round4(info.shape.w) as usize;
    let rows = rows.filter(move |(row, _)| row % pitch < inputs);
    rows.flat_map(move |(_, row)| row[..outputs].iter().map(|w| f32::from_bits(*w)))
}

/// One bit a weight, 1 where the binary weight is -1.
fn sign_bits(info: &TensorInfo, words: &[u32]) -> Vec<u64> {
    let mut bits = vec![0u64; (info.shape.len() as usize).div_ceil(64)];
    for (i, w) in weights(info, words).enumerate() {
        bits[i / 64] |= u64::from(w < 0.0) << (i % 64);
    }
    bits
}

/// What latent weights alone tell.
fn latent(info: &TensorInfo, words: &[u32]) -> LayerDiagnosis {
    let count = info.shape.len();
    let (mut sum, mut absolute, mut squares) = (0f64, 0f64, 0f64);
    let (mut lowest, mut highest) = (f32::INFINITY, f32::NEG_INFINITY);
    for w in weights(info, words) {
        sum += w as f64;
        absolute += w.abs() as f64;
        squares += (w as f64).powi(2);
        (lowest, highest) = (lowest.min(w), highest.max(w));
    }
    let mean_abs = absolute / count as f64;
    let (mut zeros, mut near) = (0u64, 0u64);
    let mut histogram = vec![0u64; BINS];
    let unit = if mean_abs > 0.0 { mean_abs } else { 1.0 };
    for w in weights(info, words) {
        let value = w as f64 / unit;
        zeros += u64::from(w == 0.0);
        near += u64::from(value.abs() < 0.1);
        histogram[bin(value)] += 1;
    }
    LayerDiagnosis {
        weights: count,
        near_zero: near as f64 / count as f64,
        zeros: zeros as f64 / count as f64,
        mean: sum / count as f64,
        mean_abs,
        norm: squares.sqrt(),
        lowest: lowest as f64,
        highest: highest as f64,
        histogram,
        ..LayerDiagnosis::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Format, Role, Shape};

    /// Weights of 2 inputs and 3 outputs, a 1x1 kernel: two rows of four with one lane of padding, two rows of padding.
    fn info() -> TensorInfo {
        TensorInfo {
            name: "w".into(),
            shape: Shape::new(1, 1, 2, 3),
            format: Format::Weight,
            role: Role::Param,
            sliced: false,
            requires_grad: true,
            data: None,
        }
    }

    #[test]
    fn padding_is_no_weight() {
        let values = [[1.0f32, -2.0, 0.0, 7.0], [-0.01, 0.5, -0.0, 7.0], [7.0; 4], [7.0; 4]];
        let words: Vec<u32> = values.iter().flatten().map(|v| v.to_bits()).collect();
        let d = latent(&info(), &words);
        assert_eq!((d.weights, d.lowest, d.highest), (6, -2.0, 1.0));
        assert!((d.mean_abs - 3.51 / 6.0).abs() < 1e-7 && (d.mean + 0.51 / 6.0).abs() < 1e-7, "{d:?}");
        assert!((d.norm - (5.2501f64).sqrt()).abs() < 1e-6);
        assert_eq!((d.zeros, d.near_zero), (2.0 / 6.0, 3.0 / 6.0));
        assert_eq!(d.histogram.iter().sum::<u64>(), 6);
        // -2 / 0.585 is beyond three, -0.01 just below zero; both zeros are +1.
        assert_eq!((d.histogram[0], d.histogram[BINS / 2 - 1], d.histogram[BINS / 2]), (1, 1, 2));
        assert_eq!(sign_bits(&info(), &words), [0b001010]);
    }

    #[test]
    fn weights_that_are_all_zero_have_a_histogram() {
        let d = latent(&info(), &[0; 16]);
        assert_eq!((d.zeros, d.mean_abs, d.histogram[BINS / 2]), (1.0, 0.0, 6));
    }
}
