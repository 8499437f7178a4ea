//! The numbers of a `float` file.

use std::collections::BTreeMap;

use super::Precision;
use super::file::Numbers;
use super::fold::Folded;
use super::program::Program;
use crate::weights::FileTensor;

/// Convolutions of this many weights are stored as f16, as the heads are: conv7 and the widest shortcut.
const LARGE: usize = 200_000;

fn singles(values: impl IntoIterator<Item = f64>) -> Vec<f32> {
    values.into_iter().map(|v| v as f32).collect()
}

/// The numbers of [`Precision::Float`].
pub fn float(program: &Program, folded: &[Folded]) -> Numbers {
    let mut tensors = BTreeMap::new();
    for (stage, folded) in program.stages.iter().zip(folded) {
        let mut add = |what: &str, t: FileTensor| tensors.insert(format!("{}.{what}", stage.name), t);
        match folded {
            Folded::Signs(s) => {
                let affine = singles(s.scale.iter().chain(&s.shift).copied());
                add("affine", FileTensor::floats(vec![2, s.scale.len()], &affine));
                add("words", FileTensor::integers(s.shape.to_vec(), s.words.clone()));
                if let Some(t) = &s.threshold {
                    add("threshold", FileTensor::floats(vec![t.len()], &singles(t.iter().copied())));
                }
            }
            Folded::Dense(d) => {
                let weight = FileTensor::floats(d.shape.to_vec(), &d.weight);
                let head = program.heads.iter().any(|h| h.value == stage.y);
                add("weight", if head || d.weight.len() >= LARGE { weight.narrowed() } else { weight });
                add("bias", FileTensor::floats(vec![d.bias.len()], &singles(d.bias.iter().copied())));
            }
            Folded::Lengths(l) => {
                add("weight", FileTensor::floats(vec![l.len()], l));
            }
            Folded::None => {}
        }
    }
    let precision = Precision::Float;
    Numbers { precision, tensors, fraction: 0, head_fractions: Vec::new(), path: Default::default() }
}
