//! What a pickle makes: values, and objects in one list that refer to each other by index.

use super::globals::Global;
use super::zip::short;
use crate::weights::foreign::Dtype;

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

/// A pickle that was read.
#[derive(Debug)]
pub struct Pickled<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) objects: Vec<Object>,
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
