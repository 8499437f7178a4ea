//! PyTorch checkpoints, both forms of `torch.save`.
//!
//! *Zip form* (since PyTorch 1.6): an archive of `NAME/data.pkl`, a pickle whose tensors name storages by a key, and
//! `NAME/data/KEY`, the bytes of each.
//!
//! *Older form*: one pickle after another (a magic number, the version 1001, a dictionary about the machine, the tensors, a
//! list of keys), then for each key its length as an i64 and its bytes.
//!
//! Nothing of a checkpoint is run; see [`pickle`] for what is known and [`globals`] for the names.

mod globals;
mod pickle;
mod rebuild;
mod value;
mod zip;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use self::pickle::{Fault, MAX_NAME};
use self::value::{Object, Pickled, Storage, Value};
use self::zip::{Archive, Contents, short};
use super::foreign::{Dtype, Foreign, ForeignTensor, Form};
use crate::{Error, Result};

/// 0x1950a86a20f9469cfc6c, with which the older form begins.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The version of the older form.
const PROTOCOL: i64 = 1001;
/// Keys under which trainers put the tensors.
const CONTAINERS: [&str; 8] =
    ["state_dict", "model_state_dict", "weights", "weight", "model", "net", "network", "params"];

/// Whether these bytes begin as a checkpoint of either form (or as another zip archive or pickle).
pub fn is_checkpoint(bytes: &[u8]) -> bool {
    // The length of a safetensors header may begin with any byte, but JSON follows it.
    if bytes.get(8) == Some(&b'{') {
        return false;
    }
    bytes.starts_with(b"PK\x03\x04")
        || bytes.starts_with(b"PK\x05\x06")
        || bytes.first() == Some(&0x80)
        || is_tar(bytes)
}

fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar".as_slice())
}

/// An error about a checkpoint.
fn damaged(path: &Path, problem: impl std::fmt::Display) -> Error {
    Error::format(
        path,
        problem.to_string(),
        "Expected a PyTorch checkpoint of plain tensors, whole and unaltered. Where it holds more than tensors, save them \
         alone in Python: torch.save(model.state_dict(), \"weights.pth\").",
    )
}

/// Reads a checkpoint of either form.
///
/// # Errors
/// [`Error::Format`] with the place.
pub fn read(path: &Path, bytes: Vec<u8>) -> Result<Foreign> {
    if is_tar(&bytes) {
        return Err(damaged(path, "is of PyTorch's first form (tar, before 2017), which is not read here"));
    }
    if bytes.first() == Some(&0x80) { legacy(path, bytes) } else { zipped(path, bytes) }
}

fn fault(path: &Path, what: &str, base: usize, f: Fault) -> Error {
    damaged(path, format!("byte {} of {what}: it {}", f.at - base.min(f.at), f.problem))
}

// === Zip form ===

