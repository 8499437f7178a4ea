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
