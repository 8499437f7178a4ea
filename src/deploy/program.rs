//! A network as inference runs it: the operations that evaluation applies, with batch norm, shortcuts, ReLU and signs drawn
//! into the convolution before them, and the two heads of a map made one.

use std::any::Any;
use std::collections::{HashMap, HashSet};

use crate::models::Detector;
use crate::ops::add::Add;
use crate::ops::avg_pool2d::AvgPool2d;
use crate::ops::batch_norm2d::BatchNorm2d;
use crate::ops::binary_conv2d::{BinaryConv2d, InputDomain};
use crate::ops::conv2d::Conv2d;
use crate::ops::gather_heads::GatherHeads;
use crate::ops::l2_norm::L2Norm;
use crate::ops::max_pool2d::MaxPool2d;
use crate::ops::pool::PoolWindow;
use crate::ops::relu::Relu;
use crate::plan::{Builder, Io, Mode, ParamLayout, PlanLimits, Shape, TensorId};
use crate::{Error, Result};

/// A batch norm's parameters by their names in weight files.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// Gamma and beta.
    pub affine: Option<[String; 2]>,
    /// Running mean and variance.
    pub running: [String; 2],
    /// Added to the variance.
    pub eps: f32,
}

/// Which output channels of a convolution inference keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All.
    All,
    /// Of every eight the last four: a location's means, without its log-variances.
    Means,
}

/// Convolution weights by their names in weight files, with the batch norm behind them.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// `[O][C][KH][KW]`.
    pub weight: String,
    /// `[O]`.
    pub bias: Option<String>,
    /// Drawn into weight and bias.
    pub norm: Option<Norm>,
    /// Which outputs.
    pub keep: Keep,
}

/// What a stage computes.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // A network has a few dozen.
pub enum Kind {
    /// A convolution of real numbers; its parts' outputs lie side by side.
    Conv {
        /// Geometry.
        op: Conv2d,
        /// Weights, one part but for heads.
        parts: Vec<Part>,
        /// Added to the output.
        residual: Option<usize>,
        /// Whether what is negative becomes 0.
        relu: bool,
    },
    /// A packed binary convolution.
    Binary {
        /// Geometry and rules.
        op: BinaryConv2d,
        /// Weights.
        part: Part,
        /// Added to the output.
        residual: Option<usize>,
        /// Whether what is negative becomes 0.
        relu: bool,
        /// The batch norm in front of the sign of the input (XNOR-Net's order).
        before: Option<Norm>,
    },
    /// The average of windows.
    AvgPool(AvgPool2d),
    /// The maximum of windows.
    MaxPool(PoolWindow),
    /// Each pixel's channels to learned lengths.
    L2Norm {
        /// Added to the norm.
        eps: f32,
        /// The lengths' name.
        weight: String,
    },
    /// What is negative becomes 0.
    Relu,
}

/// A stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The name of its operation in `info`.
    pub name: String,
    /// What it computes.
    pub kind: Kind,
    /// The value it reads.
    pub x: usize,
    /// The value it makes.
    pub y: usize,
}

/// The sign words of a value that a binary convolution reads.
#[derive(Debug, Clone, PartialEq)]
pub struct WordsNeed {
    /// What bits mean.
    pub domain: InputDomain,
    /// The stage that reads them.
    pub reader: usize,
}

/// What flows between stages.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// A name.
    pub name: String,
    /// Extents, for one image.
    pub shape: Shape,
    /// Whether somebody reads numbers to add, pool or normalise.
    pub map: bool,
    /// Whether a convolution of real numbers reads it.
    pub conv: bool,
    /// Whether a binary convolution reads its signs.
    pub words: Option<WordsNeed>,
    /// Whether it is never negative.
    pub positive: bool,
}

/// One source map's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The value: a pixel's channels are 4 location means a box, then the class logits of each box.
    pub value: usize,
    /// Boxes a cell.
    pub boxes: u32,
}

/// The network.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// In an order in which they can run.
    pub stages: Vec<Stage>,
    /// What flows; 0 are the images.
    pub values: Vec<Value>,
    /// The outputs, in the order of the priors.
    pub heads: Vec<Head>,
}

impl Program {
    /// The network of a detector.
    ///
    /// # Errors
    /// Those of the network; a structure that this does not know, which is our own mistake.
    pub fn of(detector: &Detector) -> Result<Program> {
        let (_, program) = Builder::build(&detector.name(), Mode::Eval, PlanLimits::HOST, 1, |b| {
            let network = detector.network(b)?;
            Walk::new(b, network.images)?.program()
        })?;
        Ok(program)
    }

    /// Output channels of a stage.
    pub fn outputs(&self, stage: &Stage) -> u32 {
        self.values[stage.y].shape.c
    }
}

/// The operations of a builder on their way to stages.
struct Walk<'a> {
    b: &'a Builder,
    readers: HashMap<TensorId, Vec<usize>>,
    /// Operations that are part of another one's stage.
    drawn: HashSet<usize>,
    values: Vec<Value>,
    value_of: HashMap<TensorId, usize>,
    /// Batch norms in front of signs: the tensor they make, and what they read.
    before: HashMap<TensorId, (TensorId, Norm)>,
    /// With the place of the last operation that belongs to it.
    stages: Vec<(usize, Stage)>,
}

