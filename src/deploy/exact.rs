//! From a network in floats to one in integers: 8-bit weights and inputs for its real convolutions, fixed point for
//! everything between.

use std::collections::BTreeMap;

use super::Precision;
use super::file::Numbers;
use super::fold::{Dense, Folded, Signs};
use super::program::{Kind, Program};
use crate::data::Normalization;
use crate::ops::fixed_l2_norm::fixed_l2_weight;
use crate::weights::FileTensor;
use crate::{Error, Result};

/// What calibration has seen of a value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// The largest magnitude.
    pub largest: f32,
    /// Some of its numbers.
    pub sample: Vec<f32>,
}

/// The most fraction bits: finer than the floats they stand for.
const FRACTION: u32 = 16;
/// Numbers stay below 2^28, so that neither a sum nor the scaling before it can pass 31 bits.
const BITS: f64 = 28.0;

/// The multiplier and exponent with value = mul / 2^s, |mul| < 2^15.
fn multiplier(value: f64) -> (i32, i32) {
    if value == 0.0 {
        return (0, 0);
    }
    let mut s = 14 - value.abs().log2().floor() as i32;
    let at = |s: i32| (value * 2f64.powi(s)).round();
    if at(s).abs() >= 32768.0 {
        s -= 1;
    }
    // Anything smaller is 0 in fixed point.
    if s > 46 { (0, 0) } else { (at(s) as i32, s) }
}

/// The step of bytes of numbers like these, between -127 and 127 (or, where none is negative, in 255 steps): the one with
/// the least mean square error.
fn step(seen: &Seen, positive: bool) -> f64 {
    let steps = if positive { 255.0 } else { 127.0 };
    let largest = (seen.largest as f64).max(1e-6);
    let error = |step: f64| -> f64 {
        let one = |x: &f32| {
            let x = *x as f64;
            let q = (x / step).round().clamp(if positive { 0.0 } else { -steps }, steps);
            (x - q * step).powi(2)
        };
        seen.sample.iter().map(one).sum()
    };
    let candidates = (5..=20).map(|i| largest * i as f64 / 20.0 / steps);
    candidates.min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap_or(largest / steps)
}

/// An array of i32.
fn integers(shape: Vec<usize>, values: impl IntoIterator<Item = i32>) -> FileTensor {
    FileTensor::integers(shape, values.into_iter().map(|v| v as u32).collect())
}

/// Step and zero of each value that is read as bytes.
#[derive(Debug, Clone, Copy)]
struct Grid {
    step: f64,
    zero: i32,
}

struct Exact<'a> {
    program: &'a Program,
    tensors: BTreeMap<String, FileTensor>,
    grids: Vec<Option<Grid>>,
}

