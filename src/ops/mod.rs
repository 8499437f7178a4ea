//! The operations: one file each, the only place that knows a kernel and its twin. [`KERNELS`] is the kernel table.

mod check;
pub mod gather_heads;
pub mod gradient_norm;
pub mod hyper;
pub mod optimizer;
pub mod relu;

use crate::plan::{Common, Kernel};

/// `shaders/common/index.wgsl`
pub const INDEX: Common = Common { name: "index", source: include_str!("../../shaders/common/index.wgsl") };
/// `shaders/common/rng.wgsl`
pub const RNG: Common = Common { name: "rng", source: include_str!("../../shaders/common/rng.wgsl") };

/// Every kernel of the product.
pub static KERNELS: &[&[&Kernel]] = &[gather_heads::KERNELS, gradient_norm::KERNELS, optimizer::KERNELS, relu::KERNELS];

/// Every kernel of the product, flat.
pub fn kernels() -> impl Iterator<Item = &'static Kernel> {
    KERNELS.iter().flat_map(|k| k.iter().copied())
}
