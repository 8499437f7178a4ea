//! The census of a map that a binary layer reads: counts for diagnostics, in steps of their own. Not an operation of
//! the network: nothing in it reads the counts.

use super::binary_conv2d::InputDomain;
use super::sum_rows::blocks_of;
use super::{INDEX, map_shape};
use crate::cpu::activation_census::{
    ActivationCensusDims, ActivationCensusSumDims, activation_census as census_twin, activation_census_sum,
};
use crate::plan::{Builder, Cost, Format, Kernel, Shape, TensorId, flat_groups, round4};
use crate::{Result, kernel};

/// The first stage.
pub static CENSUS: Kernel = kernel!(
    "activation_census",
    [INDEX],
    ActivationCensusDims,
    [read x: f32, write partials: u32],
    [],
    census_twin
);
/// The second stage.
pub static SUM: Kernel = kernel!(
    "activation_census_sum",
    [INDEX],
    ActivationCensusSumDims,
    [read partials: u32, write counts: u32],
    [],
    activation_census_sum
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&CENSUS, &SUM];

/// The segment of all steps that only look. A step of training that is not looked at leaves it out.
pub const SEGMENT: &str = "diagnose";

/// The name of the counts of the layer `label`.
pub fn census_name(label: &str) -> String {
    format!("{label}.census")
}

/// Adds the steps that count `x`, the real map (N, H, W, C) that a binary layer reads, to [`SEGMENT`], whatever the
/// current segment is; that stays the current one.
///
/// The counts are for the host to read: [`census_name`], [`Format::FlatU32`] (1, 1, 2, C). Row 0: how many of the N H W
/// values of the channel the layer reads as +1 (with [`InputDomain::Sign`] all that are not below 0, with
/// [`InputDomain::ZeroOne`] all above 0). Row 1: how many have |x| <= 1, where the stand-ins for the derivative of the sign
/// are not zero.
///
/// # Errors
/// [`crate::Error::Shape`] where `x` is no map of the batch.
pub fn activation_census(b: &mut Builder, label: &str, x: TensorId, domain: InputDomain) -> Result<TensorId> {
    let shape = map_shape(b, label, "activation_census", x)?;
    let segment = b.current_segment().to_string();
    b.segment(SEGMENT);
    let (block, blocks) = blocks_of(shape.h * shape.w);
    let vectors = round4(shape.c) / 4;
    let rows = shape.n * blocks;
    let partials = b.scratch(&format!("{label}.census_partials"), Shape::new(rows, 1, 2, 4 * vectors), Format::FlatU32);
    let counts = b.output(&census_name(label), Shape::new(1, 1, 2, shape.c), Format::FlatU32, false);
    for (s, first, images) in b.slices() {
        let dims = ActivationCensusDims {
            first: first * blocks,
            images,
            pixels: shape.h * shape.w,
            block,
            blocks,
            vectors,
            mode: (domain == InputDomain::ZeroOne) as u32,
        };
        let views = [b.at(x, s), b.at(partials, 0)];
        let threads = images as u64 * blocks as u64 * vectors as u64;
        b.dispatch(&CENSUS, label, &dims, &views, flat_groups(threads, 64), Cost::default())?;
    }
    let dims = ActivationCensusSumDims { rows, channels: shape.c, vectors };
    let views = [b.at(partials, 0), b.at(counts, 0)];
    b.dispatch(&SUM, label, &dims, &views, flat_groups(2 * shape.c as u64, 64), Cost::default())?;
    b.segment(&segment);
    Ok(counts)
}
