//! Conformance cases: one safetensors file is one case of one operation.
//!
//! Metadata: `op` (the operation), `attrs` (its attributes as a JSON object), `tolerance` (the largest error allowed, as
//! [`compare`] counts it; integers are exact). Tensors: `in.<name>` inputs, `out.<name>` expected outputs,
//! `gout.<name>` upstream gradients, `gin.<name>` expected gradients of inputs. A case with `gin` and without `gout` is a
//! loss with the upstream gradient 1. Layout N,C,H,W; types f32, i32, u8.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde_json::Value as Json;

use super::compare;
use crate::plan::Shape;
use crate::{Error, Result};

/// The values of an array.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Floats.
    F32(Vec<f32>),
    /// Labels, indices.
    I32(Vec<i32>),
    /// Masks.
    U8(Vec<u8>),
}

impl Values {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Values::F32(v) => v.len(),
            Values::I32(v) => v.len(),
            Values::U8(v) => v.len(),
        }
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A tensor of a case.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseTensor {
    /// Extents as in the file.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Values,
}

/// A case as its file holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseFile {
    /// The file.
    pub path: PathBuf,
    /// Its stem, e.g. `relu__basic`.
    pub name: String,
    /// The operation.
    pub op: String,
    /// Its attributes.
    pub attrs: serde_json::Map<String, Json>,
    /// The largest error allowed.
    pub tolerance: f64,
    /// All tensors, by their whole names (`in.x`).
    pub tensors: BTreeMap<String, CaseTensor>,
}

/// The case files of a folder (`*.safetensors`), by name.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be read, [`Error::Data`] when it holds none.
pub fn case_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for f in std::fs::read_dir(folder).map_err(|e| Error::io("read", folder, e))? {
        let path = f.map_err(|e| Error::io("read", folder, e))?.path();
        if path.extension().is_some_and(|e| e == "safetensors") {
            out.push(path);
        }
    }
    out.sort();
    if out.is_empty() {
        let remedy = "Give the folder that holds files such as relu__basic.safetensors.";
        return Err(Error::data(folder, "it holds no *.safetensors file", remedy));
    }
    Ok(out)
}

const FORM: &str = "A case is a safetensors file with the metadata op, attrs and tolerance (docs/testing.md)";

impl CaseFile {
    /// Reads a case.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Format`] that says what is wrong with the file.
    pub fn read(path: &Path) -> Result<CaseFile> {
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        CaseFile::parse(path, &bytes)
    }

