//! Weight files of other programs: PyTorch checkpoints and safetensors, as named arrays of any number type, each decoded
//! when it is asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype as StDtype, SafeTensors};

use super::{FileTensor, WeightFile, pth};
use crate::{Error, Result};

/// Number types of arrays that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// IEEE half.
    F16,
    /// The upper half of a 32-bit float.
    Bf16,
    /// 64-bit integer.
    I64,
    /// 32-bit integer.
    I32,
    /// 16-bit integer.
    I16,
    /// 8-bit integer.
    I8,
    /// Byte.
    U8,
    /// Truth value in a byte.
    Bool,
}

impl Dtype {
    /// Bytes of one value.
    pub fn bytes(self) -> usize {
        match self {
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 => 2,
            Dtype::I8 | Dtype::U8 | Dtype::Bool => 1,
        }
    }

    /// Whether its values are floats.
    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16)
    }

    /// PyTorch's name.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "float32",
            Dtype::F64 => "float64",
            Dtype::F16 => "float16",
            Dtype::Bf16 => "bfloat16",
            Dtype::I64 => "int64",
            Dtype::I32 => "int32",
            Dtype::I16 => "int16",
            Dtype::I8 => "int8",
            Dtype::U8 => "uint8",
            Dtype::Bool => "bool",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The forms of files that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// safetensors.
    Safetensors,
    /// `torch.save` since PyTorch 1.6: a zip archive.
    TorchZip,
    /// `torch.save` before: pickles, then the arrays' bytes.
    TorchLegacy,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Form::Safetensors => "safetensors",
            Form::TorchZip => "PyTorch checkpoint (zip)",
            Form::TorchLegacy => "PyTorch checkpoint (older form)",
        })
    }
}

/// One array: where its values lie. Ranges and strides were checked when the file was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignTensor {
    /// Number type.
    pub dtype: Dtype,
    /// Extents; none for a single number.
    pub shape: Vec<usize>,
    /// Values between neighbours, an extent each.
    pub(super) strides: Vec<usize>,
    /// The block of bytes, and the first value's place in it.
    pub(super) block: usize,
    pub(super) start: usize,
}

impl ForeignTensor {
    /// Values.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// An opened file of another program.
#[derive(Debug)]
pub struct Foreign {
    /// The file.
    pub path: PathBuf,
    /// Its form.
    pub form: Form,
    /// Keys of the dictionaries around the tensors, outermost first (`state_dict`).
    pub inside: Vec<String>,
    /// What lay beside the tensors and was left there, by key.
    pub beside: Vec<String>,
    /// What was taken off the front of all names (`module.`).
    pub prefix: String,
    /// The arrays, by name.
    pub tensors: BTreeMap<String, ForeignTensor>,
    /// Block 0 is the file; others are what was packed in it.
    pub(super) blocks: Vec<Vec<u8>>,
}

/// The most extents of an array.
pub(super) const MAX_DIMS: usize = 8;

impl Foreign {
    /// Whether a file begins as a PyTorch checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_foreign(path: &Path) -> Result<bool> {
        let read = || {
            let mut first = Vec::new();
            std::fs::File::open(path)?.take(512).read_to_end(&mut first)?;
            Ok(pth::is_checkpoint(&first))
        };
        read().map_err(|e| Error::io("read", path, e))
    }

    /// Opens a PyTorch checkpoint or a safetensors file; which it is, its first bytes tell.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Format`] with the place for whatever is not as it should be. Memory stays within a small
    /// multiple of the file; nothing of a file is ever run.
    pub fn open(path: &Path) -> Result<Foreign> {
        let kind = std::fs::metadata(path).map_err(|e| Error::io("read", path, e))?;
        if !kind.is_file() {
            // A device file might never end.
            return Err(Error::format(path, "is not a regular file", "Give a .pth or safetensors file."));
        }
        Foreign::from_bytes(path, std::fs::read(path).map_err(|e| Error::io("read", path, e))?)
    }

    /// [`Foreign::open`] for bytes already in memory; `path` is only named in errors.
    ///
    /// # Errors
    /// As [`Foreign::open`].
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Foreign> {
        let mut file = if pth::is_checkpoint(&bytes) { pth::read(path, bytes)? } else { safetensors(path, bytes)? };
        let total = file.blocks.iter().map(Vec::len).sum::<usize>();
        let elements = file.tensors.values().fold(0usize, |n, t| n.saturating_add(t.elements()));
        if elements > total {
            // Several arrays may share bytes; honest ones (tied weights) do so once or twice.
            return Err(Error::format(
                path,
                format!("claims {elements} values in {total} bytes"),
                "Expected arrays that lie in the file. Is it from a source you trust?",
            ));
        }
        if let Some(prefix) = ["module.", "model."].into_iter().find(|p| file.tensors.keys().all(|n| n.starts_with(p)))
            && !file.tensors.is_empty()
        {
            // DataParallel wraps a network as `module`; some trainers as `model`.
            let strip = |(n, t): (String, ForeignTensor)| (n[prefix.len()..].to_string(), t);
            // MobileNetV1's own names begin with `model.0`.
            if prefix == "module." || file.tensors.keys().any(|n| !n[prefix.len()..].starts_with(char::is_numeric)) {
                file.tensors = std::mem::take(&mut file.tensors).into_iter().map(strip).collect();
                file.prefix = prefix.to_string();
            }
        }
        Ok(file)
    }

