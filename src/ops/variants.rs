//! Which `override` constants the product gives its kernels.

use super::kernels;
use crate::plan::Kernel;

/// Values of a kernel's `override` constants.
pub type Constants = Vec<(&'static str, f64)>;
/// A kernel with the sets of constants it is run with.
pub type Variants = (&'static Kernel, Vec<Constants>);

/// The sets of constants that the product uses, from the modules whose kernels are not run with the defaults alone.
static VARIANTS: &[fn() -> Vec<Variants>] = &[
    super::conv2d::variants,
    super::binary_conv2d::variants,
    super::binary_conv2d_fused::variants,
    super::int8_conv2d::variants,
    super::threshold_pack::variants,
];

/// Every kernel with every set of `override` constants that the product uses; the empty set stands for the defaults of
/// the shader.
pub fn variants() -> Vec<Variants> {
    let listed: Vec<_> = VARIANTS.iter().flat_map(|v| v()).collect();
    kernels()
        .map(|k| {
            let sets = listed.iter().find(|(l, _)| l.name == k.name).map(|(_, s)| s.clone());
            (k, sets.unwrap_or_else(|| vec![Vec::new()]))
        })
        .collect()
}