fn zipped(path: &Path, bytes: Vec<u8>) -> Result<Foreign> {
    let bad = |problem: String| damaged(path, problem);
    let mut archive = Archive::open(&bytes).map_err(bad)?;
    let mut found = archive.names().filter_map(|n| n.strip_suffix("data.pkl")).filter(|p| p.ends_with('/'));
    let Some(root) = found.next().map(str::to_string) else {
        return Err(bad("is a zip archive without a data.pkl: not one of torch.save".to_string()));
    };
    if found.next().is_some() {
        return Err(bad("holds more than one data.pkl".to_string()));
    }
    drop(found);
    if archive.names().any(|n| n.strip_prefix(&root).is_some_and(|r| r == "constants.pkl")) {
        return Err(bad("is a TorchScript program; nothing of it was run".to_string()));
    }
    let order = format!("{root}byteorder");
    if archive.names().any(|n| n == order) {
        let little = match archive.contents(&order).map_err(bad)? {
            Contents::Here(r) => &bytes[r] == b"little",
            Contents::Unpacked(v) => v == b"little",
        };
        if !little {
            return Err(
                bad("was saved on a machine with the other order of bytes, which is not read here".to_string()),
            );
        }
    }
    // Where the pickle lies: in the file, or unpacked.
    let name = format!("{root}data.pkl");
    let contents = archive.contents(&name).map_err(bad)?;
    let (stream, start, end) = match &contents {
        Contents::Here(r) => (bytes.as_slice(), r.start, r.end),
        Contents::Unpacked(v) => (v.as_slice(), 0, v.len()),
    };
    let p = pickle::read(stream, start, end).map_err(|f| fault(path, "data.pkl", start, f))?;
    if p.end != end {
        return Err(bad(format!("has {} bytes behind the end of its data.pkl", end - p.end)));
    }
    let dict = StateDict::find(path, &p)?;
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    let mut known: HashMap<(u32, u32), (usize, usize, usize)> = HashMap::new();
    let mut by_key: HashMap<String, (usize, usize, usize)> = HashMap::new();
    let tensors = dict.tensors(path, &p, |s| {
        let place = match known.get(&s.key) {
            Some(place) => *place,
            None => {
                let key = p.text_at(s.key).unwrap_or_default().to_string();
                let place = match by_key.get(&key) {
                    Some(place) => *place,
                    None => match archive.contents(&format!("{root}data/{key}"))? {
                        Contents::Here(r) => (0, r.start, r.len()),
                        Contents::Unpacked(v) => {
                            blocks.push(v);
                            (blocks.len(), 0, blocks[blocks.len() - 1].len())
                        }
                    },
                };
                by_key.insert(key, place);
                known.insert(s.key, place);
                place
            }
        };
        match s.length.checked_mul(s.dtype.map_or(1, Dtype::bytes)) {
            Some(n) if n == place.2 => Ok((place.0, place.1)),
            _ => Err(format!(
                "has a storage of {} bytes (data/{}) that should have {} values of {}",
                place.2,
                short(p.text_at(s.key).unwrap_or_default()),
                s.length,
                s.dtype.map_or("bytes", Dtype::name)
            )),
        }
    })?;
    let (inside, beside) = (dict.inside, dict.beside);
    blocks.insert(0, bytes);
    Ok(Foreign {
        path: path.to_path_buf(),
        form: Form::TorchZip,
        inside,
        beside,
        prefix: String::new(),
        tensors,
        blocks,
    })
}

// === Older form ===

fn legacy(path: &Path, bytes: Vec<u8>) -> Result<Foreign> {
    let bad = |problem: &str| damaged(path, problem);
    let end = bytes.len();
    let at = |start: usize| pickle::read(&bytes, start, end).map_err(|f| fault(path, "the file", 0, f));
    let magic = at(0)?;
    if magic.raw(magic.top) != Some(&MAGIC) {
        return Err(bad("is a pickle, but not one of torch.save"));
    }
    let version = at(magic.end)?;
    if version.top != Value::Int(PROTOCOL) {
        return Err(bad("is of a version of torch.save that is not read here"));
    }
    let machine = at(version.end)?;
    let little = match machine.object(machine.top) {
        Some(Object::Dict(d)) => d.iter().find(|(k, _)| machine.text(*k) == Some("little_endian")).map(|(_, v)| *v),
        _ => None,
    };
    if little != Some(Value::Bool(true)) {
        return Err(bad("was saved on a machine with the other order of bytes, which is not read here"));
    }
    let p = at(machine.end)?;
    let keys = at(p.end)?;
    let Some(Object::List(list)) = keys.object(keys.top) else {
        return Err(bad("has no list of its storages"));
    };
    let dict = StateDict::find(path, &p)?;

    // The storages' sizes are known only from their descriptions: a key's type, and its length again before its bytes.
    let mut types: HashMap<&str, (usize, usize)> = HashMap::new();
    for s in p.storages() {
        let key = p.text_at(s.key).unwrap_or_default();
        let this = (s.length, s.dtype.map_or(1, Dtype::bytes));
        if *types.entry(key).or_insert(this) != this {
            return Err(damaged(path, format!("describes storage {} in two ways", short(key))));
        }
    }
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut next = keys.end;
    for key in list {
        let key = keys.text(*key).ok_or_else(|| bad("has a storage without a key"))?;
        let Some((length, size)) = types.get(key).copied() else {
            return Err(damaged(path, format!("lists a storage that no tensor names ({})", short(key))));
        };
        let cut = || {
            let all = length.saturating_mul(size);
            damaged(path, format!("is cut off: storage {} should have {all} bytes from byte {next} on", short(key)))
        };
        let head = bytes.get(next..next.saturating_add(8)).and_then(|b| <[u8; 8]>::try_from(b).ok());
        let told = i64::from_le_bytes(head.ok_or_else(cut)?);
        if usize::try_from(told) != Ok(length) {
            let problem = format!("has {told} values in storage {} that should have {length}", short(key));
            return Err(damaged(path, problem));
        }
        let last = length.checked_mul(size).and_then(|n| n.checked_add(next + 8)).filter(|e| *e <= end);
        if places.insert(key, next + 8).is_some() {
            return Err(damaged(path, format!("lists storage {} twice", short(key))));
        }
        next = last.ok_or_else(cut)?;
    }
    if next != end {
        return Err(damaged(path, format!("has {} bytes behind its last storage", end - next)));
    }
    let tensors = dict.tensors(path, &p, |s| {
        let key = p.text_at(s.key).unwrap_or_default();
        let place = *places.get(key).ok_or_else(|| format!("has no bytes for storage {}", short(key)))?;
        let size = s.dtype.map_or(1, Dtype::bytes);
        let Some((first, n)) = s.view else { return Ok((0, place)) };
        match first.checked_add(n) {
            Some(e) if e <= s.length => Ok((0, place + first * size)),
            _ => Err(format!("has a view from {first} on of {n} values in a storage of {}", s.length)),
        }
    })?;
    let (inside, beside) = (dict.inside, dict.beside);
    drop(types);
    drop(places);
    Ok(Foreign {
        path: path.to_path_buf(),
        form: Form::TorchLegacy,
        inside,
        beside,
        prefix: String::new(),
        tensors,
        blocks: vec![bytes],
    })
}

