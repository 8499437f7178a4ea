//! Parameters: how they start, and how they lie in files.

use super::{Format, Shape, TensorId, TensorInfo, round4};
use crate::rng::Counter;
use crate::{Error, Result};

/// First values of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Init {
    /// All zero.
    Zeros,
    /// One value for each plane, e.g. gamma 1 and beta 0.
    Planes(Vec<f32>),
    /// Normal with variance 2 / (fan_in + fan_out), fans counted with the kernel's area (Glorot and Bengio 2010).
    XavierNormal,
    /// Uniform with the variance of [`Init::XavierNormal`].
    XavierUniform,
    /// Normal with this standard deviation.
    Normal(f32),
}

/// How a parameter lies in weight files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParamLayout {
    /// [O, I/groups, KH, KW] (a transposed convolution's [I, O/groups, KH, KW] is the same memory).
    Conv(String),
    /// [O, I].
    Linear(String),
    /// Several vectors of C values, stored as planes `[P][C]` of one [`Format::Map`] tensor of shape (1, 1, P, C).
    Planes(Vec<String>),
}

/// A parameter of a plan.
#[derive(Debug, Clone)]
pub struct ParamInfo {
    /// Its tensor.
    pub tensor: TensorId,
    /// Its gradient, in plans that have one.
    pub grad: Option<TensorId>,
    /// The optimizer group, e.g. `detector`.
    pub group: String,
    /// Names and order in files.
    pub layout: ParamLayout,
    /// First values.
    pub init: Init,
    /// False for values that are saved with the weights but not learned (running statistics).
    pub learned: bool,
}

impl ParamInfo {
    /// The file tensors this parameter is made of, with their shapes.
    pub fn files(&self, shape: Shape) -> Vec<(String, Vec<usize>)> {
        let (n, h, w, c) = (shape.n as usize, shape.h as usize, shape.w as usize, shape.c as usize);
        match &self.layout {
            ParamLayout::Conv(name) => vec![(name.clone(), vec![c, w, n, h])],
            ParamLayout::Linear(name) => vec![(name.clone(), vec![c, w])],
            ParamLayout::Planes(names) => names.iter().map(|f| (f.clone(), vec![c])).collect(),
        }
    }

    /// Engine words from the file tensors, in the order of [`ParamInfo::files`].
    pub fn to_engine(&self, info: &TensorInfo, files: &[&[f32]]) -> Result<Vec<u32>> {
        match &self.layout {
            ParamLayout::Planes(names) => {
                let (c, pitch) = (info.shape.c as usize, round4(info.shape.c) as usize);
                let mut out = vec![0u32; names.len() * pitch];
                for (p, f) in files.iter().enumerate() {
                    check_len(&names[p], f.len(), c)?;
                    for (o, v) in out[p * pitch..].iter_mut().zip(f.iter()) {
                        *o = v.to_bits();
                    }
                }
                Ok(out)
            }
            ParamLayout::Conv(_) | ParamLayout::Linear(_) => to_engine(info, files[0]),
        }
    }

    /// File tensors from engine words, in the order of [`ParamInfo::files`].
    pub fn from_engine(&self, info: &TensorInfo, words: &[u32]) -> Result<Vec<Vec<f32>>> {
        match &self.layout {
            ParamLayout::Planes(names) => {
                let (c, pitch) = (info.shape.c as usize, round4(info.shape.c) as usize);
                Ok((0..names.len())
                    .map(|p| words[p * pitch..p * pitch + c].iter().map(|w| f32::from_bits(*w)).collect())
                    .collect())
            }
            ParamLayout::Conv(_) | ParamLayout::Linear(_) => Ok(vec![from_engine(info, words)?]),
        }
    }

    /// The file tensors' first values, drawn from `seed` and the file name alone, so that the same layer starts the
    /// same in every network and plan.
    pub fn initial(&self, shape: Shape, seed: u32) -> Vec<Vec<f32>> {
        let taps = (shape.n * shape.h) as f32;
        let (fan_in, fan_out) = (shape.w as f32 * taps, shape.c as f32 * taps);
        self.files(shape)
            .into_iter()
            .enumerate()
            .map(|(plane, (name, dims))| {
                let len: usize = dims.iter().product();
                let rng = Counter::named(seed, &name);
                let std = (2.0 / (fan_in + fan_out)).sqrt();
                (0..len as u32)
                    .map(|i| match &self.init {
                        Init::Zeros => 0.0,
                        Init::Planes(v) => v.get(plane).copied().unwrap_or(0.0),
                        Init::XavierNormal => std * rng.normal(i),
                        Init::XavierUniform => std * 3f32.sqrt() * (2.0 * rng.uniform(i) - 1.0),
                        Init::Normal(s) => s * rng.normal(i),
                    })
                    .collect()
            })
            .collect()
    }
}