    /// Reads a case from the bytes of its file; `path` is for messages and the name.
    ///
    /// # Errors
    /// [`Error::Format`] that says what is wrong.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<CaseFile> {
        let wrong = |problem: String| Error::format(path, problem, FORM);
        let (_, header) =
            SafeTensors::read_metadata(bytes).map_err(|e| wrong(format!("it is no whole safetensors file: {e}")))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let entry = |key: &str| {
            metadata.get(key).map(String::as_str).ok_or_else(|| wrong(format!("its metadata has no `{key}`")))
        };
        let attrs = match serde_json::from_str(entry("attrs")?) {
            Ok(Json::Object(o)) => o,
            Ok(other) => return Err(wrong(format!("`attrs` is not a JSON object: {other}"))),
            Err(e) => return Err(wrong(format!("`attrs` is not JSON: {e}"))),
        };
        let text = entry("tolerance")?;
        let tolerance = match text.parse::<f64>() {
            Ok(t) if t.is_finite() && t >= 0.0 => t,
            _ => return Err(wrong(format!("`tolerance` is {text:?}, expected a number of at least 0"))),
        };
        let file = SafeTensors::deserialize(bytes).map_err(|e| wrong(e.to_string()))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            let known = ["in.", "out.", "gout.", "gin."].iter().any(|p| name.len() > p.len() && name.starts_with(p));
            if !known {
                return Err(wrong(format!("tensor `{name}`: names start with in., out., gout. or gin.")));
            }
            let data = view.data();
            let words = || data.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
            let values = match view.dtype() {
                Dtype::F32 => Values::F32(words().map(f32::from_le_bytes).collect()),
                Dtype::I32 => Values::I32(words().map(i32::from_le_bytes).collect()),
                Dtype::U8 => Values::U8(data.to_vec()),
                other => return Err(wrong(format!("tensor `{name}` is {other:?}, expected F32, I32 or U8"))),
            };
            tensors.insert(name.to_string(), CaseTensor { shape: view.shape().to_vec(), values });
        }
        let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let op = entry("op")?.to_string();
        Ok(CaseFile { path: path.to_path_buf(), name, op, attrs, tolerance, tensors })
    }

    fn wrong(&self, problem: String) -> Error {
        Error::format(&self.path, problem, FORM)
    }

    /// The tensor of that whole name.
    ///
    /// # Errors
    /// [`Error::Format`] when the file has none.
    pub fn tensor(&self, name: &str) -> Result<&CaseTensor> {
        self.tensors.get(name).ok_or_else(|| {
            let have: Vec<&str> = self.tensors.keys().map(String::as_str).collect();
            self.wrong(format!("there is no tensor `{name}` among {have:?}"))
        })
    }

    /// Whether there is a tensor of that whole name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The floats of a tensor.
    ///
    /// # Errors
    /// [`Error::Format`] when there is none, or it holds no floats.
    pub fn floats(&self, name: &str) -> Result<&[f32]> {
        match &self.tensor(name)?.values {
            Values::F32(v) => Ok(v),
            _ => Err(self.wrong(format!("tensor `{name}` does not hold f32"))),
        }
    }

    /// The floats of a tensor of `N` values a row, row by row.
    ///
    /// # Errors
    /// [`Error::Format`] when there is none, or it has another number of columns.
    pub fn rows<const N: usize>(&self, name: &str) -> Result<Vec<[f32; N]>> {
        let shape = &self.tensor(name)?.shape;
        if shape.last() != Some(&N) {
            return Err(self.wrong(format!("tensor `{name}` is {shape:?}, expected {N} values a row")));
        }
        let rows = self.floats(name)?.chunks_exact(N);
        Ok(rows.map(|r| std::array::from_fn(|i| r[i])).collect())
    }

    /// The integers of a tensor.
    ///
    /// # Errors
    /// [`Error::Format`] when there is none, or it holds no i32.
    pub fn integers(&self, name: &str) -> Result<&[i32]> {
        match &self.tensor(name)?.values {
            Values::I32(v) => Ok(v),
            _ => Err(self.wrong(format!("tensor `{name}` does not hold i32"))),
        }
    }

    /// The extents of a tensor of `D` dimensions.
    ///
    /// # Errors
    /// [`Error::Format`] when there is none, or it has another number of dimensions, or an extent that is not 1 to
    /// 65,535.
    pub fn extents<const D: usize>(&self, name: &str) -> Result<[u32; D]> {
        let shape = &self.tensor(name)?.shape;
        if shape.len() != D || shape.iter().any(|e| !(1..=65_535).contains(e)) {
            return Err(self.wrong(format!("tensor `{name}` is {shape:?}, expected {D} extents from 1 to 65535")));
        }
        Ok(std::array::from_fn(|i| shape[i] as u32))
    }

    /// The shape of an N,C,H,W tensor.
    ///
    /// # Errors
    /// Those of [`CaseFile::extents`].
    pub fn nchw(&self, name: &str) -> Result<Shape> {
        let [n, c, h, w] = self.extents(name)?;
        Ok(Shape::new(n, h, w, c))
    }

    fn attr<T>(&self, key: &str, expected: &str, take: impl Fn(&Json) -> Option<T>) -> Result<T> {
        let value = self.attrs.get(key).ok_or_else(|| self.wrong(format!("`attrs` has no `{key}`")))?;
        take(value).ok_or_else(|| self.wrong(format!("attribute `{key}` is {value}, expected {expected}")))
    }

    /// A whole number from 0 to 65,535, so that products of a few of them fit 64 bits.
    ///
    /// # Errors
    /// [`Error::Format`] when the attribute is missing or something else. So for the other kinds.
    pub fn number(&self, key: &str) -> Result<u32> {
        self.attr(key, "a whole number up to 65535", small)
    }

    /// A number.
    ///
    /// # Errors
    /// As [`CaseFile::number`].
    pub fn real(&self, key: &str) -> Result<f32> {
        self.attr(key, "a number", |v| v.as_f64().map(|v| v as f32))
    }

    /// A number, in double precision.
    ///
    /// # Errors
    /// As [`CaseFile::number`].
    pub fn double(&self, key: &str) -> Result<f64> {
        self.attr(key, "a number", Json::as_f64)
    }

    /// True or false.
    ///
    /// # Errors
    /// As [`CaseFile::number`].
    pub fn flag(&self, key: &str) -> Result<bool> {
        self.attr(key, "true or false", Json::as_bool)
    }

    /// A word.
    ///
    /// # Errors
    /// As [`CaseFile::number`].
    pub fn word(&self, key: &str) -> Result<&str> {
        match self.attrs.get(key) {
            Some(Json::String(s)) => Ok(s),
            other => Err(self.wrong(format!("attribute `{key}` is {other:?}, expected a word"))),
        }
    }

    /// Two whole numbers from 0 to 65,535.
    ///
    /// # Errors
    /// As [`CaseFile::number`].
    pub fn pair(&self, key: &str) -> Result<[u32; 2]> {
        self.attr(key, "two whole numbers up to 65535", |v| {
            let [a, b] = v.as_array()?.as_slice() else { return None };
            Some([small(a)?, small(b)?])
        })
    }

    /// Two numbers.
    ///
    /// # Errors
    /// As [`CaseFile::number`].
    pub fn real_pair(&self, key: &str) -> Result<[f32; 2]> {
        self.attr(key, "two numbers", |v| {
            let [a, b] = v.as_array()?.as_slice() else { return None };
            Some([a.as_f64()? as f32, b.as_f64()? as f32])
        })
    }

    /// An error for an attribute whose value is not one of those known.
    pub fn unknown(&self, key: &str) -> Error {
        self.wrong(format!("attribute `{key}` has the unknown value {:?}", self.attrs.get(key)))
    }

    /// The expected arrays: `out.*` and `gin.*`.
    pub fn expected(&self) -> impl Iterator<Item = (&str, &CaseTensor)> {
        let wanted = |n: &str| n.starts_with("out.") || n.starts_with("gin.");
        self.tensors.iter().map(|(n, t)| (n.as_str(), t)).filter(move |(n, _)| wanted(n))
    }

    /// Compares what came out, by whole name, with all that is expected. Returns the largest error of a float array.
    ///
    /// # Errors
    /// A sentence that names the first array that is missing or differs.
    pub fn judge(&self, got: &[(String, Values)]) -> std::result::Result<f64, String> {
        let (mut worst, mut seen) = (0f64, 0);
        for (name, want) in self.expected() {
            seen += 1;
            let Some((_, got)) = got.iter().find(|(n, _)| n == name) else {
                return Err(format!("{name} was not computed"));
            };
            if got.len() != want.values.len() {
                return Err(format!("{name} has {} values, expected {}", got.len(), want.values.len()));
            }
            match (got, &want.values) {
                (Values::F32(g), Values::F32(w)) => {
                    let d = compare(g, w);
                    if d.error > self.tolerance {
                        return Err(format!(
                            "{name}[{}] is {}, expected {}: error {:.2e} is above {:.0e}",
                            d.index, d.got, d.want, d.error, self.tolerance
                        ));
                    }
                    worst = worst.max(d.error);
                }
                (Values::I32(g), Values::I32(w)) => exact(name, g, w)?,
                (Values::U8(g), Values::U8(w)) => exact(name, g, w)?,
                _ => return Err(format!("{name} has another type than expected")),
            }
        }
        if seen == 0 { Err("the case expects nothing: no out. or gin. tensor".to_string()) } else { Ok(worst) }
    }
}

fn small(v: &Json) -> Option<u32> {
    v.as_u64().filter(|v| *v <= 65_535).map(|v| v as u32)
}

fn exact<T: PartialEq + std::fmt::Display>(name: &str, got: &[T], want: &[T]) -> std::result::Result<(), String> {
    match got.iter().zip(want).position(|(g, w)| g != w) {
        Some(i) => Err(format!("{name}[{i}] is {}, expected {}", got[i], want[i])),
        None => Ok(()),
    }
}
