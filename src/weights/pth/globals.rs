//! The Python names that may stand in a checkpoint. They are names only: no Python object is behind them, and nothing is
//! called. Whatever is not in this list ends the reading.

use crate::weights::foreign::Dtype;

/// A name that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Global {
    /// `collections.OrderedDict`: a dictionary.
    OrderedDict,
    /// `torch._utils._rebuild_tensor`: (storage, offset, size, stride).
    RebuildTensor,
    /// `torch._utils._rebuild_tensor_v2`: the same and requires_grad, hooks[, metadata].
    RebuildTensorV2,
    /// `torch._utils._rebuild_tensor_v3`: as v2, with the number type behind the hooks.
    RebuildTensorV3,
    /// `torch._utils._rebuild_parameter`: (tensor, requires_grad, hooks).
    RebuildParameter,
    /// `torch.FloatStorage` and its like.
    Storage(Dtype),
    /// `torch.storage.UntypedStorage`: bytes.
    UntypedStorage,
    /// `torch.float32` and its like.
    Dtype(Dtype),
    /// `torch.Size`: a tuple.
    Size,
}

/// The known name for a module and a name in it.
pub fn known(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensorV2,
        ("torch._utils", "_rebuild_tensor_v3") => Global::RebuildTensorV3,
        ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
        ("torch.storage", "UntypedStorage" | "_UntypedStorage") | ("torch", "UntypedStorage") => Global::UntypedStorage,
        ("torch", "Size") => Global::Size,
        ("torch", _) => match name.strip_suffix("Storage") {
            Some(kind) => Global::Storage(match kind {
                "Float" => Dtype::F32,
                "Double" => Dtype::F64,
                "Half" => Dtype::F16,
                "BFloat16" => Dtype::Bf16,
                "Long" => Dtype::I64,
                "Int" => Dtype::I32,
                "Short" => Dtype::I16,
                "Char" => Dtype::I8,
                "Byte" => Dtype::U8,
                "Bool" => Dtype::Bool,
                _ => return None,
            }),
            None => Global::Dtype(ALL.into_iter().find(|d| d.name() == name)?),
        },
        _ => return None,
    })
}

const ALL: [Dtype; 10] = [
    Dtype::F32,
    Dtype::F64,
    Dtype::F16,
    Dtype::Bf16,
    Dtype::I64,
    Dtype::I32,
    Dtype::I16,
    Dtype::I8,
    Dtype::U8,
    Dtype::Bool,
];
