//! Complete checkpoints: resumed training is bit-equal to training that was never stopped.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::plan::{Executor, Slab, TensorId};
use crate::weights::{FileTensor, WeightFile, collect, load};
use crate::{Error, Result};

/// What a checkpoint says beside its tensors. Everything random is a function of the seed and the step, so the step is
/// the whole random state and the whole data order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Version of this form.
    pub version: u32,
    /// Steps done.
    pub step: u64,
    /// Steps of the run.
    pub steps: u64,
    /// Best mAP so far and its step.
    pub best: Option<(f64, u64)>,
    /// The step of the last evaluation: one that Ctrl-C cut short is made up for.
    pub evaluated: Option<u64>,
    /// Steps skipped so far because something was not finite.
    pub skipped: u64,
    /// How many of them were the last ones in a row.
    pub in_a_row: u64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// The run's configuration as TOML.
    pub config: String,
}

/// The version written by this program.
pub const VERSION: u32 = 1;

const REMEDY: &str = "Put a copy of it back, or remove it: --resume then starts anew from the folder's config.toml (its \
                      last.safetensors and best.safetensors hold weights, too).";

/// A tensor of optimizer moments and the slab whose layout it has.
pub type Moments = (&'static str, Slab, TensorId);

impl Checkpoint {
    /// Saves weights, moments and every other state of `e`.
    pub fn save(&self, path: &Path, e: &mut dyn Executor, moments: &[Moments]) -> Result<()> {
        let mut tensors: BTreeMap<String, FileTensor> =
            collect(e)?.into_iter().map(|(n, t)| (format!("weight/{n}"), t)).collect();
        for (kind, slab, t) in moments {
            let words = e.read(*t)?;
            for (param, first, len) in &slab.entries {
                let p = e.plan().params[*param].clone();
                let info = e.plan().info(p.tensor).clone();
                let part = &words[*first as usize..(*first + *len) as usize];
                for ((name, shape), data) in p.files(info.shape).into_iter().zip(p.from_engine(&info, part)?) {
                    tensors.insert(format!("{kind}/{name}"), FileTensor::floats(shape, &data));
                }
            }
        }
        for t in other_state(e, moments) {
            let name = format!("state/{}", e.plan().info(t).name);
            let words = e.read(t)?;
            tensors.insert(name, FileTensor::integers(vec![words.len()], words));
        }
        let metadata = serde_json::to_string(self)
            .map_err(|e| Error::format(path, format!("cannot be written: {e}"), "This is a mistake of ours."))?;
        WeightFile { path: path.to_path_buf(), tensors, metadata, ..Default::default() }.write(path)
    }

    /// Reads a checkpoint's words without its tensors' contents being used.
    pub fn open(path: &Path) -> Result<(Checkpoint, WeightFile)> {
        let file = WeightFile::read(path).map_err(|e| match e {
            Error::Format { path, line, problem, .. } => {
                Error::Format { path, line, problem, remedy: REMEDY.to_string() }
            }
            other => other,
        })?;
        if file.metadata.is_empty() {
            return Err(Error::format(path, "is not a checkpoint of a run: it has no training state", REMEDY));
        }
        let c: Checkpoint = serde_json::from_str(&file.metadata)
            .map_err(|e| Error::format(path, format!("has a damaged training state: {e}"), REMEDY))?;
        if c.version != VERSION {
            return Err(Error::format(
                path,
                format!("is a checkpoint of version {}, expected {VERSION}", c.version),
                "Use the program that wrote it.",
            ));
        }
        Ok((c, file))
    }

    /// Writes the tensors of an opened checkpoint into `e`.
    pub fn restore(file: &WeightFile, e: &mut dyn Executor, moments: &[Moments]) -> Result<()> {
        let part = |prefix: &str| -> BTreeMap<String, FileTensor> {
            let prefix = format!("{prefix}/");
            let named =
                file.tensors.iter().filter_map(|(n, t)| Some((n.strip_prefix(&prefix)?.to_string(), t.clone())));
            named.collect()
        };
        let weights = WeightFile { path: file.path.clone(), tensors: part("weight"), ..Default::default() };
        load(e, &weights, true)?;
        let damaged =
            |what: String| Error::format(&file.path, format!("is of another run or altered: it {what}"), REMEDY);
        for (kind, slab, t) in moments {
            let arrays = part(kind);
            let mut words = e.read(*t)?;
            for (param, first, len) in &slab.entries {
                let p = e.plan().params[*param].clone();
                let info = e.plan().info(p.tensor).clone();
                let mut found = Vec::new();
                for (name, shape) in p.files(info.shape) {
                    match arrays.get(&name).filter(|a| a.shape == shape) {
                        Some(a) => found.push(a.to_f32()),
                        None => return Err(damaged(format!("has no {kind}/{name} of shape {shape:?}"))),
                    }
                }
                let slices: Vec<&[f32]> = found.iter().map(|a| a.as_slice()).collect();
                let engine = p.to_engine(&info, &slices)?;
                words[*first as usize..(*first + *len) as usize].copy_from_slice(&engine);
            }
            e.write(*t, &words)?;
        }
        let states = part("state");
        for t in other_state(e, moments) {
            let info = e.plan().info(t).clone();
            match states.get(&info.name).filter(|a| a.words.len() as u64 == info.bytes() / 4) {
                Some(a) => e.write(t, &a.words)?,
                None => return Err(damaged(format!("has no state/{}", info.name))),
            }
        }
        Ok(())
    }
}

/// State that is neither a parameter, nor in a slab's layout.
fn other_state(e: &dyn Executor, moments: &[Moments]) -> Vec<TensorId> {
    let mut all = super::feed::other_state(e.plan());
    all.retain(|t| !moments.iter().any(|(_, _, m)| m == t));
    all
}