/// The numbers of [`Precision::Exact`]. `seen` has, for each value that a real convolution or an L2 norm reads, what
/// calibration saw.
///
/// # Errors
/// A network with real convolutions in its body, or numbers that no fixed point of 31 bits holds.
pub fn exact(
    program: &Program,
    folded: &[Folded],
    normalization: Normalization,
    seen: &[Option<Seen>],
) -> Result<Numbers> {
    let refuse = |what: String, why: &str| Error::shape(what, "a network that can run in integers", why.to_string());
    let mut e = Exact { program, tensors: BTreeMap::new(), grids: vec![None; program.values.len()] };
    for (i, v) in program.values.iter().enumerate().skip(1).filter(|(_, v)| v.conv) {
        let seen = seen[i].as_ref().ok_or_else(|| refuse(v.name.clone(), "its range was not taken"))?;
        let zero = if v.positive { -128 } else { 0 };
        e.grids[i] = Some(Grid { step: step(seen, v.positive), zero });
    }
    let fraction = |bound: f64| (BITS - bound.max(1.0).log2()).floor().min(FRACTION as f64);
    // A map that was all but zero in calibration must not pass 30 bits on another image, whatever it holds there: a step of
    // its bytes is at least one of the fixed point. Larger steps mean larger bounds, until both stand.
    let (body, heads) = loop {
        let (bound, heads) = e.bounds(folded, normalization)?;
        let body = fraction(bound);
        if body < 8.0 {
            return Err(refuse(format!("numbers up to {bound:.0}"), "they leave too few bits for a fraction"));
        }
        let least = 2f64.powi(-(body as i32));
        let small: Vec<&mut Grid> = e.grids.iter_mut().flatten().filter(|g| g.step < least).collect();
        if small.is_empty() {
            break (body, heads);
        }
        small.into_iter().for_each(|g| g.step = least);
    };
    let mut head_fractions = Vec::new();
    for (h, bound) in program.heads.iter().zip(&heads) {
        let bits = fraction(*bound);
        if bits < 4.0 {
            let name = program.values[h.value].name.clone();
            return Err(refuse(format!("{name}, numbers up to {bound:.0}"), "they leave too few bits for a fraction"));
        }
        head_fractions.push(bits as u32);
    }
    for (i, stage) in program.stages.iter().enumerate() {
        let head = program.heads.iter().position(|h| h.value == stage.y);
        let one = 2f64.powi(head.map_or(body as u32, |h| head_fractions[h]) as i32);
        match &folded[i] {
            Folded::Signs(s) => e.signs(&stage.name, s, one),
            Folded::Dense(d) if stage.x == 0 => e.first(&stage.name, d, normalization, one),
            Folded::Dense(d) => e.dense(&stage.name, d, stage.x, one)?,
            Folded::Lengths(lengths) => {
                let grid = e.grids[stage.y].ok_or_else(|| refuse(stage.name.clone(), "nothing reads it"))?;
                let largest = seen[stage.x].as_ref().map_or(1.0, |s| s.largest as f64).max(1e-3) * one;
                // The largest number in 11 bits.
                let shift = (largest.log2() - 10.99).ceil().clamp(0.0, 20.0) as i32;
                let weights = lengths.iter().map(|w| fixed_l2_weight(*w as f64 / grid.step));
                e.tensors.insert(format!("{}.weight", stage.name), integers(vec![lengths.len()], weights));
                e.tensors.insert(format!("{}.shift", stage.name), integers(vec![1], [shift]));
            }
            Folded::None => {}
        }
    }
    // What is made bytes by a quantizer, and not by an L2 norm itself.
    for (i, v) in program.values.iter().enumerate().skip(1) {
        let normed = program.stages.iter().any(|s| s.y == i && matches!(s.kind, Kind::L2Norm { .. }));
        if let (Some(g), false) = (e.grids[i], normed) {
            let (mul, s) = multiplier(1.0 / (g.step * 2f64.powi(body as i32)));
            e.tensors.insert(format!("{}.bytes", v.name), integers(vec![3], [mul, s, g.zero]));
        }
    }
    Ok(Numbers {
        precision: Precision::Exact,
        tensors: e.tensors,
        fraction: body as u32,
        head_fractions,
        path: Default::default(),
    })
}

