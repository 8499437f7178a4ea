//! Weights of other programs for the networks here: which network they are of, what matches, what does not, and what was
//! converted.
//!
//! A checkpoint of a detector becomes a weight file that names its network and classes, and so opens like one of a run. Of
//! a classification network only the body is taken, under its own names.

mod known;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use self::known::{Expected, Known, recognise};
use super::{FileTensor, Foreign, ForeignTensor, WeightFile};
use crate::config::{Binarization, Method, ModelConfig, ModelName};
use crate::data::labels;
use crate::models::Detector;
use crate::plan::{Builder, Mode, PlanLimits};
use crate::{Error, Result};

/// What the user says of a file beside the file.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The detector; told by the names of a BiDet-SSD300 checkpoint.
    pub model: Option<ModelName>,
    /// The method; `bidet-sc` for a BiDet-SSD300 checkpoint.
    pub method: Option<Method>,
    /// Names of the classes without the background.
    pub classes: Option<Vec<String>>,
    /// The category ids of `classes` in COCO results; 1, 2, ... without.
    pub category_ids: Option<Vec<u32>>,
    /// Prior boxes, `voc` or `coco`; COCO's when there are 80 classes.
    pub priors: Option<String>,
}

/// A tensor of the right name and another shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OtherShape {
    /// Its name.
    pub name: String,
    /// The file's.
    pub found: Vec<usize>,
    /// The network's.
    pub expected: Vec<usize>,
}

/// What was done with a file. Names are those of the result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImportReport {
    /// The form of the file.
    pub form: String,
    /// Dictionaries around the tensors, outermost first.
    pub inside: Vec<String>,
    /// What lay beside the tensors in the file.
    pub beside: Vec<String>,
    /// What was taken off the front of all names.
    pub prefix: String,
    /// The network that it was recognised as.
    pub network: String,
    /// Whether that network is built here, and the result opens in `eval`, `detect` and `info`.
    pub opens: bool,
    /// What else it is good for.
    pub note: String,
    /// Tensors taken.
    pub matched: Vec<String>,
    /// Values in them.
    pub values: usize,
    /// Tensors of the network that the file lacks.
    pub missing: Vec<String>,
    /// Tensors of another shape than the network's.
    pub other_shape: Vec<OtherShape>,
    /// Tensors that the network lacks; left out.
    pub unknown: Vec<String>,
    /// PyTorch's counters of batches (`num_batches_tracked`); left out.
    pub counters: usize,
    /// Tensors taken, by their number type in the file; all become 32-bit floats.
    pub converted: BTreeMap<String, usize>,
}

/// A file's weights for use here.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The weights, with metadata that says what they are of.
    pub weights: WeightFile,
    /// The detector's configuration, where a detector was recognised.
    pub config: Option<ModelConfig>,
    /// What was done.
    pub report: ImportReport,
}

/// What is looked for in a file.
struct Target {
    name: String,
    prefix: &'static str,
    expected: Expected,
    config: Option<ModelConfig>,
    note: String,
}

