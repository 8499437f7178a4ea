//! A network layer by layer against a reference from elsewhere: does each layer compute what PyTorch's does?
//!
//! A reference is a safetensors file with `<layer>.in` and `<layer>.out` (N,C,H,W) of one image. Each layer gets the
//! reference's own input. So what differs is the layer's own, and one rounding in front of a sign, which a binary network
//! lets grow, is blamed on nobody. The steps that run are those of the ordinary inference plan.
//!
//! With an image the whole network runs as well, from the file's pixels on. That shows how far such roundings grow; no bound
//! is set for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use image::RgbImage;

use crate::device::Device;
use crate::models::{Detector, Network};
use crate::plan::{Builder, Executor, Mode, Plan, Role, TensorId};
use crate::weights::{FileTensor, WeightFile, load};
use crate::{Error, Result};

/// The largest error of a layer over its output's spread, and the size below which a value's sign may differ.
pub const TOLERANCE: f64 = 1e-5;

/// How far an array is from the reference's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// max |got - want| / (max want - min want); absolute where the reference is constant. Infinite for NaN.
    pub error: f64,
    /// Share of values of the same sign (negative, zero, positive).
    pub equal_signs: f64,
    /// Values of another sign whose reference is at least [`TOLERANCE`] from zero.
    pub wrong_signs: usize,
}

impl Agreement {
    /// Compares arrays of equal length.
    pub fn of(got: &[f32], want: &[f32]) -> Agreement {
        if got.len() != want.len() {
            return Agreement { error: f64::INFINITY, equal_signs: 0.0, wrong_signs: want.len() };
        }
        let sign = |v: f32| (v > 0.0) as i8 - (v < 0.0) as i8;
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let (mut error, mut equal, mut wrong_signs) = (0f64, 0usize, 0);
        for (g, w) in got.iter().zip(want) {
            let e = f64::from(g - w).abs();
            error = if e.is_nan() { f64::INFINITY } else { error.max(e) };
            (low, high) = (low.min(f64::from(*w)), high.max(f64::from(*w)));
            if sign(*g) == sign(*w) {
                equal += 1;
            } else if f64::from(w.abs()) >= TOLERANCE {
                wrong_signs += 1;
            }
        }
        let spread = if high > low { high - low } else { 1.0 };
        Agreement { error: error / spread, equal_signs: equal as f64 / want.len().max(1) as f64, wrong_signs }
    }

    /// Whether it is as near as a layer fed with the reference's input must be.
    pub fn holds(&self) -> bool {
        self.error <= TOLERANCE && self.wrong_signs == 0
    }
}

/// A layer's result.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerParity {
    /// Its name in the reference.
    pub name: String,
    /// Fed with the reference's input.
    pub own: Agreement,
    /// In the whole network's run from the image.
    pub chained: Option<Agreement>,
}

/// All results.
#[derive(Debug, Clone, PartialEq)]
pub struct Parity {
    /// Layers in the network's order.
    pub layers: Vec<LayerParity>,
    /// Of the whole network from the image: `input` (the preprocessed image), `loc` and `conf`, where the reference has
    /// them.
    pub whole: Vec<(String, Agreement)>,
    /// The prior boxes, where the reference has them.
    pub priors: Option<Agreement>,
}

/// A layer of a plan.
#[derive(Debug, Clone, PartialEq)]
struct Layer {
    name: String,
    steps: Vec<usize>,
    input: TensorId,
    output: TensorId,
}

/// The modules that a layer of a reference is made of: `a.0-2` is a.0, a.1 and a.2; `extras.1` is the convolution and
/// its batch norm `extra_bns.1`.
fn modules(layer: &str) -> Vec<String> {
    let (path, last) = layer.rsplit_once('.').map_or(("", layer), |(p, l)| (p, l));
    if let Some((a, b)) = last.split_once('-')
        && let (Ok(a), Ok(b)) = (a.parse::<u32>(), b.parse::<u32>())
        && a <= b
        && b - a < 100
    {
        return (a..=b).map(|i| format!("{path}.{i}")).collect();
    }
    let mut out = vec![layer.to_string()];
    if path == "extras" {
        out.push(format!("extra_bns.{last}"));
    }
    out
}

/// The steps of a layer, the one map that they read and the one that others read of theirs.
fn locate(plan: &Plan, name: &str) -> Option<Layer> {
    let modules: Vec<String> = modules(name).into_iter().map(|m| m + ".").collect();
    let mine = |label: &str| modules.iter().any(|m| label.starts_with(m.as_str()));
    let steps: Vec<usize> = (0..plan.steps.len()).filter(|i| mine(&plan.steps[*i].label)).collect();
    let carries = |t: TensorId| matches!(plan.info(t).role, Role::Input | Role::Output | Role::Transient);
    let (mut written, mut inputs) = (BTreeSet::new(), BTreeSet::new());
    for i in &steps {
        let (reads, writes) = plan.steps[*i].uses();
        inputs.extend(reads.iter().map(|v| v.tensor).filter(|t| carries(*t)));
        written.extend(writes.iter().map(|v| v.tensor));
    }
    // What the layer makes itself (kernels that may add to what is there count as reading it).
    inputs.retain(|t| !written.contains(t));
    let read_by = |others: bool| -> BTreeSet<TensorId> {
        let these = (0..plan.steps.len()).filter(|i| mine(&plan.steps[*i].label) != others);
        these.flat_map(|i| plan.steps[i].uses().0).map(|v| v.tensor).collect()
    };
    let (inside, outside) = (read_by(false), read_by(true));
    let leaves = |t: &TensorId| outside.contains(t) || (plan.info(*t).role == Role::Output && !inside.contains(t));
    let outputs: Vec<TensorId> = written.into_iter().filter(leaves).collect();
    match (inputs.into_iter().collect::<Vec<_>>().as_slice(), outputs.as_slice()) {
        ([input], [output]) => Some(Layer { name: name.to_string(), steps, input: *input, output: *output }),
        _ => None,
    }
}