/// What has been drawn into a convolution.
struct Tail {
    norm: Option<Norm>,
    residual: Option<TensorId>,
    relu: bool,
    y: TensorId,
    last: usize,
}

fn op<T: Any>(b: &Builder, i: usize) -> Option<&T> {
    (&*b.applied()[i].0 as &dyn Any).downcast_ref()
}

impl<'a> Walk<'a> {
    fn new(b: &'a Builder, images: TensorId) -> Result<Self> {
        let mut readers: HashMap<TensorId, Vec<usize>> = HashMap::new();
        for (i, (_, io)) in b.applied().iter().enumerate() {
            for t in &io.inputs {
                readers.entry(*t).or_default().push(i);
            }
        }
        let mut walk = Walk {
            b,
            readers,
            drawn: HashSet::new(),
            values: Vec::new(),
            value_of: HashMap::new(),
            before: HashMap::new(),
            stages: Vec::new(),
        };
        walk.value(images, false);
        Ok(walk)
    }

    fn io(&self, i: usize) -> &'a Io {
        &self.b.applied()[i].1
    }

    fn unknown(&self, i: usize) -> Error {
        let (op, io) = &self.b.applied()[i];
        Error::shape(&io.label, "an operation that inference knows at this place", op.name())
    }

    fn value(&mut self, t: TensorId, positive: bool) -> usize {
        let info = self.b.info(t);
        *self.value_of.entry(t).or_insert_with(|| {
            self.values.push(Value {
                name: info.name.clone(),
                shape: info.shape.with_n(1),
                map: false,
                conv: false,
                words: None,
                positive,
            });
            self.values.len() - 1
        })
    }

    fn files(&self, t: TensorId, i: usize) -> Result<Vec<String>> {
        let info = self.b.param_info(t).ok_or_else(|| self.unknown(i))?;
        Ok(match &info.layout {
            ParamLayout::Conv(name) | ParamLayout::Linear(name) => vec![name.clone()],
            ParamLayout::Planes(names) => names.clone(),
        })
    }

    fn norm(&self, i: usize, op: &BatchNorm2d) -> Result<Norm> {
        let io = self.io(i);
        let two = |t: TensorId| -> Result<[String; 2]> { self.files(t, i)?.try_into().map_err(|_| self.unknown(i)) };
        let affine = if op.affine { Some(two(io.inputs[1])?) } else { None };
        Ok(Norm { affine, running: two(io.inputs[1 + op.affine as usize])?, eps: op.eps })
    }

    /// Follows a convolution's output through what can be drawn into it.
    fn tail(&mut self, i: usize) -> Result<Tail> {
        let mut tail = Tail { norm: None, residual: None, relu: false, y: self.io(i).outputs[0], last: i };
        while !tail.relu {
            let Some(&[next]) = self.readers.get(&tail.y).map(Vec::as_slice) else { break };
            let io = self.io(next);
            if let Some(n) = op::<BatchNorm2d>(self.b, next) {
                if tail.norm.is_some() || tail.residual.is_some() || io.inputs[0] != tail.y || !n.affine {
                    break;
                }
                tail.norm = Some(self.norm(next, n)?);
                tail.residual = io.inputs.get(3).copied();
            } else if op::<Add>(self.b, next).is_some() && tail.residual.is_none() {
                tail.residual = io.inputs.iter().copied().find(|t| *t != tail.y);
            } else if op::<Relu>(self.b, next).is_some() {
                tail.relu = true;
            } else {
                break;
            }
            self.drawn.insert(next);
            (tail.y, tail.last) = (io.outputs[0], next);
        }
        Ok(tail)
    }

    fn program(mut self) -> Result<Program> {
        let mut gathered = Vec::new();
        for i in 0..self.b.applied().len() {
            if self.drawn.contains(&i) {
                continue;
            }
            let io = self.io(i);
            if let Some(n) = op::<BatchNorm2d>(self.b, i) {
                // In front of a sign; anything else would have been drawn into a convolution.
                if n.affine || io.inputs.len() > 2 {
                    return Err(self.unknown(i));
                }
                let norm = self.norm(i, n)?;
                self.before.insert(io.outputs[0], (io.inputs[0], norm));
                continue;
            }
            if let Some(g) = op::<GatherHeads>(self.b, i) {
                gathered.push((g.values, io.inputs.clone()));
                continue;
            }
            let (kind, x, y, positive, last) = self.kind(i)?;
            let (x, y) = (self.value(x, false), self.value(y, positive));
            self.stages.push((last, Stage { name: io.label.clone(), kind, x, y }));
        }
        self.stages.sort_by_key(|(last, _)| *last);
        let mut program =
            Program { stages: self.stages.into_iter().map(|s| s.1).collect(), values: self.values, heads: Vec::new() };
        let ids = |list: &[TensorId]| list.iter().filter_map(|t| self.value_of.get(t).copied()).collect::<Vec<_>>();
        let [(8, loc), (classes, conf)] = &gathered[..] else {
            return Err(Error::shape("heads", "locations of 8 values, then class logits", format!("{gathered:?}")));
        };
        program.join_heads(&ids(loc), &ids(conf), *classes)?;
        program.find_needs()?;
        Ok(program)
    }

    /// What operation `i` is, what it reads and makes, whether that is never negative, and the last operation in it.
    fn kind(&mut self, i: usize) -> Result<(Kind, TensorId, TensorId, bool, usize)> {
        let io = self.io(i);
        let (x, y) = (io.inputs[0], io.outputs[0]);
        let b = self.b;
        if let Some(conv) = op::<Conv2d>(b, i) {
            let bias = io.inputs.get(2).map(|t| self.files(*t, i)).transpose()?.map(|mut f| f.swap_remove(0));
            let tail = self.tail(i)?;
            let part =
                Part { weight: self.files(io.inputs[1], i)?.swap_remove(0), bias, norm: tail.norm, keep: Keep::All };
            let residual = tail.residual.map(|t| self.value(t, false));
            let kind = Kind::Conv { op: *conv, parts: vec![part], residual, relu: tail.relu };
            return Ok((kind, x, tail.y, tail.relu, tail.last));
        }
        if let Some(conv) = op::<BinaryConv2d>(b, i) {
            let (x, before) = match self.before.get(&x) {
                Some((x, norm)) => (*x, Some(norm.clone())),
                None => (x, None),
            };
            let tail = self.tail(i)?;
            let weight = self.files(io.inputs[1], i)?.swap_remove(0);
            let part = Part { weight, bias: None, norm: tail.norm, keep: Keep::All };
            let residual = tail.residual.map(|t| self.value(t, false));
            let kind = Kind::Binary { op: *conv, part, residual, relu: tail.relu, before };
            return Ok((kind, x, tail.y, tail.relu, tail.last));
        }
        if let Some(pool) = op::<AvgPool2d>(b, i) {
            return Ok((Kind::AvgPool(*pool), x, y, false, i));
        }
        if let Some(MaxPool2d(window)) = op::<MaxPool2d>(b, i) {
            return Ok((Kind::MaxPool(*window), x, y, false, i));
        }
        if let Some(norm) = op::<L2Norm>(b, i) {
            let weight = self.files(io.inputs[1], i)?.swap_remove(0);
            return Ok((Kind::L2Norm { eps: norm.eps, weight }, x, y, false, i));
        }
        if op::<Relu>(b, i).is_some() {
            return Ok((Kind::Relu, x, y, true, i));
        }
        Err(self.unknown(i))
    }
}