    /// An array as floats, in row-major order. Integers become the nearest float.
    ///
    /// # Errors
    /// An unknown name, or a 64-bit float that is finite and too large for 32 bits.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>> {
        let Some(t) = self.tensors.get(name) else {
            return Err(Error::format(&self.path, format!("holds no tensor {name}"), "Check the name."));
        };
        let size = t.dtype.bytes();
        let block = &self.blocks[t.block];
        let mut out = Vec::with_capacity(t.elements());
        let mut overflow = None;
        let mut push = |b: &[u8]| {
            let v = value(t.dtype, b);
            if v.is_finite() && !(v as f32).is_finite() {
                overflow = Some(v);
            }
            out.push(v as f32);
        };
        if t.elements() > 0 {
            // Row by row: within the last extent the values are a stride apart.
            let (row, step) = match (t.shape.last(), t.strides.last()) {
                (Some(n), Some(s)) => (*n, *s),
                _ => (1, 1),
            };
            let outer = t.shape.len().saturating_sub(1);
            let mut index = [0usize; MAX_DIMS];
            'rows: loop {
                let first: usize = (0..outer).map(|d| index[d] * t.strides[d]).sum();
                for i in 0..row {
                    let at = t.start + (first + i * step) * size;
                    push(&block[at..at + size]);
                }
                for d in (0..outer).rev() {
                    index[d] += 1;
                    if index[d] < t.shape[d] {
                        continue 'rows;
                    }
                    index[d] = 0;
                }
                break;
            }
        }
        match overflow {
            None => Ok(out),
            Some(v) => Err(Error::format(
                &self.path,
                format!("tensor {name} holds {v:e}, which is too large for 32-bit floats"),
                "Weights of this size are of no use; the file is damaged or not a network's.",
            )),
        }
    }

    /// All float arrays as a weight file.
    ///
    /// # Errors
    /// As [`Foreign::floats`].
    pub fn to_weights(&self) -> Result<WeightFile> {
        let mut out = WeightFile { path: self.path.clone(), ..Default::default() };
        for (name, t) in self.tensors.iter().filter(|(_, t)| t.dtype.is_float()) {
            out.tensors.insert(name.clone(), FileTensor::floats(t.shape.clone(), &self.floats(name)?));
        }
        Ok(out)
    }
}

fn value(dtype: Dtype, b: &[u8]) -> f64 {
    // The slice has the type's length.
    fn bytes<const N: usize>(b: &[u8]) -> [u8; N] {
        b.try_into().unwrap_or([0; N])
    }
    match dtype {
        Dtype::F32 => f64::from(f32::from_le_bytes(bytes(b))),
        Dtype::F64 => f64::from_le_bytes(bytes(b)),
        Dtype::F16 => half::f16::from_le_bytes(bytes(b)).to_f64(),
        Dtype::Bf16 => half::bf16::from_le_bytes(bytes(b)).to_f64(),
        Dtype::I64 => i64::from_le_bytes(bytes(b)) as f64,
        Dtype::I32 => f64::from(i32::from_le_bytes(bytes(b))),
        Dtype::I16 => f64::from(i16::from_le_bytes(bytes(b))),
        Dtype::I8 => f64::from(i8::from_le_bytes(bytes(b))),
        Dtype::U8 | Dtype::Bool => f64::from(b[0]),
    }
}

/// Bytes that the values of a strided array span, from its first value on; `None` when they overflow or the extents are
/// too many.
pub(super) fn span(dtype: Dtype, shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.len() != strides.len() || shape.len() > MAX_DIMS {
        return None;
    }
    shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
    if shape.contains(&0) {
        return Some(0);
    }
    let last = shape.iter().zip(strides).try_fold(0usize, |at, (n, s)| at.checked_add((n - 1).checked_mul(*s)?))?;
    last.checked_add(1)?.checked_mul(dtype.bytes())
}

fn safetensors(path: &Path, bytes: Vec<u8>) -> Result<Foreign> {
    let damaged = |problem: String| {
        Error::format(
            path,
            problem,
            "Expected a PyTorch checkpoint (.pth, .pt) or a safetensors file, whole and unaltered; download or save it \
             again.",
        )
    };
    let (header, metadata) =
        SafeTensors::read_metadata(&bytes).map_err(|e| damaged(format!("cannot be read as safetensors: {e}")))?;
    // Checks that the arrays fill the rest of the file.
    SafeTensors::deserialize(&bytes).map_err(|e| damaged(format!("cannot be read as safetensors: {e}")))?;
    let mut tensors = BTreeMap::new();
    for (name, info) in metadata.tensors() {
        let dtype = match info.dtype {
            StDtype::F32 => Dtype::F32,
            StDtype::F64 => Dtype::F64,
            StDtype::F16 => Dtype::F16,
            StDtype::BF16 => Dtype::Bf16,
            StDtype::I64 | StDtype::U64 => Dtype::I64,
            StDtype::I32 | StDtype::U32 => Dtype::I32,
            StDtype::I16 | StDtype::U16 => Dtype::I16,
            StDtype::I8 => Dtype::I8,
            StDtype::U8 => Dtype::U8,
            StDtype::BOOL => Dtype::Bool,
            other => return Err(damaged(format!("tensor {name} has type {other:?}, which is not read here"))),
        };
        let mut strides = vec![1usize; info.shape.len()];
        for d in (1..info.shape.len()).rev() {
            strides[d - 1] = strides[d].saturating_mul(info.shape[d]);
        }
        let range: Range<usize> = info.data_offsets.0..info.data_offsets.1;
        if span(dtype, &info.shape, &strides) != Some(range.len()) {
            return Err(damaged(format!("tensor {name} has an impossible shape {:?}", info.shape)));
        }
        let start = 8 + header + range.start;
        tensors.insert(name.clone(), ForeignTensor { dtype, shape: info.shape.clone(), strides, block: 0, start });
    }
    Ok(Foreign {
        path: path.to_path_buf(),
        form: Form::Safetensors,
        inside: Vec::new(),
        beside: Vec::new(),
        prefix: String::new(),
        tensors,
        blocks: vec![bytes],
    })
}
