//! The plan of a deploy file: its stages as operations, its numbers as constants.

use super::Precision;
use super::file::Numbers;
use super::program::{Kind, Program, Stage};
use crate::models::Detector;
use crate::ops::add::Add;
use crate::ops::binary_conv2d_fused::BinaryConv2dFused;
use crate::ops::fixed_l2_norm::FixedL2Norm;
use crate::ops::fixed_quantize::FixedQuantize;
use crate::ops::int8_conv2d::Int8Conv2d;
use crate::ops::l2_norm::L2Norm;
use crate::ops::max_pool2d::MaxPool2d;
use crate::ops::relu::Relu;
use crate::ops::threshold_pack::ThresholdPack;
use crate::ops::words_max_pool2d::WordsMaxPool2d;
use crate::plan::{Builder, Format, Mode, Plan, PlanLimits, Shape, TensorId, round4};
use crate::{Error, Result};

/// The tensors that the host writes and reads.
#[derive(Debug, Clone)]
pub struct Ends {
    /// The images: [`Format::Map`], or with [`Precision::Exact`] [`Format::Bytes`] of colours less 128.
    pub images: TensorId,
    /// The outputs of each head.
    pub heads: Vec<TensorId>,
    /// The maps of the values that were to be kept.
    pub kept: Vec<TensorId>,
}

/// The plan for `batch` images. `keep` are values (of [`Precision::Float`]) whose maps the host wants to read.
///
/// # Errors
/// Those of the operations: numbers of the wrong size, images that do not fit the device.
pub fn plan(
    detector: &Detector,
    program: &Program,
    numbers: &Numbers,
    limits: PlanLimits,
    batch: u32,
    keep: &[usize],
) -> Result<(Plan, Ends)> {
    let name = format!("{}, {}", detector.name(), numbers.precision.as_str());
    Builder::build(&name, Mode::Eval, limits, batch, |b| {
        let mut make = Make { b, program, numbers, made: vec![Made::default(); program.values.len()] };
        let shape = program.values[0].shape.with_n(batch);
        let exact = numbers.precision == Precision::Exact;
        let images = make.b.input("images", shape, if exact { Format::Bytes } else { Format::Map }, true);
        match exact {
            true => make.made[0].bytes = Some(images),
            false => make.made[0].map = Some(images),
        }
        for stage in &program.stages {
            make.stage(stage)?;
        }
        let heads = program.heads.iter().map(|h| make.map(h.value)).collect::<Result<Vec<_>>>()?;
        let kept = keep.iter().map(|v| make.map(*v)).collect::<Result<Vec<_>>>()?;
        for t in heads.iter().chain(&kept) {
            make.b.keep(*t);
        }
        Ok(Ends { images, heads, kept })
    })
}

/// The forms of a value that exist so far.
#[derive(Debug, Clone, Copy, Default)]
struct Made {
    map: Option<TensorId>,
    words: Option<TensorId>,
    bytes: Option<TensorId>,
}

struct Make<'a> {
    b: &'a mut Builder,
    program: &'a Program,
    numbers: &'a Numbers,
    made: Vec<Made>,
}

