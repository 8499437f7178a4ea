//! The operations: one file each, the only place that knows a kernel and its twin. [`KERNELS`] is the kernel table.

pub mod activation;
pub mod activation_census;
pub mod add;
pub mod avg_pool2d;
pub mod batch_norm2d;
pub mod bce_with_logits;
pub mod bernoulli_kl;
pub mod binary_conv2d;
pub mod binary_conv2d_fused;
pub mod channel_shuffle;
pub mod channel_sum;
mod check;
pub mod conv2d;
pub mod conv_transpose2d;
pub mod dorefa_activation;
pub mod dorefa_weight;
mod elementwise;
pub mod feature_l2;
pub mod fixed_l2_norm;
pub mod fixed_quantize;
pub mod gated_copy;
pub mod gather_heads;
pub mod gaussian_latent;
pub mod gaussian_location;
pub mod gradient_norm;
pub mod hyper;
pub mod image_beta;
pub mod int8_conv2d;
pub mod l2_norm;
pub mod linear;
pub mod loss_sum;
pub mod match_priors;
pub mod max_pool2d;
pub mod multibox_loss;
pub mod nms;
pub mod optimizer;
pub mod peak_rate;
pub mod pool;
pub mod prelu;
pub mod reconstruction_loss;
pub mod relu;
pub mod softmax;
pub mod sparse_object_prior;
pub mod sum_rows;
pub mod threshold_pack;
pub mod twn_weight;
pub mod upsample_nearest;
mod variants;
pub mod words_max_pool2d;

pub use variants::{Constants, Variants, variants};

use crate::plan::{Builder, Common, Format, Kernel, Shape, TensorId};
use crate::{Error, Result};

/// `shaders/common/bernoulli.wgsl`
pub const BERNOULLI: Common = Common { name: "bernoulli", source: include_str!("../../shaders/common/bernoulli.wgsl") };
/// `shaders/common/binary_counts.wgsl`
pub const BINARY_COUNTS: Common =
    Common { name: "binary_counts", source: include_str!("../../shaders/common/binary_counts.wgsl") };
/// `shaders/common/binary_weight.wgsl`
pub const BINARY_WEIGHT: Common =
    Common { name: "binary_weight", source: include_str!("../../shaders/common/binary_weight.wgsl") };
/// `shaders/common/feature_l2_dims.wgsl`
pub const FEATURE_L2_DIMS: Common =
    Common { name: "feature_l2_dims", source: include_str!("../../shaders/common/feature_l2_dims.wgsl") };
/// `shaders/common/fixed_scale.wgsl`
pub const FIXED_SCALE: Common =
    Common { name: "fixed_scale", source: include_str!("../../shaders/common/fixed_scale.wgsl") };
/// `shaders/common/lane_sum.wgsl`
pub const LANE_SUM: Common = Common { name: "lane_sum", source: include_str!("../../shaders/common/lane_sum.wgsl") };
/// `shaders/common/conv_dims.wgsl`
pub const CONV_DIMS: Common = Common { name: "conv_dims", source: include_str!("../../shaders/common/conv_dims.wgsl") };
/// `shaders/common/conv_pixels.wgsl`
pub const CONV_PIXELS: Common =
    Common { name: "conv_pixels", source: include_str!("../../shaders/common/conv_pixels.wgsl") };
/// `shaders/common/index.wgsl`
pub const INDEX: Common = Common { name: "index", source: include_str!("../../shaders/common/index.wgsl") };
/// `shaders/common/lanes.wgsl`
pub const LANES: Common = Common { name: "lanes", source: include_str!("../../shaders/common/lanes.wgsl") };
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

/// Where kernels that compile quickly are wanted ([`crate::plan::PlanLimits`]), larger convolutions take the fast ones all the same.
const QUICK_MACS: u64 = 1 << 27;

/// Every kernel of the product.
#[rustfmt::skip]
pub static KERNELS: &[&[&Kernel]] = &[
    activation::KERNELS,
    activation_census::KERNELS,
    add::KERNELS,
    avg_pool2d::KERNELS,
    batch_norm2d::KERNELS,
    bce_with_logits::KERNELS,
    bernoulli_kl::KERNELS,
    binary_conv2d::KERNELS,
    binary_conv2d_fused::KERNELS,
    channel_shuffle::KERNELS,
    channel_sum::KERNELS,
    conv2d::KERNELS,
    conv_transpose2d::KERNELS,
    dorefa_activation::KERNELS,
    dorefa_weight::KERNELS,
    feature_l2::KERNELS,
    fixed_l2_norm::KERNELS,
    fixed_quantize::KERNELS,
    gated_copy::KERNELS,
    gather_heads::KERNELS,
    gaussian_latent::KERNELS,
    gaussian_location::KERNELS,
    gradient_norm::KERNELS,
    image_beta::KERNELS,
    int8_conv2d::KERNELS,
    l2_norm::KERNELS,
    loss_sum::KERNELS,
    match_priors::KERNELS,
    max_pool2d::KERNELS,
    multibox_loss::KERNELS,
    nms::KERNELS,
    optimizer::KERNELS,
    peak_rate::KERNELS,
    prelu::KERNELS,
    reconstruction_loss::KERNELS,
    relu::KERNELS,
    softmax::KERNELS,
    sparse_object_prior::KERNELS,
    sum_rows::KERNELS,
    threshold_pack::KERNELS,
    twn_weight::KERNELS,
    upsample_nearest::KERNELS,
    words_max_pool2d::KERNELS,
];

/// Every kernel of the product, flat.
pub fn kernels() -> impl Iterator<Item = &'static Kernel> {
    KERNELS.iter().flat_map(|k| k.iter().copied())
}

/// The shape of `t`, which must be a float map of the batch.
fn map_shape(b: &Builder, label: &str, op: &str, t: TensorId) -> Result<Shape> {
    let info = b.info(t);
    if info.format == Format::Map && info.sliced && info.shape.n == b.batch() && !info.shape.is_empty() {
        return Ok(info.shape);
    }
    Err(Error::shape(
        label,
        format!("{op}: a map of {} images", b.batch()),
        format!("{} {} as {:?}", info.name, info.shape, info.format),
    ))
}

/// Checks that `other` is a map of the batch of the shape of `t`.
fn same_map(b: &Builder, label: &str, op: &str, t: TensorId, other: TensorId) -> Result<()> {
    let (want, got) = (map_shape(b, label, op, t)?, map_shape(b, label, op, other)?);
    if want == got {
        return Ok(());
    }
    Err(Error::shape(label, format!("{op}: maps of one shape, {want}"), format!("{} {got}", b.info(other).name)))
}

/// Checks that `t` holds `planes` vectors of `channels` values: a map of shape (1, 1, planes, channels).
fn check_planes(b: &Builder, label: &str, what: &str, t: TensorId, planes: u32, channels: u32) -> Result<()> {
    let (info, want) = (b.info(t), Shape::new(1, 1, planes, channels));
    if info.format == Format::Map && !info.sliced && info.shape == want {
        return Ok(());
    }
    Err(Error::shape(
        label,
        format!("{what} as planes {want}"),
        format!("{} {} as {:?}", info.name, info.shape, info.format),
    ))
}
