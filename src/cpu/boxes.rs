//! Twin of `shaders/common/boxes.wgsl`: boxes as corners (xmin, ymin, xmax, ymax), priors as (centre x, centre y,
//! width, height), fractions of the image.

/// Four values of a box or a prior.
pub type Quad = [f32; 4];

/// The `i`-th of dense quads.
pub fn quad(data: &[f32], i: usize) -> Quad {
    [data[4 * i], data[4 * i + 1], data[4 * i + 2], data[4 * i + 3]]
}

/// Width times height.
pub fn area(a: Quad) -> f32 {
    (a[2] - a[0]) * (a[3] - a[1])
}

/// Area of the common part.
pub fn intersection(a: Quad, b: Quad) -> f32 {
    let w = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let h = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    w * h
}

/// Intersection over union; 0 for two boxes without area.
pub fn iou(a: Quad, b: Quad) -> f32 {
    let inter = intersection(a, b);
    let whole = area(a) + area(b) - inter;
    if whole <= 0.0 { 0.0 } else { inter / whole }
}

/// A prior's corners.
pub fn corners(p: Quad) -> Quad {
    [p[0] - 0.5 * p[2], p[1] - 0.5 * p[3], p[0] + 0.5 * p[2], p[1] + 0.5 * p[3]]
}

/// Offsets of a box from a prior: centre difference / (size v0), log of the size ratio / v1.
pub fn encode(b: Quad, p: Quad, v0: f32, v1: f32) -> Quad {
    [
        (0.5 * (b[0] + b[2]) - p[0]) / (v0 * p[2]),
        (0.5 * (b[1] + b[3]) - p[1]) / (v0 * p[3]),
        ((b[2] - b[0]) / p[2]).ln() / v1,
        ((b[3] - b[1]) / p[3]).ln() / v1,
    ]
}

/// The reverse of [`encode`], to corners; the exponent stops at 80.
pub fn decode(l: Quad, p: Quad, v0: f32, v1: f32) -> Quad {
    let size = |i: usize| p[i] * (l[i] * v1).min(80.0).exp();
    let (w, h) = (size(2), size(3));
    let (x, y) = (p[0] + l[0] * v0 * p[2] - 0.5 * w, p[1] + l[1] * v0 * p[3] - 0.5 * h);
    [x, y, x + w, y + h]
}