fn check_len(name: &str, got: usize, want: usize) -> Result<()> {
    if got == want {
        return Ok(());
    }
    Err(Error::shape(name, format!("{want} values"), format!("{got}")))
}

/// From N,C,H,W (weights: O,I,KH,KW; dense formats: as they are) to the tensor's own format. Fixed-point numbers, bytes
/// and the bits of sign words are numbers here; dense integers are given as the bits of a float.
pub fn to_engine(info: &TensorInfo, data: &[f32]) -> Result<Vec<u32>> {
    let s = info.shape;
    check_len(&info.name, data.len(), s.len() as usize)?;
    let (n, h, w, c) = (s.n as usize, s.h as usize, s.w as usize, s.c as usize);
    let mut out = vec![0u32; info.format.elements(s) as usize];
    match info.format {
        Format::Fixed | Format::Bytes | Format::Words => {
            let (lane, words) = lanes(info.format, s.c);
            for i in 0..n {
                for k in 0..c {
                    let (word, shift, bits) = lane(k);
                    for p in 0..h * w {
                        let value = data[(i * c + k) * h * w + p] as i32 as u32;
                        out[(i * h * w + p) * words + word] |= (value & (u32::MAX >> (32 - bits))) << shift;
                    }
                }
            }
        }
        Format::Map => {
            let pitch = round4(s.c) as usize;
            for i in 0..n {
                for k in 0..c {
                    let plane = &data[(i * c + k) * h * w..][..h * w];
                    for (p, v) in plane.iter().enumerate() {
                        out[(i * h * w + p) * pitch + k] = v.to_bits();
                    }
                }
            }
        }
        Format::Weight => {
            // (n, h, w, c) = (KH, KW, C, O)
            let (cp, op) = (round4(s.w) as usize, round4(s.c) as usize);
            for o in 0..c {
                for i in 0..w {
                    for t in 0..n * h {
                        out[(t * cp + i) * op + o] = data[(o * w + i) * n * h + t].to_bits();
                    }
                }
            }
        }
        Format::Flat | Format::FlatU32 | Format::FlatI32 => {
            for (o, v) in out.iter_mut().zip(data) {
                *o = v.to_bits();
            }
        }
    }
    Ok(out)
}

/// Where channel k of a pixel lies in an integer map: word, lowest bit, number of bits.
type Lane = fn(usize) -> (usize, u32, u32);

/// The lanes of an integer map, and the words of a pixel.
fn lanes(format: Format, channels: u32) -> (Lane, usize) {
    match format {
        Format::Bytes => (|k| (k / 4, 8 * (k % 4) as u32, 8), channels.div_ceil(4) as usize),
        Format::Words => (|k| (k / 32, (k % 32) as u32, 1), channels.div_ceil(32) as usize),
        _ => (|k| (k, 0, 32), round4(channels) as usize),
    }
}

/// The reverse of [`to_engine`]; padding is dropped.
pub fn from_engine(info: &TensorInfo, words: &[u32]) -> Result<Vec<f32>> {
    let s = info.shape;
    check_len(&info.name, words.len(), info.format.elements(s) as usize)?;
    let (n, h, w, c) = (s.n as usize, s.h as usize, s.w as usize, s.c as usize);
    let mut out = vec![0f32; s.len() as usize];
    match info.format {
        Format::Fixed | Format::Bytes | Format::Words => {
            let (lane, pitch) = lanes(info.format, s.c);
            for i in 0..n {
                for k in 0..c {
                    let (word, shift, bits) = lane(k);
                    for p in 0..h * w {
                        let high = words[(i * h * w + p) * pitch + word] << (32 - bits - shift);
                        // Bits are 0 or 1, the others have a sign.
                        let value = if bits == 1 { (high >> 31) as i32 } else { high as i32 >> (32 - bits) };
                        out[(i * c + k) * h * w + p] = value as f32;
                    }
                }
            }
        }
        Format::Map => {
            let pitch = round4(s.c) as usize;
            for i in 0..n {
                for k in 0..c {
                    for p in 0..h * w {
                        out[(i * c + k) * h * w + p] = f32::from_bits(words[(i * h * w + p) * pitch + k]);
                    }
                }
            }
        }
        Format::Weight => {
            let (cp, op) = (round4(s.w) as usize, round4(s.c) as usize);
            for o in 0..c {
                for i in 0..w {
                    for t in 0..n * h {
                        out[(o * w + i) * n * h + t] = f32::from_bits(words[(t * cp + i) * op + o]);
                    }
                }
            }
        }
        Format::Flat | Format::FlatU32 | Format::FlatI32 => {
            for (o, v) in out.iter_mut().zip(words) {
                *o = f32::from_bits(*v);
            }
        }
    }
    Ok(out)
}