impl Program {
    /// Makes the two heads of each source one convolution.
    fn join_heads(&mut self, loc: &[usize], conf: &[usize], classes: u32) -> Result<()> {
        for (k, (l, c)) in loc.iter().zip(conf).enumerate() {
            let take = |stages: &mut Vec<Stage>, y: usize| -> Option<Stage> {
                let at = stages.iter().position(|s| s.y == y)?;
                Some(stages.remove(at))
            };
            let (Some(mut head), Some(other)) = (take(&mut self.stages, *l), take(&mut self.stages, *c)) else {
                return Err(Error::shape("heads", "a convolution behind each of them", "none"));
            };
            let boxes = self.values[*l].shape.c / 8;
            let (Kind::Conv { parts, .. }, Kind::Conv { parts: more, .. }) = (&mut head.kind, other.kind) else {
                return Err(Error::shape("heads", "convolutions", head.name));
            };
            parts[0].keep = Keep::Means;
            parts.extend(more);
            head.name = format!("head.{k}");
            let value = &mut self.values[*l];
            (value.name, value.shape.c) = (head.name.clone(), boxes * (4 + classes));
            self.heads.push(Head { value: *l, boxes });
            self.stages.push(head);
        }
        Ok(())
    }

    /// Who reads what; from the last stage to the first, because a pool of signs only is known by its readers.
    fn find_needs(&mut self) -> Result<()> {
        for h in &self.heads {
            self.values[h.value].map = true;
        }
        for (i, s) in self.stages.iter().enumerate().rev() {
            let y = self.values[s.y].clone();
            let x = &mut self.values[s.x];
            match &s.kind {
                Kind::Conv { residual, .. } => {
                    x.conv = true;
                    if let Some(r) = residual {
                        self.values[*r].map = true;
                    }
                }
                Kind::Binary { residual, op, .. } => {
                    if x.words.is_some() {
                        return Err(Error::shape(&s.name, "one binary convolution a map", "two"));
                    }
                    x.words = Some(WordsNeed { domain: op.domain, reader: i });
                    if let Some(r) = residual {
                        self.values[*r].map = true;
                    }
                }
                Kind::MaxPool(_) => match &y.words {
                    Some(w) if !y.map && !y.conv && w.domain == InputDomain::Sign => x.words = y.words,
                    _ => x.map = true,
                },
                Kind::AvgPool(_) | Kind::L2Norm { .. } | Kind::Relu => x.map = true,
            }
        }
        Ok(())
    }
}
