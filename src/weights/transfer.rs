//! Weights between files and plans.

use std::collections::BTreeMap;

use super::{FileTensor, WeightFile};
use crate::plan::{Executor, Plan, TensorId};
use crate::{Error, Result};

/// What happened to a file's tensors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Names that were read.
    pub matched: Vec<String>,
    /// Names that the network has and the file lacks.
    pub missing: Vec<String>,
    /// Names that the file has and the network lacks.
    pub unexpected: Vec<String>,
}

/// All parameters and running statistics of an executor, by file name.
pub fn collect(e: &mut dyn Executor) -> Result<BTreeMap<String, FileTensor>> {
    pollster::block_on(collect_async(e))
}

/// [`collect`] where nothing may block.
///
/// # Errors
/// Those of the device.
pub async fn collect_async(e: &mut dyn Executor) -> Result<BTreeMap<String, FileTensor>> {
    let mut out = BTreeMap::new();
    let params = e.plan().params.clone();
    let tensors: Vec<TensorId> = params.iter().map(|p| p.tensor).collect();
    for (p, words) in params.iter().zip(e.fetch(&tensors).await?) {
        let info = e.plan().info(p.tensor).clone();
        for ((name, shape), data) in p.files(info.shape).into_iter().zip(p.from_engine(&info, &words)?) {
            out.insert(name, FileTensor::floats(shape, &data));
        }
    }
    Ok(out)
}

/// Compares a file's tensors with the parameters of a plan.
///
/// # Errors
/// A tensor of the right name and another shape is always an error ("weights of another model"); with `strict`, missing
/// and unexpected names are too (`num_batches_tracked`, which PyTorch counts for itself, is never missed).
pub fn compare(plan: &Plan, file: &WeightFile, strict: bool) -> Result<Transfer> {
    let mut report = Transfer::default();
    let mut wrong = Vec::new();
    let mut used = std::collections::BTreeSet::new();
    for p in &plan.params {
        let info = plan.info(p.tensor);
        let files = p.files(info.shape);
        for (name, shape) in files {
            used.insert(name.clone());
            match file.tensors.get(&name) {
                Some(t) if t.shape == shape => report.matched.push(name),
                Some(t) => wrong.push(format!("{name} is {:?}, expected {shape:?}", t.shape)),
                None => report.missing.push(name),
            }
        }
    }
    report.unexpected =
        file.tensors.keys().filter(|n| !used.contains(*n) && !n.ends_with("num_batches_tracked")).cloned().collect();
    let first = |list: &[String]| list.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    let mut problems = Vec::new();
    if !wrong.is_empty() {
        problems.push(format!("{} tensors of another shape ({})", wrong.len(), first(&wrong)));
    }
    if strict && !report.missing.is_empty() {
        problems.push(format!("{} tensors missing ({})", report.missing.len(), first(&report.missing)));
    }
    if strict && !report.unexpected.is_empty() {
        problems.push(format!("{} tensors unknown ({})", report.unexpected.len(), first(&report.unexpected)));
    }
    if !problems.is_empty() {
        return Err(Error::format(
            &file.path,
            format!("holds the weights of another model: {}", problems.join("; ")),
            format!("Give the --model, --method and classes that it was trained with (this one is {}).", plan.name),
        ));
    }
    Ok(report)
}

/// Writes a file's tensors into an executor's parameters of the same names, after [`compare`] found nothing wrong. A
/// parameter that is made of several tensors is written when all are there.
///
/// # Errors
/// As [`compare`]; then nothing was written.
pub fn load(e: &mut dyn Executor, file: &WeightFile, strict: bool) -> Result<Transfer> {
    let report = compare(e.plan(), file, strict)?;
    for p in e.plan().params.clone() {
        let info = e.plan().info(p.tensor).clone();
        let files = p.files(info.shape);
        let arrays: Vec<Vec<f32>> =
            files.iter().filter_map(|(n, _)| file.tensors.get(n)).map(FileTensor::to_f32).collect();
        if arrays.len() == files.len() {
            let slices: Vec<&[f32]> = arrays.iter().map(|a| a.as_slice()).collect();
            e.write(p.tensor, &p.to_engine(&info, &slices)?)?;
        }
    }
    Ok(report)
}
