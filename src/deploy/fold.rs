//! A run's weights as inference multiplies with them: batch norm drawn in, signs packed, log-variances left out.

use super::program::{Keep, Kind, Norm, Part, Program, Stage};
use crate::ops::binary_conv2d::WeightScale;
use crate::weights::WeightFile;
use crate::{Error, Result};

/// A convolution's weights `[O][KH][KW][C]`, and what is added, `[O]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// O, KH, KW, C.
    pub shape: [usize; 4],
    /// The weights.
    pub weight: Vec<f32>,
    /// What is added.
    pub bias: Vec<f64>,
}

/// A binary convolution's sign words `[KH][KW][ceil(C / 32)][O]`, and the output as scale * sum + shift, `[O]` each.
#[derive(Debug, Clone, PartialEq)]
pub struct Signs {
    /// KH, KW, words, O.
    pub shape: [usize; 4],
    /// Input channels.
    pub channels: usize,
    /// The words.
    pub words: Vec<u32>,
    /// Scale.
    pub scale: Vec<f64>,
    /// Shift.
    pub shift: Vec<f64>,
    /// Added to the *input's* channels before their sign.
    pub threshold: Option<Vec<f64>>,
}

/// One stage's numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Folded {
    /// A convolution.
    Dense(Dense),
    /// A binary one.
    Signs(Signs),
    /// An L2 norm's lengths.
    Lengths(Vec<f32>),
    /// A stage without numbers.
    None,
}

/// The numbers of all stages.
///
/// # Errors
/// A tensor that the file does not have, or of another size.
pub fn fold(program: &Program, weights: &WeightFile) -> Result<Vec<Folded>> {
    let read = Reader(weights);
    program.stages.iter().map(|s| read.stage(program, s)).collect()
}

struct Reader<'a>(&'a WeightFile);

/// gamma / deviation and beta - mean gamma / deviation.
struct Scales {
    factor: Vec<f64>,
    shift: Vec<f64>,
}