// === What it holds ===

/// The dictionary that holds the tensors.
struct StateDict {
    entries: Vec<(Value, Value)>,
    inside: Vec<String>,
    beside: Vec<String>,
}

impl StateDict {
    /// The checkpoint itself where it holds tensors, else the dictionary in it under one of the usual names.
    fn find(path: &Path, p: &Pickled<'_>) -> Result<StateDict> {
        let is_tensor = |v: &Value| matches!(p.object(*v), Some(Object::Tensor(_)));
        let name = |v: Value| short(p.text(v).unwrap_or("(no text)"));
        let (mut inside, mut beside) = (Vec::new(), Vec::new());
        let mut at = p.top;
        loop {
            let Some(Object::Dict(entries)) = p.object(at) else {
                return Err(damaged(path, format!("holds {}, not a dictionary of tensors", p.describe(at))));
            };
            if entries.iter().any(|(_, v)| is_tensor(v)) {
                beside.extend(entries.iter().filter(|(_, v)| !is_tensor(v)).map(|(k, _)| name(*k)).take(100));
                return Ok(StateDict { entries: entries.clone(), inside, beside });
            }
            let inner = CONTAINERS.iter().find_map(|c| {
                let holds = |v: Value| matches!(p.object(v), Some(Object::Dict(d)) if !d.is_empty());
                entries.iter().find(|(k, v)| p.text(*k) == Some(c) && holds(*v))
            });
            match inner {
                // A dictionary may hold itself.
                Some((k, v)) if inside.len() < 4 => {
                    inside.push(name(*k));
                    beside.extend(entries.iter().filter(|(o, _)| o != k).map(|(o, _)| name(*o)).take(100));
                    at = *v;
                }
                _ => {
                    let keys: Vec<String> = entries.iter().take(8).map(|(k, _)| name(*k)).collect();
                    let keys = if keys.is_empty() { "nothing".to_string() } else { keys.join(", ") };
                    return Err(damaged(path, format!("holds no tensors that are found (it holds {keys})")));
                }
            }
        }
    }

    /// The tensors by name; `place` gives the block and the byte at which a storage lies.
    fn tensors(
        &self,
        path: &Path,
        p: &Pickled<'_>,
        mut place: impl FnMut(&Storage) -> std::result::Result<(usize, usize), String>,
    ) -> Result<BTreeMap<String, ForeignTensor>> {
        let mut out = BTreeMap::new();
        for (k, v) in &self.entries {
            let Some(Object::Tensor(t)) = p.object(*v) else { continue };
            let name = p.text(*k).filter(|n| n.len() <= MAX_NAME);
            let name = name.ok_or_else(|| damaged(path, "holds a tensor without a name that is text"))?;
            let told = |problem: String| damaged(path, format!("{problem} (tensor {})", short(name)));
            let (block, at) = place(&t.storage).map_err(told)?;
            let start = at + t.offset * t.dtype.bytes();
            let (shape, strides) = (t.shape.clone(), t.strides.clone());
            let tensor = ForeignTensor { dtype: t.dtype, shape, strides, block, start };
            if out.insert(name.to_string(), tensor).is_some() {
                return Err(damaged(path, format!("holds two tensors named {}", short(name))));
            }
        }
        Ok(out)
    }
}