/// Takes a file's weights.
///
/// # Errors
/// Names of no network known here; for a detector, a tensor that is missing or of another shape, or heads that do not
/// agree about the number of classes; values that are not finite; [`Error::Config`] for options that do not fit.
pub fn import(file: &Foreign, options: &ImportOptions) -> Result<Imported> {
    let target = target(file, options)?;
    let find = |name: &str| file.tensors.get(&format!("{}{name}", target.prefix));
    let mut report = ImportReport {
        form: file.form.to_string(),
        inside: file.inside.clone(),
        beside: file.beside.clone(),
        prefix: format!("{}{}", file.prefix, target.prefix),
        network: target.name.clone(),
        opens: target.config.is_some(),
        note: target.note.clone(),
        matched: Vec::new(),
        values: 0,
        missing: Vec::new(),
        other_shape: Vec::new(),
        unknown: Vec::new(),
        counters: 0,
        converted: BTreeMap::new(),
    };
    for (name, shape) in &target.expected {
        match find(name) {
            None => report.missing.push(name.clone()),
            Some(t) if t.shape == *shape && t.dtype.is_float() => {
                report.matched.push(name.clone());
                report.values += t.elements();
                *report.converted.entry(t.dtype.to_string()).or_default() += 1;
            }
            Some(t) => {
                let (found, expected) = (t.shape.clone(), shape.clone());
                report.other_shape.push(OtherShape { name: name.clone(), found, expected });
            }
        }
    }
    let wanted: BTreeSet<&str> = target.expected.iter().map(|(n, _)| n.as_str()).collect();
    for name in file.tensors.keys() {
        match name.strip_prefix(target.prefix) {
            Some(n) if wanted.contains(n) => (),
            _ if name.ends_with("num_batches_tracked") => report.counters += 1,
            _ => report.unknown.push(name.clone()),
        }
    }
    if target.config.is_some() {
        complete(file, &target, &report)?;
    } else if report.matched.is_empty() {
        return Err(Error::format(
            &file.path,
            format!("has the names of {}, but no tensor of its shapes", target.name),
            "Is it another variant of the network?",
        ));
    }
    let mut tensors = BTreeMap::new();
    for name in &report.matched {
        let values = file.floats(&format!("{}{name}", target.prefix))?;
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::format(
                &file.path,
                format!("tensor {name} holds {} at place {i}", values[i]),
                "Weights that are not finite are of no use; take an earlier checkpoint of that training.",
            ));
        }
        let shape = find(name).map(|t| t.shape.clone()).unwrap_or_default();
        tensors.insert(name.clone(), FileTensor::floats(shape, &values));
    }
    let source = file.path.file_name().unwrap_or_default().to_string_lossy();
    let imported = serde_json::json!({ "file": source, "form": report.form, "network": report.network });
    let metadata = match &target.config {
        Some(c) => serde_json::json!({ "imported": imported, "model": c }),
        None => serde_json::json!({ "imported": imported }),
    };
    let weights = WeightFile { path: file.path.clone(), tensors, metadata: metadata.to_string(), sealed: false };
    Ok(Imported { weights, config: target.config, report })
}

fn target(file: &Foreign, options: &ImportOptions) -> Result<Target> {
    let bidet = file.tensors.contains_key("vgg.layers.0.weight") && file.tensors.contains_key("conf.0.bias");
    if bidet || options.model.is_some() {
        return detector(file, options, bidet);
    }
    if let Some(Known { name, prefix, tensors, use_ }) = recognise(&file.tensors) {
        return Ok(Target { name, prefix, expected: tensors, config: None, note: use_.to_string() });
    }
    let first: Vec<&str> = file.tensors.keys().take(3).map(String::as_str).collect();
    Err(Error::format(
        &file.path,
        format!("has the names of no network known here ({} tensors: {}, ...)", file.tensors.len(), first.join(", ")),
        "Known are BiDet-SSD300, VGG16, ResNet-18, MobileNetV1 and V2, and ShuffleNetV2; for weights of a network of this \
         program under its own names give --model and --method.",
    ))
}

fn detector(file: &Foreign, options: &ImportOptions, bidet: bool) -> Result<Target> {
    let name = options.model.unwrap_or(ModelName::Ssd300Vgg16);
    let method = options.method.unwrap_or_default();
    if bidet && (method.binarization != Binarization::BiReal || !method.shortcut) {
        return Err(Error::config(
            "--method",
            format!("is {method}, but these are weights of binary convolutions with shortcuts"),
            "Leave it out, or give bidet-sc, bireal, autobidet-sc or another of that kind.",
        ));
    }
    let first = if bidet { "vgg.layers.0.weight" } else { "vgg.0.weight" };
    let width = file.tensors.get(first).and_then(|t| t.shape.first()).copied().unwrap_or(64);
    let channel_divisor = match (name, width) {
        (ModelName::Ssd300Vgg16, 1..=64) if width.is_power_of_two() => 64 / width as u32,
        _ => 1,
    };
    let mut config = ModelConfig { name, method, channel_divisor, ..Default::default() };
    if !bidet && name == ModelName::Ssd300Vgg16 {
        config.float_batch_norm = file.tensors.contains_key("vgg.0.bn.weight");
    }
    let boxes = Detector::new(&config)?.prior_spec.boxes_per_cell();
    let logits = logits(file, &boxes)?;
    config.classes = classes(options, logits - 1)?;
    config.category_ids = match &options.category_ids {
        Some(ids) if options.classes.is_some() => ids.clone(),
        _ if options.classes.is_none() && logits == 81 => labels::coco_ids(),
        _ => Vec::new(),
    };
    config.priors = match &options.priors {
        Some(p) => p.clone(),
        None if logits == 81 => "coco".to_string(),
        None => "voc".to_string(),
    };
    let d = Detector::new(&config)?;
    let (plan, _) = Builder::build(&d.name(), Mode::Eval, PlanLimits::HOST, 1, |b| d.network(b))?;
    let expected = plan.params.iter().flat_map(|p| p.files(plan.info(p.tensor).shape)).collect();
    let whose = if bidet { "BiDet-SSD300" } else { "a detector of this program's names" };
    let width = match channel_divisor {
        1 => String::new(),
        n => format!(" with 1/{n} of the channels"),
    };
    let name = format!("{whose}{width}, {} classes", config.classes.len());
    let note = format!("it is {}", d.name());
    Ok(Target { name, prefix: "", expected, config: Some(config), note })
}

