//! A reader of pickles as `torch.save` writes them (protocols 2 to 5).
//!
//! A pickle is a program for a stack machine. This one knows the instructions that dictionaries of tensors are made of,
//! and the names of [`super::globals`]; any other instruction or name ends the reading with its name and place. Nothing
//! of a file is run: what a pickle wants called is, for the names known, a description of a tensor, and kept as that.
//!
//! Objects lie in one list and refer to each other by index. So an object that holds itself, or ten thousand in each
//! other, costs no stack and no time. Text is kept as its place in the file. A pickle may have [`MAX_STEPS`] instructions
//! (a network of 10,000 tensors has about 400,000).

use std::collections::HashMap;

use super::globals::{Global, known};
use super::zip::short;
use crate::weights::foreign::{Dtype, MAX_DIMS, span};

/// The most instructions of a pickle.
pub const MAX_STEPS: usize = 1_000_000;
/// The most bytes of a key, a module's or a tensor's name.
pub const MAX_NAME: usize = 1000;

/// A value: small ones themselves, others by their place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// None.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float,
    /// Text: place and length in the file.
    Text(u32, u32),
    /// Bytes, or an integer of more than 8 bytes: place and length in the file.
    Bytes(u32, u32),
    /// A name of the closed list.
    Global(Global),
    /// An object of the list.
    Object(u32),
}

/// What a storage's description says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Storage {
    /// Its number type; `None`: bytes.
    pub dtype: Option<Dtype>,
    /// Its key: place and length in the file.
    pub key: (u32, u32),
    /// Values (or bytes).
    pub length: usize,
    /// The part of the storage of that key that this one is: first value and number of values. Older form only.
    pub view: Option<(usize, usize)>,
}

/// What a tensor's description says. Its strides and extents stay inside its storage's length.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its storage.
    pub storage: Storage,
    /// Its number type.
    pub dtype: Dtype,
    /// The first value's place in the storage, in values.
    pub offset: usize,
    /// Extents.
    pub shape: Vec<usize>,
    /// Values between neighbours.
    pub strides: Vec<usize>,
}

/// An object.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// A tuple.
    Tuple(Vec<Value>),
    /// A list.
    List(Vec<Value>),
    /// A dictionary, in order.
    Dict(Vec<(Value, Value)>),
    /// A storage.
    Storage(Storage),
    /// A tensor.
    Tensor(Tensor),
}

/// What is wrong, and at which byte of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Byte of the file.
    pub at: usize,
    /// What was found and what was expected.
    pub problem: String,
}

/// A pickle that was read.
#[derive(Debug)]
pub struct Pickled<'a> {
    bytes: &'a [u8],
    objects: Vec<Object>,
    /// The value it makes.
    pub top: Value,
    /// The byte behind it.
    pub end: usize,
}

impl Pickled<'_> {
    /// The object of a value.
    pub fn object(&self, v: Value) -> Option<&Object> {
        match v {
            Value::Object(i) => self.objects.get(i as usize),
            _ => None,
        }
    }
    /// The text of a value.
    pub fn text(&self, v: Value) -> Option<&str> {
        match v {
            Value::Text(at, len) => self.text_at((at, len)),
            _ => None,
        }
    }
    /// The text at a place; it was checked when the pickle was read.
    pub fn text_at(&self, (at, len): (u32, u32)) -> Option<&str> {
        std::str::from_utf8(self.bytes.get(at as usize..at as usize + len as usize)?).ok()
    }
    /// All storages that are described.
    pub fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.objects.iter().filter_map(|o| match o {
            Object::Storage(s) => Some(s),
            _ => None,
        })
    }
    /// The bytes of a value.
    pub fn raw(&self, v: Value) -> Option<&[u8]> {
        match v {
            Value::Bytes(at, len) => self.bytes.get(at as usize..at as usize + len as usize),
            _ => None,
        }
    }
    /// A value for messages.
    pub fn describe(&self, v: Value) -> String {
        match v {
            Value::Text(..) => format!("the text {:?}", short(self.text(v).unwrap_or_default())),
            Value::Object(_) => match self.object(v) {
                Some(Object::Tensor(_)) => "a tensor".to_string(),
                Some(Object::Dict(_)) => "a dictionary".to_string(),
                Some(Object::Storage(_)) => "a storage".to_string(),
                _ => "a list".to_string(),
            },
            Value::Int(i) => format!("the number {i}"),
            other => format!("{other:?}"),
        }
    }
}

