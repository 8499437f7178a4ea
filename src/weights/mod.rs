//! Weight files: safetensors with PyTorch's names, read into plans and written from them.

mod backbone;
mod file;
mod transfer;

pub use backbone::load_vgg16;
pub use file::{FileTensor, WeightFile, write_atomically};
pub use transfer::{Transfer, collect, compare, load};
