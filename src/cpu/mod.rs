//! The CPU twins: one plain-Rust function a kernel, same names as the shaders, arguments in binding order. They are the
//! definition in tests, the other side of `autobidet trace`, and what runs where there is no adapter. No wgpu here.

mod call;
mod executor;

pub use call::{Element, TwinCall};
pub use executor::CpuExecutor;
pub(crate) use executor::{check_readable, wrong_length};

pub mod activation;
pub mod add;
pub mod batch_norm2d;
pub mod bce_with_logits;
pub mod channel_shuffle;
pub mod feature_l2;
pub mod l2_norm;
pub mod loss_sum;
mod parallel;
pub mod pool;
pub mod prelu;
pub mod relu;
pub mod softmax;
pub mod sum_rows;
pub mod upsample_nearest;
