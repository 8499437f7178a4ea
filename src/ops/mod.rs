//! The operations: one file each, the only place that knows a kernel and its twin. [`KERNELS`] is the kernel table.

mod check;
pub mod gather_heads;
pub mod gaussian_location;
pub mod gradient_norm;
pub mod hyper;
pub mod match_priors;
pub mod multibox_loss;
pub mod nms;
pub mod optimizer;
pub mod relu;
pub mod sparse_object_prior;

use crate::plan::{Common, Kernel};

/// `shaders/common/index.wgsl`
pub const INDEX: Common = Common { name: "index", source: include_str!("../../shaders/common/index.wgsl") };
/// `shaders/common/boxes.wgsl`
pub const BOXES: Common = Common { name: "boxes", source: include_str!("../../shaders/common/boxes.wgsl") };
/// `shaders/common/select.wgsl`
pub const SELECT: Common = Common { name: "select", source: include_str!("../../shaders/common/select.wgsl") };
/// `shaders/common/nms_core.wgsl`
pub const NMS_CORE: Common = Common { name: "nms_core", source: include_str!("../../shaders/common/nms_core.wgsl") };
/// `shaders/common/location_noise.wgsl`
pub const LOCATION_NOISE: Common =
    Common { name: "location_noise", source: include_str!("../../shaders/common/location_noise.wgsl") };
/// `shaders/common/rng.wgsl`
pub const RNG: Common = Common { name: "rng", source: include_str!("../../shaders/common/rng.wgsl") };

/// Every kernel of the product.
pub static KERNELS: &[&[&Kernel]] = &[
    gather_heads::KERNELS,
    gaussian_location::KERNELS,
    gradient_norm::KERNELS,
    match_priors::KERNELS,
    multibox_loss::KERNELS,
    nms::KERNELS,
    optimizer::KERNELS,
    relu::KERNELS,
    sparse_object_prior::KERNELS,
];

/// Every kernel of the product, flat.
pub fn kernels() -> impl Iterator<Item = &'static Kernel> {
    KERNELS.iter().flat_map(|k| k.iter().copied())
}
