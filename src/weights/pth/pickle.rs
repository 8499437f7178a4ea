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

use super::globals::known;
use super::value::{Object, Pickled, Value};
use super::zip::short;

/// The most instructions of a pickle.
pub const MAX_STEPS: usize = 1_000_000;
/// The most bytes of a key, a module's or a tensor's name.
pub const MAX_NAME: usize = 1000;

/// What is wrong, and at which byte of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Byte of the file.
    pub at: usize,
    /// What was found and what was expected.
    pub problem: String,
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

/// The stack machine.
pub(super) struct Machine<'a> {
    pub(super) bytes: &'a [u8],
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

pub(super) type Step<T> = Result<T, Fault>;

impl Machine<'_> {
    pub(super) fn fault(&self, problem: impl Into<String>) -> Fault {
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

    pub(super) fn push(&mut self, v: Value) -> Step<()> {
        self.stack.push(v);
        Ok(())
    }
    pub(super) fn new_object(&mut self, o: Object) -> Step<()> {
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
    pub(super) fn object(&self, v: Value) -> Option<&Object> {
        match v {
            Value::Object(i) => self.objects.get(i as usize),
            _ => None,
        }
    }
    pub(super) fn items(&self, v: Value) -> Option<&[Value]> {
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
}
