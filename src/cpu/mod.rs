//! The CPU twins: one plain-Rust function a kernel, same names as the shaders, arguments in binding order. They are the
//! definition in tests, the other side of `autobidet trace`, and what runs where there is no adapter. No wgpu here.

pub mod binary_conv2d;
mod call;
pub mod conv2d;
pub mod conv2d_grouped;
mod conv_core;
mod executor;
mod reduce;
pub mod simd;

pub use call::{Buffer, Element, TwinCall};
pub use executor::CpuExecutor;
pub(crate) use executor::{check_readable, wrong_length};
pub(crate) use reduce::tree_sum;

pub mod activation;
pub mod activation_census;
pub mod add;
pub mod add_bias;
pub mod batch_norm2d;
pub mod bce_with_logits;
pub mod boxes;
pub mod channel_shuffle;
pub mod channel_sum;
pub mod dorefa_activation;
pub mod dorefa_weight;
pub mod feature_l2;
pub mod fixed;
pub mod fixed_l2_norm;
pub mod fixed_quantize;
pub mod gated_copy;
pub mod gather_heads;
pub mod gaussian_latent;
pub mod gaussian_location;
pub mod gradient_norm;
pub mod image_beta;
pub mod int8_conv2d;
mod int8_core;
pub mod l2_norm;
pub mod loss_sum;
pub mod match_priors;
pub mod multibox_loss;
pub mod nms;
pub mod optimizer;
mod parallel;
pub mod pool;
pub mod prelu;
pub mod reconstruction_loss;
pub mod relu;
pub mod select;
pub mod softmax;
pub mod sparse_object_prior;
pub mod sum_rows;
pub mod threshold_pack;
pub mod twn_weight;
pub mod upsample_nearest;
