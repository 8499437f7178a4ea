//! Reading and writing safetensors.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, View};

use crate::{Error, Result};

/// The one metadata key of our files; its value is JSON. (A single key, because the order of several would differ from
/// run to run, and equal runs must give equal bytes.) The value is `{"crc32c":"89abcdef","about":{...}}`: what the file
/// is about, and the checksum of that text and of all arrays, so that altered bytes are an error and never a network
/// that is a little wrong.
const KEY: &str = "autobidet";
const CHECKSUM: &str = "{\"crc32c\":\"";
const ABOUT: &str = "\",\"about\":";

/// A named array of a file, in memory as f32 or as 32-bit words.
#[derive(Debug, Clone, PartialEq)]
pub struct FileTensor {
    /// Extents.
    pub shape: Vec<usize>,
    /// Values; integers as the bits of a u32.
    pub words: Vec<u32>,
    /// Whether the values are floats.
    pub float: bool,
    /// Whether a file of ours stores them in half or a quarter of the room: floats as f16, integers as i8. They must fit.
    pub narrow: bool,
}

impl FileTensor {
    /// A float array.
    pub fn floats(shape: Vec<usize>, data: &[f32]) -> Self {
        FileTensor { shape, words: data.iter().map(|v| v.to_bits()).collect(), float: true, narrow: false }
    }
    /// An array of u32.
    pub fn integers(shape: Vec<usize>, words: Vec<u32>) -> Self {
        FileTensor { shape, words, float: false, narrow: false }
    }
    /// The same, stored as f16 or i8. Floats are rounded to what f16 can say.
    pub fn narrowed(mut self) -> Self {
        if self.float {
            let round = |w: &mut u32| *w = half::f16::from_f32(f32::from_bits(*w)).to_f32().to_bits();
            self.words.iter_mut().for_each(round);
        }
        self.narrow = true;
        self
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
    /// Whether it was read with a checksum, which fitted.
    pub sealed: bool,
}

struct Stored<'a>(&'a FileTensor);

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        match (self.0.float, self.0.narrow) {
            (true, false) => Dtype::F32,
            (true, true) => Dtype::F16,
            (false, false) => Dtype::U32,
            (false, true) => Dtype::I8,
        }
    }
    fn shape(&self) -> &[usize] {
        &self.0.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        let words = &self.0.words;
        match (self.0.float, self.0.narrow) {
            (_, false) => Cow::Borrowed(bytemuck::cast_slice(words)),
            (true, true) => {
                Cow::Owned(words.iter().flat_map(|w| half::f16::from_f32(f32::from_bits(*w)).to_le_bytes()).collect())
            }
            (false, true) => Cow::Owned(words.iter().map(|w| *w as u8).collect()),
        }
    }
    fn data_len(&self) -> usize {
        self.0.words.len()
            * match (self.0.float, self.0.narrow) {
                (_, false) => 4,
                (true, true) => 2,
                (false, true) => 1,
            }
    }
}

impl WeightFile {
    /// Reads a file. f16 and bf16 become f32; 64-bit integers must fit 32 bits.
    ///
    /// # Errors
    /// [`Error::Format`] when it is cut off, altered (files of this program carry a checksum), not safetensors, or holds
    /// types that we do not read.
    pub fn read(path: &Path) -> Result<WeightFile> {
        let kind = std::fs::metadata(path).map_err(|e| Error::io("read", path, e))?;
        if !kind.is_file() {
            // A device file might never end.
            return Err(Error::format(path, "is not a regular file", "Give a safetensors file."));
        }
        WeightFile::from_bytes(path, &std::fs::read(path).map_err(|e| Error::io("read", path, e))?)
    }

