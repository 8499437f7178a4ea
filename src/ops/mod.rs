//! The operations: one file each, the only place that knows a kernel and its twin. [`KERNELS`] is the kernel table.

pub mod relu;

use crate::plan::{Common, Kernel};

/// `shaders/common/index.wgsl`
pub const INDEX: Common = Common { name: "index", source: include_str!("../../shaders/common/index.wgsl") };
/// `shaders/common/rng.wgsl`
pub const RNG: Common = Common { name: "rng", source: include_str!("../../shaders/common/rng.wgsl") };

/// Every kernel of the product.
pub static KERNELS: &[&[&Kernel]] = &[relu::KERNELS];

/// Every kernel of the product, flat.
pub fn kernels() -> impl Iterator<Item = &'static Kernel> {
    KERNELS.iter().flat_map(|k| k.iter().copied())
}

/// Values of a kernel's `override` constants.
pub type Constants = Vec<(&'static str, f64)>;
/// A kernel with the sets of constants it is run with.
pub type Variants = (&'static Kernel, Vec<Constants>);

/// The sets of constants that the product uses, from the modules whose kernels are not run with the defaults alone.
static VARIANTS: &[fn() -> Vec<Variants>] = &[];

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