/// The reference's layers in the order of the plan.
fn layers(plan: &Plan, detector: &Detector, reference: &WeightFile) -> Result<Vec<Layer>> {
    let odd = |problem: String| {
        Error::format(
            &reference.path,
            problem,
            "Expected arrays <layer>.in and <layer>.out, named as the network's modules are (docs/import.md).",
        )
    };
    let mut out = Vec::new();
    for name in reference.tensors.keys().filter_map(|n| n.strip_suffix(".in")) {
        if !reference.tensors.contains_key(&format!("{name}.out")) {
            return Err(odd(format!("has {name}.in and no {name}.out")));
        }
        let layer = locate(plan, name);
        out.push(layer.ok_or_else(|| odd(format!("has a layer {name}, which {} has not", detector.name())))?);
    }
    if out.is_empty() {
        return Err(odd("has no layers".to_string()));
    }
    out.sort_by_key(|l| l.steps.first().copied());
    Ok(out)
}

fn array<'a>(reference: &'a WeightFile, name: &str, shape: &[usize]) -> Result<&'a FileTensor> {
    let found = reference.tensors.get(name);
    match found.filter(|t| t.shape == shape && t.float) {
        Some(t) if t.words.iter().all(|w| f32::from_bits(*w).is_finite()) => Ok(t),
        Some(_) => {
            Err(Error::format(&reference.path, format!("{name} holds values that are not finite"), "Make it anew."))
        }
        None => Err(Error::format(
            &reference.path,
            format!("{name} is {:?}, the network's is {shape:?}", found.map(|t| t.shape.clone()).unwrap_or_default()),
            "Is it of the same network, width and number of classes as the weights?",
        )),
    }
}

/// Compares each layer of the reference, and with `image` the whole network. `report` gets each layer as it is done.
///
/// # Errors
/// A reference without layers, with layers that the network lacks, or of other shapes; those of the weights and the
/// device. Disagreement is no error; see [`Agreement::holds`].
pub fn parity(
    detector: &Detector,
    weights: &WeightFile,
    reference: &WeightFile,
    image: Option<&RgbImage>,
    device: &Device,
    report: &mut dyn FnMut(&LayerParity),
) -> Result<Parity> {
    // Twice: the ends of the layers are known from the finished plan, and must then be kept by another.
    let build = |keep: &[TensorId]| -> Result<(Plan, Network)> {
        Builder::build(&detector.name(), Mode::Eval, device.limits(), 1, |b| {
            let n = detector.network(b)?;
            keep.iter().chain([&n.locations, &n.logits]).for_each(|t| b.keep(*t));
            Ok(n)
        })
    };
    let layers = layers(&build(&[])?.0, detector, reference)?;
    let ends: Vec<TensorId> = layers.iter().flat_map(|l| [l.input, l.output]).collect();
    let (plan, network) = build(&ends)?;
    let shape = |t: TensorId| {
        let s = plan.info(t).shape;
        [s.n, s.c, s.h, s.w].map(|v| v as usize)
    };
    let shapes: Vec<_> = layers.iter().map(|l| (shape(l.input), shape(l.output))).collect();
    let mut e = device.executor(Arc::new(plan))?;
    let e: &mut dyn Executor = e.as_mut();
    load(e, weights, true)?;

    let mut chained = vec![None; layers.len()];
    let mut whole = Vec::new();
    if let Some(image) = image {
        e.write_f32(network.images, &detector.preprocess.eval(image))?;
        e.run(&["forward"])?;
        for (i, l) in layers.iter().enumerate() {
            let want = array(reference, &format!("{}.out", l.name), &shapes[i].1)?.to_f32();
            chained[i] = Some(Agreement::of(&e.read_nchw(l.output)?, &want));
            if l.input == network.images {
                let want = array(reference, &format!("{}.in", l.name), &shapes[i].0)?.to_f32();
                whole.push(("input".to_string(), Agreement::of(&e.read_nchw(l.input)?, &want)));
            }
        }
        let p = detector.priors.len();
        for (name, t, k) in [("loc", network.locations, 8), ("conf", network.logits, detector.logits() as usize)] {
            if reference.tensors.contains_key(name) {
                let want = array(reference, name, &[1, p, k])?.to_f32();
                whole.push((name.to_string(), Agreement::of(&e.read_f32(t)?, &want)));
            }
        }
    }
    let mut out = Parity { layers: Vec::new(), whole, priors: None };
    for ((l, (from, to)), chained) in layers.iter().zip(&shapes).zip(chained) {
        let given = array(reference, &format!("{}.in", l.name), from)?.to_f32();
        let want = array(reference, &format!("{}.out", l.name), to)?.to_f32();
        e.write_nchw(l.input, &given)?;
        e.run_steps(&l.steps)?;
        let own = Agreement::of(&e.read_nchw(l.output)?, &want);
        let layer = LayerParity { name: l.name.clone(), own, chained };
        report(&layer);
        out.layers.push(layer);
    }
    if reference.tensors.contains_key("priors") {
        let want = array(reference, "priors", &[detector.priors.len(), 4])?.to_f32();
        out.priors = Some(Agreement::of(detector.priors.as_flattened(), &want));
    }
    Ok(out)
}
