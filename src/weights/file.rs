//! Reading and writing safetensors.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, View};

use crate::{Error, Result};

/// The one metadata key of our files; its value is JSON. (A single key, because the order of several would differ from
/// run to run, and equal runs must give equal bytes.)
const KEY: &str = "autobidet";

/// A named array of a file, as f32 or as 32-bit words.
#[derive(Debug, Clone, PartialEq)]
pub struct FileTensor {
    /// Extents.
    pub shape: Vec<usize>,
    /// Values; integers as the bits of a u32.
    pub words: Vec<u32>,
    /// Whether the values are floats.
    pub float: bool,
}

impl FileTensor {
    /// A float array.
    pub fn floats(shape: Vec<usize>, data: &[f32]) -> Self {
        FileTensor { shape, words: data.iter().map(|v| v.to_bits()).collect(), float: true }
    }
    /// An array of u32.
    pub fn integers(shape: Vec<usize>, words: Vec<u32>) -> Self {
        FileTensor { shape, words, float: false }
    }
    /// The values as floats.
    pub fn to_f32(&self) -> Vec<f32> {
        self.words.iter().map(|w| if self.float { f32::from_bits(*w) } else { *w as f32 }).collect()
    }
}

/// All arrays of a file, by name, and its metadata.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WeightFile {
    /// Where it came from, for messages.
    pub path: PathBuf,
    /// The arrays.
    pub tensors: BTreeMap<String, FileTensor>,
    /// Our metadata, JSON; empty in files of others.
    pub metadata: String,
}

struct Stored<'a>(&'a FileTensor);

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        if self.0.float { Dtype::F32 } else { Dtype::U32 }
    }
    fn shape(&self) -> &[usize] {
        &self.0.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(bytemuck::cast_slice(&self.0.words))
    }
    fn data_len(&self) -> usize {
        self.0.words.len() * 4
    }
}

impl WeightFile {
    /// Reads a file. f16 and bf16 become f32; 64-bit integers must fit 32 bits.
    ///
    /// # Errors
    /// [`Error::Format`] when it is cut off, altered, not safetensors, or holds types that we do not read.
    pub fn read(path: &Path) -> Result<WeightFile> {
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        let damaged = |problem: String| {
            Error::format(
                path,
                problem,
                "Expected a safetensors file, whole and unaltered. If it is a checkpoint of a run, the folder's \
                 `last.safetensors` and `best.safetensors` hold its weights too.",
            )
        };
        let (_, header) =
            SafeTensors::read_metadata(&bytes).map_err(|e| damaged(format!("cannot be read as safetensors: {e}")))?;
        let file =
            SafeTensors::deserialize(&bytes).map_err(|e| damaged(format!("cannot be read as safetensors: {e}")))?;
        let mut out = WeightFile { path: path.to_path_buf(), ..Default::default() };
        if let Some(m) = header.metadata() {
            out.metadata = m.get(KEY).cloned().unwrap_or_default();
        }
        for (name, t) in file.tensors() {
            let data = t.data();
            let word = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            let half = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
            let (words, float) = match t.dtype() {
                Dtype::F32 => (data.chunks_exact(4).map(word).collect(), true),
                Dtype::U32 | Dtype::I32 => (data.chunks_exact(4).map(word).collect(), false),
                Dtype::F16 => {
                    (data.chunks_exact(2).map(|b| half::f16::from_bits(half(b)).to_f32().to_bits()).collect(), true)
                }
                Dtype::BF16 => (data.chunks_exact(2).map(|b| (half(b) as u32) << 16).collect(), true),
                Dtype::I64 | Dtype::U64 => {
                    let wide = |b: &[u8]| u32::try_from(u64::from_le_bytes(b.try_into().unwrap_or([255; 8])));
                    let all: std::result::Result<Vec<u32>, _> = data.chunks_exact(8).map(wide).collect();
                    (all.map_err(|_| damaged(format!("tensor {name} has integers over 32 bits")))?, false)
                }
                other => return Err(damaged(format!("tensor {name} has type {other:?}, which is not read here"))),
            };
            out.tensors.insert(name.to_string(), FileTensor { shape: t.shape().to_vec(), words, float });
        }
        Ok(out)
    }

    /// The bytes of the file: the same for the same contents.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let metadata = (!self.metadata.is_empty()).then(|| HashMap::from([(KEY.to_string(), self.metadata.clone())]));
        let views: Vec<(&String, Stored<'_>)> = self.tensors.iter().map(|(n, t)| (n, Stored(t))).collect();
        safetensors::serialize(views, metadata)
            .map_err(|e| Error::format(&self.path, format!("cannot be written: {e}"), "This is a mistake of ours."))
    }

    /// Writes the file so that a kill or a full disk at any instant leaves the old one whole.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_atomically(path, &self.to_bytes()?)
    }
}

/// Writes a file under a temporary name beside its place, flushes it to the disk, and renames it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let attempt = || -> std::io::Result<()> {
        let mut f = std::fs::File::create(&temporary)?;
        f.write_all(bytes)?;
        f.sync_all()?;
        drop(f);
        std::fs::rename(&temporary, path)?;
        #[cfg(unix)]
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    attempt().map_err(|e| {
        // What is left of the attempt is of no use; the file of that name before is untouched.
        let _ = std::fs::remove_file(&temporary);
        Error::io("write", path, e)
    })
}