impl Reader<'_> {
    fn floats(&self, name: &str, len: usize) -> Result<Vec<f32>> {
        let problem = |p: String| Error::format(&self.0.path, p, "Give the weights of a run of this network.");
        let t = self.0.tensors.get(name).ok_or_else(|| problem(format!("has no tensor {name}")))?;
        if t.words.len() != len {
            return Err(problem(format!("{name} has {} values, expected {len}", t.words.len())));
        }
        let values = t.to_f32();
        match values.iter().all(|v| v.is_finite()) {
            true => Ok(values),
            false => Err(problem(format!("{name} has values that are not finite: these weights are of no use"))),
        }
    }

    fn norm(&self, norm: Option<&Norm>, channels: usize) -> Result<Scales> {
        let Some(n) = norm else { return Ok(Scales { factor: vec![1.0; channels], shift: vec![0.0; channels] }) };
        let read = |name: &String| self.floats(name, channels);
        let (mean, var) = (read(&n.running[0])?, read(&n.running[1])?);
        let [gamma, beta] = match &n.affine {
            Some([gamma, beta]) => [read(gamma)?, read(beta)?],
            None => [vec![1.0; channels], vec![0.0; channels]],
        };
        let mut out = Scales { factor: Vec::new(), shift: Vec::new() };
        for k in 0..channels {
            let factor = gamma[k] as f64 / (var[k] as f64 + n.eps as f64).sqrt();
            if !factor.is_finite() {
                let problem = format!("{} has the variance {}", n.running[1], var[k]);
                return Err(Error::format(
                    &self.0.path,
                    problem,
                    "A variance is above 0: these weights are of no use.",
                ));
            }
            out.factor.push(factor);
            out.shift.push(beta[k] as f64 - mean[k] as f64 * factor);
        }
        Ok(out)
    }

    fn stage(&self, program: &Program, stage: &Stage) -> Result<Folded> {
        let c = program.values[stage.x].shape.c as usize;
        match &stage.kind {
            Kind::Conv { op, parts, .. } => {
                let taps = [op.kernel[0] as usize, op.kernel[1] as usize];
                let mut dense = Dense { shape: [0, taps[0], taps[1], c], weight: Vec::new(), bias: Vec::new() };
                let boxes = program.heads.iter().find(|h| h.value == stage.y).map(|h| h.boxes as usize);
                let whole = program.outputs(stage) as usize;
                for part in parts {
                    let outputs = match (boxes, part.keep) {
                        (None, _) => whole,
                        (Some(boxes), Keep::Means) => 8 * boxes,
                        (Some(boxes), Keep::All) => whole - 4 * boxes,
                    };
                    self.dense(part, outputs, &mut dense)?;
                }
                Ok(Folded::Dense(dense))
            }
            Kind::Binary { op, part, before, .. } => {
                let outputs = program.outputs(stage) as usize;
                let mut signs =
                    self.signs(part, [op.kernel[0] as usize, op.kernel[1] as usize], c, outputs, op.weight_scale)?;
                if let Some(n) = before {
                    // The sign of (x - mean) / deviation is that of x - mean.
                    let s = self.norm(Some(n), c)?;
                    signs.threshold = Some(s.shift.iter().zip(&s.factor).map(|(s, f)| s / f).collect());
                }
                Ok(Folded::Signs(signs))
            }
            Kind::L2Norm { weight, .. } => Ok(Folded::Lengths(self.floats(weight, c)?)),
            Kind::AvgPool(_) | Kind::MaxPool(_) | Kind::Relu => Ok(Folded::None),
        }
    }

    fn dense(&self, part: &Part, outputs: usize, into: &mut Dense) -> Result<()> {
        let [_, kh, kw, c] = into.shape;
        let taps = kh * kw;
        let weight = self.floats(&part.weight, outputs * c * taps)?;
        let bias = part.bias.as_ref().map(|b| self.floats(b, outputs)).transpose()?;
        let norm = self.norm(part.norm.as_ref(), outputs)?;
        for o in (0..outputs).filter(|o| part.keep == Keep::All || o % 8 >= 4) {
            for t in 0..taps {
                let at = |k: usize| weight[(o * c + k) * taps + t] as f64 * norm.factor[o];
                into.weight.extend((0..c).map(|k| at(k) as f32));
            }
            let bias = bias.as_ref().map_or(0.0, |b| b[o] as f64);
            into.bias.push(bias * norm.factor[o] + norm.shift[o]);
            into.shape[0] += 1;
        }
        Ok(())
    }

    fn signs(&self, part: &Part, [kh, kw]: [usize; 2], c: usize, outputs: usize, rule: WeightScale) -> Result<Signs> {
        let (taps, words) = (kh * kw, c.div_ceil(32));
        let mut weight = self.floats(&part.weight, outputs * c * taps)?;
        if rule == WeightScale::Xnor {
            for o in 0..outputs {
                for t in 0..taps {
                    let mut tap: Vec<&mut f32> =
                        weight[o * c * taps..][..c * taps].iter_mut().skip(t).step_by(taps).collect();
                    let mean = tap.iter().map(|v| **v as f64).sum::<f64>() as f32 / c as f32;
                    tap.iter_mut().for_each(|v| **v = (**v - mean).clamp(-1.0, 1.0));
                }
            }
        }
        let norm = self.norm(part.norm.as_ref(), outputs)?;
        let mut signs = Signs {
            shape: [kh, kw, words, outputs],
            channels: c,
            words: vec![0; taps * words * outputs],
            scale: Vec::new(),
            shift: norm.shift,
            threshold: None,
        };
        for o in 0..outputs {
            let filter = &weight[o * c * taps..][..c * taps];
            for (i, v) in filter.iter().enumerate() {
                let (k, t) = (i / taps, i % taps);
                signs.words[(t * words + k / 32) * outputs + o] |= u32::from(*v < 0.0) << (k % 32);
            }
            let alpha = match rule {
                WeightScale::None => 1.0,
                _ => filter.iter().map(|v| v.abs() as f64).sum::<f64>() / filter.len() as f64,
            };
            signs.scale.push(alpha * norm.factor[o]);
        }
        Ok(signs)
    }
}