    /// The same of a file's bytes; `path` is what messages call it.
    ///
    /// # Errors
    /// As [`WeightFile::read`].
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<WeightFile> {
        let damaged = |problem: String| {
            Error::format(
                path,
                problem,
                "Expected a safetensors file, whole and unaltered. If it is a checkpoint of a run, the folder's \
                 `last.safetensors` and `best.safetensors` hold its weights too.",
            )
        };
        if super::pth::is_checkpoint(bytes) {
            return Err(Error::format(
                path,
                "is a PyTorch checkpoint (or another zip archive or pickle), expected safetensors",
                "`autobidet import FILE --out FILE.safetensors` makes one of it.",
            ));
        }
        let (_, header) =
            SafeTensors::read_metadata(bytes).map_err(|e| damaged(format!("cannot be read as safetensors: {e}")))?;
        let file =
            SafeTensors::deserialize(bytes).map_err(|e| damaged(format!("cannot be read as safetensors: {e}")))?;
        let mut out = WeightFile { path: path.to_path_buf(), ..Default::default() };
        let mut checksum = None;
        if let Some(m) = header.metadata().as_ref().and_then(|m| m.get(KEY)) {
            out.metadata = match unsealed(m) {
                Some((sum, about)) => {
                    checksum = Some(sum);
                    about.to_string()
                }
                None => m.clone(),
            };
        }
        for (name, t) in file.tensors() {
            let data = t.data();
            let narrow = matches!(t.dtype(), Dtype::F16 | Dtype::I8);
            let word = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            let half = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
            let (words, float) = match t.dtype() {
                Dtype::F32 => (data.chunks_exact(4).map(word).collect(), true),
                Dtype::U32 | Dtype::I32 => (data.chunks_exact(4).map(word).collect(), false),
                Dtype::F16 => {
                    (data.chunks_exact(2).map(|b| half::f16::from_bits(half(b)).to_f32().to_bits()).collect(), true)
                }
                Dtype::I8 => (data.iter().map(|b| *b as i8 as i32 as u32).collect(), false),
                Dtype::BF16 => (data.chunks_exact(2).map(|b| (half(b) as u32) << 16).collect(), true),
                Dtype::I64 | Dtype::U64 => {
                    let wide = |b: &[u8]| u32::try_from(u64::from_le_bytes(b.try_into().unwrap_or([255; 8])));
                    let all: std::result::Result<Vec<u32>, _> = data.chunks_exact(8).map(wide).collect();
                    (all.map_err(|_| damaged(format!("tensor {name} has integers over 32 bits")))?, false)
                }
                other => return Err(damaged(format!("tensor {name} has type {other:?}, which is not read here"))),
            };
            out.tensors.insert(name.to_string(), FileTensor { shape: t.shape().to_vec(), words, float, narrow });
        }
        if checksum.is_some_and(|sum| sum != out.checksum()) {
            return Err(damaged("was altered or damaged: its contents do not fit its checksum".to_string()));
        }
        out.sealed = checksum.is_some();
        Ok(out)
    }

    /// CRC-32C of the metadata and of all arrays with their names, kinds and shapes.
    fn checksum(&self) -> u32 {
        let mut sum = crc32c::crc32c(self.metadata.as_bytes());
        for (name, t) in &self.tensors {
            sum = crc32c::crc32c_append(sum, name.as_bytes());
            let shape = t.shape.iter().map(|d| *d as u64);
            for v in [name.len() as u64, t.float as u64, t.shape.len() as u64].into_iter().chain(shape) {
                sum = crc32c::crc32c_append(sum, &v.to_le_bytes());
            }
            sum = crc32c::crc32c_append(sum, bytemuck::cast_slice(&t.words));
        }
        sum
    }

    /// The bytes of the file: the same for the same contents.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let metadata = (!self.metadata.is_empty()).then(|| {
            let sealed = format!("{CHECKSUM}{:08x}{ABOUT}{}}}", self.checksum(), self.metadata);
            HashMap::from([(KEY.to_string(), sealed)])
        });
        let views: Vec<(&String, Stored<'_>)> = self.tensors.iter().map(|(n, t)| (n, Stored(t))).collect();
        safetensors::serialize(views, metadata)
            .map_err(|e| Error::format(&self.path, format!("cannot be written: {e}"), "This is a mistake of ours."))
    }

    /// Writes the file so that a kill or a full disk at any instant leaves the old one whole.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_atomically(path, &self.to_bytes()?)
    }
}

/// The checksum and the text of a sealed value.
fn unsealed(value: &str) -> Option<(u32, &str)> {
    let (sum, rest) = value.strip_prefix(CHECKSUM)?.split_at_checked(8)?;
    let about = rest.strip_prefix(ABOUT)?.strip_suffix('}')?;
    Some((u32::from_str_radix(sum, 16).ok()?, about))
}

/// Writes a file under a temporary name beside its place, flushes it to the disk, and renames it. A link is followed, and
/// what is there and not a regular file (`/dev/stdout`, a pipe) is written to as it is.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let linked = std::fs::canonicalize(path);
    let path = linked.as_deref().unwrap_or(path);
    if path.exists() && !path.is_file() {
        let write = || std::fs::File::options().write(true).open(path)?.write_all(bytes);
        return write().map_err(|e| Error::io("write", path, e));
    }
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
