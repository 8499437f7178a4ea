//! Checks of inputs that several operations share.

use crate::plan::{Builder, Format, Shape, TensorId};
use crate::{Error, Result};

/// Checks an input's shape, format and whether it follows the batch.
///
/// # Errors
/// [`Error::Shape`] that names the layer and the input.
pub(crate) fn expect_tensor(
    b: &Builder,
    label: &str,
    what: &str,
    t: TensorId,
    shape: Shape,
    format: Format,
    sliced: bool,
) -> Result<()> {
    let info = b.info(t);
    if (info.shape, info.format, info.sliced) == (shape, format, sliced) {
        return Ok(());
    }
    let text = |shape, format, sliced| format!("{shape} {format:?}{}", if sliced { " of the batch" } else { "" });
    Err(Error::shape(
        format!("{label}, {what}"),
        text(shape, format, sliced),
        text(info.shape, info.format, info.sliced),
    ))
}

/// The shape of a tensor of the batch in this format.
///
/// # Errors
/// [`Error::Shape`] that names the layer and the tensor where `t` is something else, or empty.
pub(crate) fn expect_batch(b: &Builder, label: &str, what: &str, t: TensorId, format: Format) -> Result<Shape> {
    let info = b.info(t);
    if info.format == format && info.sliced && info.shape.n == b.batch() && !info.shape.is_empty() {
        return Ok(info.shape);
    }
    Err(Error::shape(
        format!("{label}, {what}"),
        format!("{format:?} of {} images", b.batch()),
        format!("{} {} as {:?}", info.name, info.shape, info.format),
    ))
}

/// The priors and the values a prior of a flat tensor (batch, 1, P, values).
///
/// # Errors
/// [`Error::Shape`] where it is not of that form.
pub(crate) fn expect_rows(b: &Builder, label: &str, what: &str, t: TensorId) -> Result<(u32, u32)> {
    let s = b.shape(t);
    expect_tensor(b, label, what, t, Shape::new(b.batch(), 1, s.w, s.c), Format::Flat, true)?;
    if s.is_empty() {
        return Err(Error::shape(format!("{label}, {what}"), "at least one prior and one value", s.to_string()));
    }
    Ok((s.w, s.c))
}

/// The shape (KH, KW, C, O) of convolution or linear weights.
///
/// # Errors
/// [`Error::Shape`] where `t` is something else, empty, or larger than kernels can count.
pub(crate) fn expect_weights(b: &Builder, label: &str, op: &str, t: TensorId) -> Result<Shape> {
    let info = b.info(t);
    let size = Format::Weight.elements(info.shape);
    if info.format == Format::Weight && !info.sliced && !info.shape.is_empty() && size <= u32::MAX as u64 {
        return Ok(info.shape);
    }
    Err(Error::shape(
        label,
        format!("{op}: weights (KH, KW, C, O) of 1 to {} values", u32::MAX),
        format!("{} {} as {:?}", info.name, info.shape, info.format),
    ))
}