impl Exact<'_> {
    /// The largest numbers that the body, and each head, can reach on any image: no clipping is ever needed.
    fn bounds(&self, folded: &[Folded], normalization: Normalization) -> Result<(f64, Vec<f64>)> {
        let mut bound = vec![0f64; self.program.values.len()];
        let image = (0..3).fold(0f64, |m, c| {
            let (mean, scale) = (normalization.mean()[c] as f64, normalization.scale()[c] as f64);
            m.max(scale * mean.max(255.0 - mean))
        });
        let (mut body, mut heads) = (0f64, vec![0f64; self.program.heads.len()]);
        for (i, stage) in self.program.stages.iter().enumerate() {
            let shortcut = match &stage.kind {
                Kind::Binary { residual: Some(r), .. } => bound[*r],
                _ => 0.0,
            };
            let own = match &folded[i] {
                Folded::Signs(s) => {
                    let most = (s.channels * s.shape[0] * s.shape[1]) as f64;
                    let each = s.scale.iter().zip(&s.shift).map(|(a, b)| a.abs() * most + b.abs());
                    let threshold = s.threshold.iter().flatten().fold(0f64, |m, t| m.max(t.abs()));
                    body = body.max(threshold);
                    each.fold(0.0, f64::max)
                }
                Folded::Dense(d) => {
                    let input = match (stage.x, self.grids[stage.x]) {
                        (0, _) => image,
                        (_, Some(g)) => 255.0 * g.step,
                        (_, None) => 0.0,
                    };
                    let sums = d.weight.chunks_exact(d.weight.len() / d.bias.len().max(1));
                    // A weight in bytes is up to half a step larger.
                    let sum = |w: &[f32]| {
                        let largest = w.iter().fold(0f64, |m, v| m.max(v.abs() as f64));
                        w.iter().map(|v| v.abs() as f64).sum::<f64>() + w.len() as f64 * largest / 254.0
                    };
                    sums.zip(&d.bias).map(|(w, b)| sum(w) * input + b.abs()).fold(0.0, f64::max)
                }
                Folded::Lengths(_) => 0.0,
                Folded::None => bound[stage.x],
            };
            bound[stage.y] = own + shortcut;
            match self.program.heads.iter().position(|h| h.value == stage.y) {
                Some(h) => heads[h] = bound[stage.y],
                None => body = body.max(bound[stage.y]),
            }
        }
        if !body.is_finite() || heads.iter().any(|h| !h.is_finite()) {
            return Err(Error::shape("weights", "finite numbers", "some that are not"));
        }
        Ok((body, heads))
    }

    fn signs(&mut self, name: &str, s: &Signs, one: f64) {
        let scales: Vec<(i32, i32)> = s.scale.iter().map(|v| multiplier(v * one)).collect();
        let add = s.shift.iter().map(|v| (v * one).round() as i32);
        let affine = scales.iter().map(|m| m.0).chain(scales.iter().map(|m| m.1)).chain(add);
        self.tensors.insert(format!("{name}.affine"), integers(vec![3, s.scale.len()], affine));
        self.tensors.insert(format!("{name}.words"), FileTensor::integers(s.shape.to_vec(), s.words.clone()));
        if let Some(t) = &s.threshold {
            let values = t.iter().map(|v| (v * one).round() as i32);
            self.tensors.insert(format!("{name}.threshold"), integers(vec![t.len()], values));
        }
    }

    /// Weights in 8 bits, a scale a filter; `zeros` is the byte of 0 of each input channel, `unit` what a byte stands for.
    fn bytes(&mut self, name: &str, d: &Dense, zeros: &[f64], unit: f64, one: f64) {
        let filters = d.bias.len();
        let len = d.weight.len() / filters.max(1);
        let (mut weights, mut planes) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new(), Vec::new()]);
        for (filter, bias) in d.weight.chunks_exact(len).zip(&d.bias) {
            let largest = filter.iter().fold(0f64, |m, v| m.max(v.abs() as f64));
            let step = if largest > 0.0 { largest / 127.0 } else { 1.0 };
            let quantized: Vec<i32> = filter.iter().map(|v| (*v as f64 / step).round() as i32).collect();
            let start: f64 = quantized.iter().enumerate().map(|(i, w)| zeros[i % zeros.len()] * *w as f64).sum();
            let (mul, s) = multiplier(step * unit * one);
            let values = [mul, s, -start.round() as i32, (bias * one).round() as i32];
            planes.iter_mut().zip(values).for_each(|(p, v)| p.push(v));
            weights.extend(quantized);
        }
        self.tensors.insert(format!("{name}.weight"), integers(d.shape.to_vec(), weights).narrowed());
        self.tensors.insert(format!("{name}.affine"), integers(vec![4, filters], planes.concat()));
    }

    /// The first layer reads the image's own bytes, less 128; its normalisation is drawn into weights and start.
    fn first(&mut self, name: &str, d: &Dense, normalization: Normalization, one: f64) {
        let (mean, scale) = (normalization.mean(), normalization.scale());
        let mut scaled = d.clone();
        scaled.weight.iter_mut().enumerate().for_each(|(i, w)| *w *= scale[i % 3]);
        let zeros = mean.map(|m| m as f64 - 128.0);
        let pad = zeros.iter().enumerate().fold(0, |p, (i, z)| p | (z.round() as i32 as u8 as u32) << (8 * i));
        self.tensors.insert("images.pad".to_string(), FileTensor::integers(vec![1], vec![pad]));
        self.bytes(name, &scaled, &zeros, 1.0, one);
    }

    fn dense(&mut self, name: &str, d: &Dense, x: usize, one: f64) -> Result<()> {
        let grid = self.grids[x].ok_or_else(|| {
            Error::shape(name, "a convolution whose input has a grid of bytes", "none: a mistake of ours")
        })?;
        self.bytes(name, d, &[grid.zero as f64], grid.step, one);
        Ok(())
    }
}
