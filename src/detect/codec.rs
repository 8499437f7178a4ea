//! Boxes as offsets from priors (Liu et al. 2016, equation 2), with variances `v = (0.1, 0.2)`.
//!
//! ```text
//! encode: t_xy = (g_xy − p_xy) / (v₀·p_wh)    t_wh = ln(g_wh / p_wh) / v₁
//! decode: g_xy = p_xy + v₀·t_xy·p_wh          g_wh = p_wh·exp(v₁·t_wh)
//! ```
//!
//! Boxes are corners (xmin, ymin, xmax, ymax), priors centre form (cx, cy, w, h), both in fractions of the image.

use super::exp::exp;
use crate::{Error, Result};

/// SSD's variances: of the centre, of the size.
pub const VARIANCES: [f32; 2] = [0.1, 0.2];

/// Centre form (cx, cy, w, h) to corners (xmin, ymin, xmax, ymax).
#[inline]
pub fn to_corners([cx, cy, w, h]: [f32; 4]) -> [f32; 4] {
    [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0]
}

/// Corners (xmin, ymin, xmax, ymax) to centre form (cx, cy, w, h).
#[inline]
pub fn to_centre([x1, y1, x2, y2]: [f32; 4]) -> [f32; 4] {
    [(x1 + x2) / 2.0, (y1 + y2) / 2.0, x2 - x1, y2 - y1]
}

/// The regression target of a corner box at a centre-form prior. Width and height of both must be positive: the
/// logarithm of an empty box is not finite (see [`crate::detect::Matcher`], which leaves such boxes out).
#[inline]
pub fn encode_box(corners: [f32; 4], prior: [f32; 4], variances: [f32; 2]) -> [f32; 4] {
    let g = to_centre(corners);
    [
        (g[0] - prior[0]) / (variances[0] * prior[2]),
        (g[1] - prior[1]) / (variances[0] * prior[3]),
        (g[2] / prior[2]).ln() / variances[1],
        (g[3] / prior[3]).ln() / variances[1],
    ]
}

/// The corner box of one regression output at a centre-form prior. Not clipped; a very large size output gives an
/// infinite box rather than an error.
#[inline]
pub fn decode_box(loc: [f32; 4], prior: [f32; 4], variances: [f32; 2]) -> [f32; 4] {
    let w = prior[2] * exp(loc[2] * variances[1]);
    let h = prior[3] * exp(loc[3] * variances[1]);
    let xmin = prior[0] + loc[0] * variances[0] * prior[2] - w / 2.0;
    let ymin = prior[1] + loc[1] * variances[0] * prior[3] - h / 2.0;
    [xmin, ymin, xmin + w, ymin + h]
}

/// The corner boxes of a whole head: `loc` is `[priors, channels]`, row-major, and the last four of the `channels`
/// numbers of a prior are its offsets (4 channels: offsets only; 8: log-variances, then means).
pub fn decode_boxes(loc: &[f32], channels: usize, priors: &[[f32; 4]], variances: [f32; 2]) -> Result<Vec<[f32; 4]>> {
    if channels < 4 || priors.len().checked_mul(channels) != Some(loc.len()) {
        return Err(Error::shape(
            "decode_boxes",
            format!("loc of {} priors x {} (at least 4) channels", priors.len(), channels),
            format!("{} numbers", loc.len()),
        ));
    }
    Ok(loc
        .chunks_exact(channels)
        .zip(priors)
        .map(|(row, &p)| {
            let t = &row[channels - 4..];
            decode_box([t[0], t[1], t[2], t[3]], p, variances)
        })
        .collect())
}
