//! The box type that data, evaluation and drawing share.

use serde::{Deserialize, Serialize};

/// A box by its corners. The unit is said where it is used: fractions of the image in training, pixels in
/// files, evaluation and drawing. `xmin <= xmax` and `ymin <= ymax` hold for boxes that were validated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BBox {
    /// Left edge.
    pub xmin: f32,
    /// Top edge.
    pub ymin: f32,
    /// Right edge.
    pub xmax: f32,
    /// Bottom edge.
    pub ymax: f32,
}

impl BBox {
    /// A box from its corners.
    pub fn new(xmin: f32, ymin: f32, xmax: f32, ymax: f32) -> Self {
        BBox { xmin, ymin, xmax, ymax }
    }
    /// Width, never negative.
    pub fn width(&self) -> f32 {
        (self.xmax - self.xmin).max(0.0)
    }
    /// Height, never negative.
    pub fn height(&self) -> f32 {
        (self.ymax - self.ymin).max(0.0)
    }
    /// Area, never negative.
    pub fn area(&self) -> f32 {
        self.width() * self.height()
    }
}

/// One found object in one image, in pixels of the original image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// 0-based foreground class (background is not counted).
    pub class: usize,
    /// Confidence in 0..=1.
    pub score: f32,
    /// Where, in pixels of the original image.
    pub bbox: BBox,
}

impl From<[f32; 4]> for BBox {
    /// From xmin, ymin, xmax, ymax.
    fn from([xmin, ymin, xmax, ymax]: [f32; 4]) -> Self {
        BBox { xmin, ymin, xmax, ymax }
    }
}

impl From<BBox> for [f32; 4] {
    /// xmin, ymin, xmax, ymax.
    fn from(b: BBox) -> Self {
        [b.xmin, b.ymin, b.xmax, b.ymax]
    }
}

/// Intersection over union of two corner boxes, in 0..=1; 0 where they do not overlap, where their union is empty
/// and where a coordinate is NaN. With `plus_one` a box covers its last pixel too (1 is added to widths and heights).
pub fn iou(a: &[f32; 4], b: &[f32; 4], plus_one: bool) -> f32 {
    let one = if plus_one { 1.0 } else { 0.0 };
    let area = |r: &[f32; 4]| (r[2] - r[0] + one).max(0.0) * (r[3] - r[1] + one).max(0.0);
    let w = (a[2].min(b[2]) - a[0].max(b[0]) + one).max(0.0);
    let h = (a[3].min(b[3]) - a[1].max(b[1]) + one).max(0.0);
    let inter = w * h;
    let ratio = inter / (area(a) + area(b) - inter);
    // 0/0 and infinities: no overlap that could be measured.
    if ratio > 0.0 { ratio.min(1.0) } else { 0.0 }
}