impl Make<'_> {
    fn exact(&self) -> bool {
        self.numbers.precision == Precision::Exact
    }

    fn missing(&self, value: usize, what: &str) -> Error {
        Error::shape(&self.program.values[value].name, what, "none: a mistake of ours")
    }

    fn map(&self, value: usize) -> Result<TensorId> {
        self.made[value].map.ok_or_else(|| self.missing(value, "a map"))
    }

    /// `len` words as planes of `channels` padded to 4.
    fn planes(&mut self, name: &str, planes: &[&[u32]], channels: u32, format: Format) -> TensorId {
        let pitch = round4(channels) as usize;
        let mut data = vec![0; planes.len() * pitch];
        for (to, from) in data.chunks_exact_mut(pitch).zip(planes) {
            to[..from.len()].copy_from_slice(from);
        }
        self.b.constant(name, Shape::new(1, 1, planes.len() as u32, pitch as u32), format, data)
    }

    /// What is added to a value before its sign, one a channel.
    fn threshold(&self, value: usize) -> Result<Option<Vec<u32>>> {
        let value = &self.program.values[value];
        let Some(need) = &value.words else { return Ok(None) };
        let reader = &self.program.stages[need.reader];
        match &reader.kind {
            Kind::Binary { before: Some(_), .. } => {
                self.numbers.words(&format!("{}.threshold", reader.name), value.shape.c as usize).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The sign words of a value, from its map where its stage did not make them.
    fn words(&mut self, value: usize) -> Result<TensorId> {
        if let Some(t) = self.made[value].words {
            return Ok(t);
        }
        let (map, info) = (self.map(value)?, &self.program.values[value]);
        let need = info.words.as_ref().ok_or_else(|| self.missing(value, "sign words"))?;
        let threshold = self.threshold(value)?.unwrap_or_default();
        let (name, channels) = (format!("{}.signs", info.name), info.shape.c);
        let format = if self.exact() { Format::FlatI32 } else { Format::Flat };
        let threshold = self.planes(&format!("{name}.threshold"), &[&threshold], channels, format);
        let op = ThresholdPack { fixed: self.exact(), domain: need.domain };
        let words = self.b.apply1(op, &name, &[map, threshold])?;
        self.made[value].words = Some(words);
        Ok(words)
    }

    /// The bytes of a value for a convolution in integers.
    fn bytes(&mut self, value: usize) -> Result<TensorId> {
        if let Some(t) = self.made[value].bytes {
            return Ok(t);
        }
        let name = format!("{}.bytes", self.program.values[value].name);
        // The average of windows is taken on the way.
        let pooled = self.program.stages.iter().find_map(|s| match &s.kind {
            Kind::AvgPool(p) if s.y == value => Some((s.x, p.window)),
            _ => None,
        });
        let map = self.map(pooled.map_or(value, |p| p.0))?;
        let q = self.numbers.quantizer(&self.program.values[value].name)?;
        let op = FixedQuantize { pool: pooled.map(|p| p.1), mul: q.mul, shift: q.shift, zero: q.zero };
        let bytes = self.b.apply1(op, &name, &[map])?;
        self.made[value].bytes = Some(bytes);
        Ok(bytes)
    }

    fn stage(&mut self, stage: &Stage) -> Result<()> {
        let label = stage.name.as_str();
        let outputs = self.program.outputs(stage);
        match &stage.kind {
            Kind::Conv { op, residual, relu, .. } if self.exact() => {
                if residual.is_some() {
                    return Err(self.missing(stage.y, "a convolution in integers without a shortcut"));
                }
                let x = self.bytes(stage.x)?;
                let c = self.b.shape(x).c;
                let [kh, kw] = op.kernel;
                let weight = self.numbers.bytes(label, outputs, kh * kw, c)?;
                let weight_shape = Shape::new(kh, kw, c.div_ceil(4), round4(outputs));
                let w = self.b.constant(&format!("{label}.weight"), weight_shape, Format::FlatU32, weight);
                let affine = self.numbers.affine(label, 4, outputs as usize)?;
                let planes: Vec<&[u32]> = affine.chunks(outputs as usize).collect();
                let affine = self.planes(&format!("{label}.affine"), &planes, outputs, Format::FlatI32);
                let op = Int8Conv2d {
                    kernel: op.kernel,
                    stride: op.stride,
                    padding: op.padding,
                    dilation: op.dilation,
                    outputs,
                    relu: *relu,
                    pad: self.numbers.pad(&self.program.values[stage.x].name, stage.x == 0)?,
                };
                self.made[stage.y].map = Some(self.b.apply1(op, label, &[x, w, affine])?);
            }
            Kind::Conv { op, residual, relu, .. } => {
                let x = self.map(stage.x)?;
                let c = self.b.shape(x).c;
                let [kh, kw] = op.kernel;
                let weight = self.numbers.dense(label, outputs, kh * kw, c)?;
                let shape = Shape::new(kh, kw, c, outputs);
                let w = self.b.constant(&format!("{label}.weight"), shape, Format::Weight, weight);
                let bias = self.numbers.words(&format!("{label}.bias"), outputs as usize)?;
                let mut padded = bias;
                padded.resize(round4(outputs) as usize, 0);
                let bias = self.b.constant(&format!("{label}.bias"), Shape::vector(outputs), Format::Map, padded);
                let mut y = self.b.apply1(*op, label, &[x, w, bias])?;
                if let Some(r) = residual {
                    y = self.b.apply1(Add, &format!("{label}.sum"), &[y, self.map(*r)?])?;
                }
                if *relu {
                    y = self.b.apply1(Relu, &format!("{label}.relu"), &[y])?;
                }
                self.made[stage.y].map = Some(y);
            }
            Kind::Binary { op, residual, relu, .. } => {
                let x = self.words(stage.x)?;
                let c = self.b.shape(x).c;
                let taps = op.kernel[0] * op.kernel[1];
                let (words, pitch) = (c.div_ceil(32), round4(outputs) as usize);
                let rows = (taps * words) as usize;
                let packed = self.numbers.words(&format!("{label}.words"), rows * outputs as usize)?;
                let mut padded = vec![0; rows * pitch];
                for (to, from) in padded.chunks_exact_mut(pitch).zip(packed.chunks_exact(outputs as usize)) {
                    to[..from.len()].copy_from_slice(from);
                }
                let shape = Shape::new(op.kernel[0], op.kernel[1], words, pitch as u32);
                let w = self.b.constant(&format!("{label}.words"), shape, Format::FlatU32, padded);
                let planes = if self.exact() { 3 } else { 2 };
                let affine = self.numbers.affine(label, planes, outputs as usize)?;
                let mut list: Vec<&[u32]> = affine.chunks(outputs as usize).collect();
                if !self.exact() {
                    list.insert(1, &[]);
                }
                let threshold = self.threshold(stage.y)?.unwrap_or_default();
                list.push(&threshold);
                let affine = self.planes(&format!("{label}.affine"), &list, outputs, Format::FlatU32);
                let value = &self.program.values[stage.y];
                let map = value.map || value.conv || value.words.is_none();
                let op = BinaryConv2dFused {
                    conv: *op,
                    outputs,
                    fixed: self.exact(),
                    relu: *relu,
                    map,
                    pack: value.words.as_ref().map(|w| w.domain),
                };
                let mut inputs = vec![x, w, affine];
                if let Some(r) = residual {
                    inputs.push(self.map(*r)?);
                }
                let mut made = self.b.apply(op, label, &inputs)?.into_iter();
                if map {
                    self.made[stage.y].map = made.next();
                }
                self.made[stage.y].words = made.next();
            }
            Kind::MaxPool(window) => {
                let value = &self.program.values[stage.y];
                if value.words.is_some() && self.program.values[stage.x].words == value.words {
                    let x = self.words(stage.x)?;
                    self.made[stage.y].words = Some(self.b.apply1(WordsMaxPool2d(*window), label, &[x])?);
                } else if self.exact() {
                    return Err(self.missing(stage.y, "a pool of signs"));
                } else {
                    let x = self.map(stage.x)?;
                    self.made[stage.y].map = Some(self.b.apply1(MaxPool2d(*window), label, &[x])?);
                }
            }
            // With the bytes of the convolution that reads it.
            Kind::AvgPool(_) if self.exact() => {}
            Kind::AvgPool(pool) => {
                let x = self.map(stage.x)?;
                self.made[stage.y].map = Some(self.b.apply1(*pool, label, &[x])?);
            }
            Kind::L2Norm { .. } if self.exact() => {
                let x = self.map(stage.x)?;
                let c = self.b.shape(x).c;
                let lengths = self.numbers.words(&format!("{label}.weight"), c as usize)?;
                let lengths = self.planes(&format!("{label}.weight"), &[&lengths], c, Format::FlatI32);
                let shift = self.numbers.words(&format!("{label}.shift"), 1)?[0];
                self.made[stage.y].bytes = Some(self.b.apply1(FixedL2Norm { shift }, label, &[x, lengths])?);
            }
            Kind::L2Norm { eps, .. } => {
                let x = self.map(stage.x)?;
                let c = self.b.shape(x).c;
                let mut lengths = self.numbers.words(&format!("{label}.weight"), c as usize)?;
                lengths.resize(round4(c) as usize, 0);
                let lengths = self.b.constant(&format!("{label}.weight"), Shape::vector(c), Format::Map, lengths);
                self.made[stage.y].map = Some(self.b.apply1(L2Norm { eps: *eps }, label, &[x, lengths])?);
            }
            Kind::Relu if self.exact() => return Err(self.missing(stage.y, "a ReLU behind a convolution")),
            Kind::Relu => {
                let x = self.map(stage.x)?;
                self.made[stage.y].map = Some(self.b.apply1(Relu, label, &[x])?);
            }
        }
        Ok(())
    }
}
