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
