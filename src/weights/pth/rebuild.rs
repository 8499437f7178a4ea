//! What the known names describe: dictionaries, storages and tensors.

use super::globals::Global;
use super::pickle::{MAX_NAME, Machine, Step};
use super::value::{Object, Storage, Tensor, Value};
use crate::weights::foreign::{Dtype, MAX_DIMS, span};

impl Machine<'_> {
    /// What a call of a known name describes.
    pub(super) fn make(&mut self, what: Value, args: Value) -> Step<()> {
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
    pub(super) fn storage(&self, id: Value) -> Step<Storage> {
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