/// Reads the pickle that begins at byte `start` of `bytes` and ends before byte `end`.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn read(bytes: &[u8], start: usize, end: usize) -> Result<Pickled<'_>, Fault> {
    let end = end.min(bytes.len()).min(u32::MAX as usize);
    let mut m = Machine {
        bytes,
        at: start,
        end,
        from: start,
        objects: vec![],
        stack: vec![],
        marks: vec![],
        memo: HashMap::new(),
    };
    for _ in 0..MAX_STEPS {
        m.from = m.at;
        if let Some(top) = m.step()? {
            return Ok(Pickled { bytes, objects: m.objects, top, end: m.at });
        }
    }
    Err(m.fault(format!("has more than {MAX_STEPS} instructions, far more than a network's tensors need")))
}

struct Machine<'a> {
    bytes: &'a [u8],
    /// Next byte.
    at: usize,
    end: usize,
    /// First byte of the current instruction.
    from: usize,
    objects: Vec<Object>,
    stack: Vec<Value>,
    /// Stack heights.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
}

type Step<T> = Result<T, Fault>;

impl Machine<'_> {
    fn fault(&self, problem: impl Into<String>) -> Fault {
        Fault { at: self.from, problem: problem.into() }
    }

    // === Reading ===

    fn take(&mut self, n: usize) -> Step<(u32, u32)> {
        let next = self.at.checked_add(n).filter(|e| *e <= self.end);
        let next =
            next.ok_or_else(|| self.fault("ends in the middle of an instruction: the file was cut or altered"))?;
        let place = (self.at as u32, n as u32);
        self.at = next;
        Ok(place)
    }
    /// An unsigned little-endian number of up to 8 bytes.
    fn number(&mut self, n: usize) -> Step<u64> {
        let (at, len) = self.take(n)?;
        let mut b = [0u8; 8];
        b[..n].copy_from_slice(&self.bytes[at as usize..(at + len) as usize]);
        Ok(u64::from_le_bytes(b))
    }
    fn length(&mut self, n: usize) -> Step<usize> {
        let v = self.number(n)?;
        usize::try_from(v).map_err(|_| self.fault(format!("has a text of {v} bytes")))
    }
    fn text(&mut self, length_bytes: usize) -> Step<()> {
        let n = self.length(length_bytes)?;
        let (at, len) = self.take(n)?;
        if std::str::from_utf8(&self.bytes[at as usize..(at + len) as usize]).is_err() {
            return Err(self.fault("has a text that is not UTF-8"));
        }
        self.push(Value::Text(at, len))
    }
    fn raw(&mut self, length_bytes: usize) -> Step<()> {
        let n = self.length(length_bytes)?;
        let (at, len) = self.take(n)?;
        self.push(Value::Bytes(at, len))
    }
    /// A line of a name.
    fn line(&mut self) -> Step<String> {
        let rest = &self.bytes[self.at..self.end];
        let n = rest.iter().take(MAX_NAME).position(|b| *b == b'\n');
        let n = n.ok_or_else(|| self.fault("has a name without an end"))?;
        let text = std::str::from_utf8(&rest[..n]).map_err(|_| self.fault("has a name that is not text"))?.to_string();
        self.at += n + 1;
        Ok(text)
    }

    // === Stack ===

    fn push(&mut self, v: Value) -> Step<()> {
        self.stack.push(v);
        Ok(())
    }
    fn new_object(&mut self, o: Object) -> Step<()> {
        self.objects.push(o);
        // The number of objects is at most that of instructions.
        self.push(Value::Object(self.objects.len() as u32 - 1))
    }
    fn pop(&mut self) -> Step<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.fault("takes something from an empty stack"));
        }
        self.stack.pop().ok_or_else(|| self.fault("takes something from an empty stack"))
    }
    fn pop_mark(&mut self) -> Step<Vec<Value>> {
        let mark = self.marks.pop().ok_or_else(|| self.fault("goes back to a mark that was not set"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }
    fn top(&self) -> Step<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack[floor.min(self.stack.len())..].last().copied().ok_or_else(|| self.fault("looks at an empty stack"))
    }
    fn tuple(&mut self, n: usize) -> Step<()> {
        let mut items = Vec::with_capacity(n);
        for _ in 0..n {
            items.push(self.pop()?);
        }
        items.reverse();
        self.new_object(Object::Tuple(items))
    }
    fn remember(&mut self, key: u32) -> Step<()> {
        let v = self.top()?;
        self.memo.insert(key, v);
        Ok(())
    }
    fn recall(&mut self, key: u32) -> Step<()> {
        let v = self.memo.get(&key).copied();
        let v = v.ok_or_else(|| self.fault(format!("asks for number {key} of its memo, which is empty")))?;
        self.push(v)
    }
    fn object(&self, v: Value) -> Option<&Object> {
        match v {
            Value::Object(i) => self.objects.get(i as usize),
            _ => None,
        }
    }
    fn items(&self, v: Value) -> Option<&[Value]> {
        match self.object(v)? {
            Object::Tuple(t) | Object::List(t) => Some(t),
            _ => None,
        }
    }
    fn append(&mut self, items: Vec<Value>) -> Step<()> {
        if let Value::Object(i) = self.top()?
            && let Some(Object::List(list)) = self.objects.get_mut(i as usize)
        {
            list.extend(items);
            return Ok(());
        }
        Err(self.fault("appends to what is no list"))
    }
    fn set(&mut self, items: Vec<Value>) -> Step<()> {
        if !items.len().is_multiple_of(2) {
            return Err(self.fault("sets a key without a value"));
        }
        if let Value::Object(i) = self.top()?
            && let Some(Object::Dict(dict)) = self.objects.get_mut(i as usize)
        {
            dict.extend(items.chunks_exact(2).map(|p| (p[0], p[1])));
            return Ok(());
        }
        Err(self.fault("sets a key of what is no dictionary"))
    }

    // === Instructions ===

    /// One instruction; the value at the end.
    fn step(&mut self) -> Step<Option<Value>> {
        let code = self.number(1)? as u8;
        match code {
            // Frame of the pickle.
            0x80 => {
                let version = self.number(1)?;
                if !(2..=5).contains(&version) {
                    return Err(self.fault(format!("is of pickle protocol {version}, expected 2 to 5")));
                }
            }
            0x95 => {
                self.number(8)?; // FRAME: a length that readers may use
            }
            b'.' => {
                let top = self.pop()?;
                return if self.stack.is_empty() && self.marks.is_empty() {
                    Ok(Some(top))
                } else {
                    Err(self.fault("ends with more than one value"))
                };
            }
            // Values.
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'J' => {
                let v = self.number(4)? as u32 as i32;
                self.push(Value::Int(v.into()))?;
            }
            b'K' => {
                let v = self.number(1)?;
                self.push(Value::Int(v as i64))?;
            }
            b'M' => {
                let v = self.number(2)?;
                self.push(Value::Int(v as i64))?;
            }
            0x8a => self.long()?,
            b'G' => {
                self.number(8)?;
                self.push(Value::Float)?;
            }
            0x8c | b'U' => self.text(1)?,
            b'X' | b'T' => self.text(4)?,
            0x8d => self.text(8)?,
            b'C' => self.raw(1)?,
            b'B' => self.raw(4)?,
            // Tuples, lists, dictionaries.
            b')' => self.tuple(0)?,
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let items = self.pop_mark()?;
                self.new_object(Object::Tuple(items))?;
            }
            b']' => self.new_object(Object::List(vec![]))?,
            b'l' => {
                let items = self.pop_mark()?;
                self.new_object(Object::List(items))?;
            }
            b'a' => {
                let v = self.pop()?;
                self.append(vec![v])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append(items)?;
            }
            b'}' => self.new_object(Object::Dict(vec![]))?,
            b'd' => {
                let items = self.pop_mark()?;
                self.new_object(Object::Dict(vec![]))?;
                self.set(items)?;
            }
            b's' => {
                let (v, k) = (self.pop()?, self.pop()?);
                self.set(vec![k, v])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set(items)?;
            }
            // Stack and memo.
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_mark()?;
            }
            b'2' => {
                let v = self.top()?;
                self.push(v)?;
            }
            b'q' => {
                let k = self.number(1)? as u32;
                self.remember(k)?;
            }
            b'r' => {
                let k = self.number(4)? as u32;
                self.remember(k)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let k = self.number(1)? as u32;
                self.recall(k)?;
            }
            b'j' => {
                let k = self.number(4)? as u32;
                self.recall(k)?;
            }
            // Names, and what is made of them.
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |v: Value| match v {
                    Value::Text(at, len) if len as usize <= MAX_NAME => {
                        std::str::from_utf8(&self.bytes[at as usize..(at + len) as usize]).ok()
                    }
                    _ => None,
                };
                let (Some(module), Some(name)) = (text(module), text(name)) else {
                    return Err(self.fault("asks for a Python object without a name"));
                };
                let (module, name) = (module.to_string(), name.to_string());
                self.global(&module, &name)?;
            }
            b'R' | 0x81 => {
                let (args, what) = (self.pop()?, self.pop()?);
                self.make(what, args)?;
            }
            b'b' => {
                // The attributes of a dictionary (PyTorch's versions of the modules): not looked at.
                self.pop()?;
                if !matches!(self.object(self.top()?), Some(Object::Dict(_))) {
                    return Err(self.fault("sets attributes of what is no dictionary"));
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let s = self.storage(id)?;
                self.new_object(Object::Storage(s))?;
            }
            other => {
                let shown = if other.is_ascii_graphic() { format!(" ({:?})", other as char) } else { String::new() };
                return Err(self.fault(format!(
                    "has the pickle instruction 0x{other:02x}{shown}, which is not one of those that tensors are made of"
                )));
            }
        }
        Ok(None)
    }

    /// An integer of any length; over 8 bytes only its bytes are kept.
    fn long(&mut self) -> Step<()> {
        let n = self.length(1)?;
        let (at, len) = self.take(n)?;
        if n > 8 {
            return self.push(Value::Bytes(at, len));
        }
        let b = &self.bytes[at as usize..(at + len) as usize];
        let negative = b.last().is_some_and(|b| b & 0x80 != 0);
        let mut all = [if negative { 0xff } else { 0 }; 8];
        all[..n].copy_from_slice(b);
        self.push(Value::Int(i64::from_le_bytes(all)))
    }

    fn global(&mut self, module: &str, name: &str) -> Step<()> {
        match known(module, name) {
            Some(g) => self.push(Value::Global(g)),
            None => Err(self.fault(format!(
                "asks for the Python object {}.{}, which is not one of those that tensors are made of; nothing was run",
                short(module),
                short(name)
            ))),
        }
    }

    /// What a call of a known name describes.
    fn make(&mut self, what: Value, args: Value) -> Step<()> {
        let Value::Global(what) = what else {
            return Err(self.fault("calls what is no Python name"));
        };
        let Some(args) = self.items(args).map(<[Value]>::to_vec) else {
            return Err(self.fault("calls a Python name without a list of arguments"));
        };
        let dtype_behind = |i: usize| match args.get(i) {
            Some(Value::Global(Global::Dtype(d))) => Some(*d),
            _ => None,
        };
        match (what, args.as_slice()) {
            (Global::OrderedDict, []) => self.new_object(Object::Dict(vec![])),
            (Global::OrderedDict, [pairs]) => {
                let pair = |v: &Value| self.items(*v).and_then(|p| <[Value; 2]>::try_from(p).ok());
                let pairs: Option<Vec<[Value; 2]>> = self.items(*pairs).and_then(|l| l.iter().map(pair).collect());
                let pairs = pairs.ok_or_else(|| self.fault("makes a dictionary of what are no pairs"))?;
                self.new_object(Object::Dict(pairs.into_iter().map(|[k, v]| (k, v)).collect()))
            }
            (Global::Size, [v]) if self.items(*v).is_some() => self.push(*v),
            (Global::RebuildTensor, [storage, offset, size, stride]) => {
                let t = self.tensor(*storage, *offset, *size, *stride, None)?;
                self.new_object(Object::Tensor(t))
            }
            (Global::RebuildTensorV2, [storage, offset, size, stride, _, ..]) if args.len() <= 7 => {
                let t = self.tensor(*storage, *offset, *size, *stride, None)?;
                self.new_object(Object::Tensor(t))
            }
            (Global::RebuildTensorV3, [storage, offset, size, stride, _, ..]) if args.len() <= 8 => {
                let Some(dtype) = dtype_behind(6) else {
                    return Err(self.fault("has a tensor whose number type is not read here"));
                };
                let t = self.tensor(*storage, *offset, *size, *stride, Some(dtype))?;
                self.new_object(Object::Tensor(t))
            }
            (Global::RebuildParameter, [tensor, ..]) if matches!(self.object(*tensor), Some(Object::Tensor(_))) => {
                self.push(*tensor)
            }
            (other, args) => {
                Err(self.fault(format!("calls {other:?} with {} arguments that do not fit it", args.len())))
            }
        }
    }

    /// A storage from its persistent id: ("storage", type, key, device, length[, view]).
    fn storage(&self, id: Value) -> Step<Storage> {
        let wrong = |what: &str| self.fault(format!("describes a storage wrongly: {what}"));
        let args = self.items(id).ok_or_else(|| wrong("not by a list"))?;
        let (&[kind, class, key, _, length], rest) = args.split_first_chunk::<5>().ok_or_else(|| wrong("too short"))?;
        let Value::Text(at, len) = kind else { return Err(wrong("without its kind")) };
        if &self.bytes[at as usize..(at + len) as usize] != b"storage" {
            return Err(wrong("it is something else"));
        }
        let dtype = match class {
            Value::Global(Global::Storage(d)) => Some(d),
            Value::Global(Global::UntypedStorage) => None,
            _ => return Err(wrong("without its type")),
        };
        let Value::Text(key, key_length) = key else { return Err(wrong("its key is no text")) };
        if key_length as usize > MAX_NAME {
            return Err(wrong("its key is too long"));
        }
        let size = |v: Value| match v {
            Value::Int(i) => usize::try_from(i).map_err(|_| wrong(&format!("its length is {i}"))),
            _ => Err(wrong("its length is no number")),
        };
        let view = match rest {
            [] | [Value::None] => None,
            [v] => {
                let parts = self.items(*v).and_then(|p| <[Value; 3]>::try_from(p).ok());
                let [_, offset, length] = parts.ok_or_else(|| wrong("its view is not (key, offset, length)"))?;
                Some((size(offset)?, size(length)?))
            }
            _ => return Err(wrong("too long")),
        };
        Ok(Storage { dtype, key: (key, key_length), length: size(length)?, view })
    }

    fn tensor(&self, storage: Value, offset: Value, size: Value, stride: Value, dtype: Option<Dtype>) -> Step<Tensor> {
        let wrong = |what: &str| self.fault(format!("describes a tensor wrongly: {what}"));
        let Some(Object::Storage(storage)) = self.object(storage) else { return Err(wrong("without a storage")) };
        let storage = *storage;
        let number = |v: &Value| match v {
            Value::Int(i) => usize::try_from(*i).ok(),
            _ => None,
        };
        let numbers = |v: Value| -> Option<Vec<usize>> {
            let items = self.items(v).filter(|i| i.len() <= MAX_DIMS)?;
            items.iter().map(number).collect()
        };
        let offset = number(&offset).ok_or_else(|| wrong("its offset is no number from 0 on"))?;
        let shape =
            numbers(size).ok_or_else(|| wrong(&format!("its size is not up to {MAX_DIMS} numbers from 0 on")))?;
        let strides = numbers(stride).ok_or_else(|| wrong("its strides are not numbers from 0 on"))?;
        let dtype = dtype.or(storage.dtype).ok_or_else(|| wrong("without a number type"))?;
        let held = storage.view.map_or(storage.length, |(_, n)| n);
        // Bytes, where both types are known; an untyped storage counts bytes.
        let held = held.checked_mul(storage.dtype.map_or(1, Dtype::bytes));
        let need = span(dtype, &shape, &strides).and_then(|s| s.checked_add(offset.checked_mul(dtype.bytes())?));
        match (need, held) {
            (Some(need), Some(held)) if need <= held => Ok(Tensor { storage, dtype, offset, shape, strides }),
            _ => Err(wrong(&format!(
                "size {shape:?} with strides {strides:?} from {offset} on does not fit its storage of {} values",
                storage.length
            ))),
        }
    }
}
