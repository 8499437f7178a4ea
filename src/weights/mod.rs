//! Weight files: safetensors with PyTorch's names, read into plans and written from them; and those of other programs,
//! PyTorch's checkpoints among them.

mod backbone;
mod file;
mod foreign;
mod import;
mod pth;
mod transfer;

pub use backbone::load_vgg16;
pub use file::{FileTensor, WeightFile, write_atomically};
pub use foreign::{Dtype, Foreign, ForeignTensor, Form};
pub use import::{ImportOptions, ImportReport, Imported, OtherShape, import};
pub use transfer::{Transfer, collect, collect_async, compare, load};