/// Logits a prior, background included, as all class heads say.
fn logits(file: &Foreign, boxes: &[usize]) -> Result<usize> {
    let wrong = |problem: String| {
        Error::format(
            &file.path,
            problem,
            "Expected class heads conf.0, conf.1, ... with a multiple of their map's boxes as outputs.",
        )
    };
    let mut found: Option<usize> = None;
    for (i, boxes) in boxes.iter().enumerate() {
        let name = format!("conf.{i}.bias");
        let t = file.tensors.get(&name).filter(|t| t.shape.len() == 1);
        let outputs = t.ok_or_else(|| wrong(format!("holds no {name}")))?.shape[0];
        let here = outputs / boxes;
        if outputs % boxes != 0 || !(2..=1001).contains(&here) {
            return Err(wrong(format!("has {outputs} outputs in class head {i}, of {boxes} boxes a cell")));
        }
        if let Some(before) = found.filter(|f| *f != here) {
            let problem = format!("has {here} classes with the background in head {i} and {before} in those before it");
            return Err(wrong(problem));
        }
        found = Some(here);
    }
    found.ok_or_else(|| wrong("holds no class heads".to_string()))
}

fn classes(options: &ImportOptions, n: usize) -> Result<Vec<String>> {
    let names = |list: &[&str]| list.iter().map(|s| s.to_string()).collect();
    let Some(given) = &options.classes else {
        return Ok(match n {
            20 => names(&labels::VOC),
            80 => names(&labels::COCO),
            _ => (1..=n).map(|i| format!("class-{i}")).collect(),
        });
    };
    let bad = |problem: String| Error::config("--classes", problem, "Give one name a class, without the background.");
    if given.len() != n {
        return Err(bad(format!("names {}, but the class heads have {n} beside the background", given.len())));
    }
    for (i, c) in given.iter().enumerate() {
        if c.trim().is_empty() || given[..i].contains(c) {
            return Err(bad(format!("has the name {c:?} {}", if c.trim().is_empty() { "" } else { "twice" })));
        }
    }
    Ok(given.clone())
}

/// A detector needs all of its tensors.
fn complete(file: &Foreign, target: &Target, report: &ImportReport) -> Result<()> {
    let mut problems = Vec::new();
    if let Some(first) = report.missing.first() {
        problems.push(format!("lacks {} tensors ({first}, ...)", report.missing.len()));
    }
    if let Some(o) = report.other_shape.first() {
        let n = report.other_shape.len();
        let kind = |t: Option<&ForeignTensor>| t.filter(|t| !t.dtype.is_float()).map(|t| format!(" {}", t.dtype));
        let kind = kind(file.tensors.get(&o.name)).unwrap_or_default();
        problems.push(format!(
            "has {n} tensors of another shape or kind ({} is {:?}{kind}, expected {:?})",
            o.name, o.found, o.expected
        ));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::format(
        &file.path,
        format!("{} of {}", problems.join(" and "), target.name),
        "Is it a whole checkpoint of that network? --model and --method say which it is where its names do not.",
    ))
}
