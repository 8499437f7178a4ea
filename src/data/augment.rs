//! Augmentation of training images: colour, expand, crop, mirror; SSD's recipe and milder ones.
//!
//! The recipe is a chain on the full-size float image: colour distortion, expansion onto a canvas of the mean colour,
//! random crop, mirror, resize to the network's size. Here the geometry of the whole chain is drawn first: it is always one
//! rectangle of the (endless, mean-coloured) plane around the image, perhaps mirrored, see [`View`]. Then every output
//! pixel is sampled from the 8-bit source once, bilinearly, and the colours are distorted at output size:
//!
//! ```text
//! out = coverage * normalise(colour(sum_k w_k x_k / coverage)),   coverage = sum of the w_k inside the image
//! ```
//!
//! Two things make that the same chain. The fill is added after the colours were distorted and is the colour that
//! normalises to zero, so it needs no term. And the distortion acts on each pixel alone, without clipping; brightness
//! and contrast are affine and commute with the resampling exactly, saturation and hue up to the blending at edges.
//! It costs one pass over the output instead of five over the source.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::colour::{Colour, Photometric};
use super::preprocess::{PITCH, Preprocess};
use super::rng::SampleRng;
use crate::detect::BBox;
use crate::{Error, Result};

/// Tries for one crop before another rule is picked (as released).
const CROP_TRIES: usize = 50;
/// Rules picked before the whole image is taken (the release has no end).
const CROP_RULES: usize = 50;

/// What is done to training images; a part that is `None` is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Probability of a left-right mirror.
    pub mirror: f32,
    /// Colour distortion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub photometric: Option<Photometric>,
    /// Zooming out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expand: Option<Expand>,
    /// Zooming in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<Crop>,
}

/// Puts the image at a random place of a larger canvas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expand {
    /// How often.
    pub probability: f32,
    /// The canvas has U(1, this) times the image's sides.
    pub max_ratio: f32,
}

/// Cuts a random rectangle out; objects whose centre is outside are dropped, at least one must stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// Probability that the image stays whole.
    pub whole: f32,
    /// Otherwise one of these is picked: the smallest IoU (with the rectangle) asked for; 0 asks for nothing.
    pub min_iou: Vec<f32>,
    /// Width and height are each U(this) of the image's.
    pub scale: [f32; 2],
    /// Bounds of height / width.
    pub aspect: [f32; 2],
    /// False: as released, where the IoU test never rejects a rectangle. True: as intended, at least one object must reach the IoU picked.
    pub strict: bool,
}

impl Augment {
    /// The released SSD: heavy zoom-out (to 4) and zoom-in (to 0.3).
    pub fn ssd() -> Self {
        Augment {
            mirror: 0.5,
            photometric: Some(Photometric::ssd()),
            expand: Some(Expand { probability: 0.5, max_ratio: 4.0 }),
            crop: Some(Crop {
                whole: 1.0 / 6.0,
                min_iou: vec![0.1, 0.3, 0.7, 0.9, 0.0],
                scale: [0.3, 1.0],
                aspect: [0.5, 2.0],
                strict: false,
            }),
        }
    }

    /// Mirror, mild colours, and zooms of at most a quarter: for small data sets and small inputs, where objects
    /// shrunk to a quarter fall under the smallest prior and a few thousand steps never see the heavy recipe's mean.
    pub fn light() -> Self {
        Augment {
            mirror: 0.5,
            photometric: Some(Photometric {
                probability: 0.5,
                brightness: 16.0,
                contrast: [0.8, 1.2],
                saturation: [0.8, 1.2],
                hue: 6.0,
                permute: 0.0,
            }),
            expand: Some(Expand { probability: 0.5, max_ratio: 1.25 }),
            crop: Some(Crop { whole: 0.5, min_iou: vec![0.0], scale: [0.75, 1.0], aspect: [0.5, 2.0], strict: false }),
        }
    }

    /// Nothing: training sees exactly what evaluation sees ([`Preprocess::eval`]).
    pub fn none() -> Self {
        Augment { mirror: 0.0, photometric: None, expand: None, crop: None }
    }

    /// Whether this is [`Augment::none`].
    pub fn is_none(&self) -> bool {
        *self == Augment::none()
    }

    /// Refuses settings that mean nothing.
    ///
    /// # Errors
    /// [`Error::Config`] with the key.
    pub fn check(&self) -> Result<()> {
        let probability = |key: &str, p: f32| range(key, [p, p], 0.0, 1.0);
        probability("augment.mirror", self.mirror)?;
        if let Some(photometric) = &self.photometric {
            photometric.check()?;
        }
        if let Some(expand) = &self.expand {
            probability("augment.expand.probability", expand.probability)?;
            range("augment.expand.max_ratio", [1.0, expand.max_ratio], 1.0, 16.0)?;
        }
        if let Some(crop) = &self.crop {
            probability("augment.crop.whole", crop.whole)?;
            range("augment.crop.scale", crop.scale, 0.01, 1.0)?;
            range("augment.crop.aspect", crop.aspect, 0.01, 100.0)?;
            if crop.min_iou.is_empty() {
                return Err(Error::config(
                    "augment.crop.min_iou",
                    "the list is empty",
                    "Write [0.0] to ask for nothing",
                ));
            }
            for &iou in &crop.min_iou {
                range("augment.crop.min_iou", [iou, iou], 0.0, 1.0)?;
            }
        }
        Ok(())
    }

    /// Draws what happens to one image of `width x height` with `boxes` in pixels from 0.
    pub fn draw(&self, width: u32, height: u32, boxes: &[BBox], rng: &mut SampleRng) -> Drawn {
        let colour = self.photometric.as_ref().map(|p| p.draw(rng));
        let mut view = View { left: 0, top: 0, width, height, mirror: false };
        if let Some(expand) = &self.expand
            && rng.coin(expand.probability)
        {
            view = expand.draw(width, height, rng);
        }
        if let Some(crop) = &self.crop {
            view = crop.draw(view, boxes, rng);
        }
        view.mirror = rng.coin(self.mirror);
        Drawn { view, colour }
    }
}

/// Checks `low <= range[0] <= range[1] <= high`.
pub(super) fn range(key: &str, range: [f32; 2], low: f32, high: f32) -> Result<()> {
    if range[0] >= low && range[0] <= range[1] && range[1] <= high {
        return Ok(());
    }
    let problem = if range[0] == range[1] {
        format!("{} is out of range", range[0])
    } else {
        format!("{range:?} is no range here")
    };
    Err(Error::config(key, problem, format!("Allowed is {low} to {high}")))
}

impl Expand {
    fn draw(&self, width: u32, height: u32, rng: &mut SampleRng) -> View {
        let (w, h) = (width as f32, height as f32);
        let ratio = rng.between(1.0, self.max_ratio);
        // Whole pixels, as released.
        let left = rng.between(0.0, w * ratio - w) as i64;
        let top = rng.between(0.0, h * ratio - h) as i64;
        let (canvas_width, canvas_height) = ((w * ratio) as u32, (h * ratio) as u32);
        View {
            left: -left,
            top: -top,
            width: canvas_width.max(width),
            height: canvas_height.max(height),
            mirror: false,
        }
    }
}

impl Crop {
    /// A rectangle inside `canvas`, or `canvas` itself. `boxes` are in pixels of the image.
    fn draw(&self, canvas: View, boxes: &[BBox], rng: &mut SampleRng) -> View {
        let (width, height) = (canvas.width as f32, canvas.height as f32);
        for _ in 0..CROP_RULES {
            if rng.coin(self.whole) {
                return canvas;
            }
            let min_iou = self.min_iou[rng.below(self.min_iou.len())];
            for _ in 0..CROP_TRIES {
                let w = rng.between(self.scale[0] * width, self.scale[1] * width);
                let h = rng.between(self.scale[0] * height, self.scale[1] * height);
                if !(self.aspect[0]..=self.aspect[1]).contains(&(h / w)) {
                    continue;
                }
                let left = rng.between(0.0, width - w);
                let top = rng.between(0.0, height - h);
                // Whole pixels, as released.
                let (x0, y0, x1, y1) = (left as i64, top as i64, (left + w) as i64, (top + h) as i64);
                let view = View {
                    left: canvas.left + x0,
                    top: canvas.top + y0,
                    width: (x1 - x0).max(1) as u32,
                    height: (y1 - y0).max(1) as u32,
                    mirror: false,
                };
                let kept = boxes.is_empty() || boxes.iter().any(|b| view.holds_centre(b));
                if kept && (!self.strict || boxes.is_empty() || boxes.iter().any(|b| view.iou(b) >= min_iou)) {
                    return view;
                }
            }
        }
        canvas
    }
}

/// What was drawn for one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// The part of the plane that is seen.
    pub view: View,
    /// What is done to its colours.
    pub colour: Option<Colour>,
}

/// A rectangle of whole pixels of the plane in which the image covers `[0, width) x [0, height)`; the rest of the
/// plane has the mean colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Left edge; negative left of the image.
    pub left: i64,
    /// Top edge; negative above the image.
    pub top: i64,
    /// Width in pixels, at least 1.
    pub width: u32,
    /// Height in pixels, at least 1.
    pub height: u32,
    /// Left and right are swapped in the result.
    pub mirror: bool,
}

impl View {
    /// Whether a box's centre lies inside (edges excluded, as released).
    pub fn holds_centre(&self, b: &BBox) -> bool {
        let (x, y) = ((b.xmin + b.xmax) / 2.0 - self.left as f32, (b.ymin + b.ymax) / 2.0 - self.top as f32);
        x > 0.0 && y > 0.0 && x < self.width as f32 && y < self.height as f32
    }

    /// IoU of a box and the rectangle.
    fn iou(&self, b: &BBox) -> f32 {
        let (left, top) = (self.left as f32, self.top as f32);
        let view = BBox::new(left, top, left + self.width as f32, top + self.height as f32);
        let both =
            BBox::new(b.xmin.max(view.xmin), b.ymin.max(view.ymin), b.xmax.min(view.xmax), b.ymax.min(view.ymax))
                .area();
        let union = b.area() + view.area() - both;
        if union > 0.0 { both / union } else { 0.0 }
    }

    /// A box in pixels of the image as fractions of the view, clipped to it; `None` when its centre is outside or nothing
    /// of it is left.
    pub fn project(&self, b: &BBox) -> Option<BBox> {
        if !self.holds_centre(b) {
            return None;
        }
        let (w, h) = (self.width as f32, self.height as f32);
        let x = |v: f32| ((v - self.left as f32) / w).clamp(0.0, 1.0);
        let y = |v: f32| ((v - self.top as f32) / h).clamp(0.0, 1.0);
        let (mut x0, mut x1) = (x(b.xmin), x(b.xmax));
        if self.mirror {
            (x0, x1) = (1.0 - x1, 1.0 - x0);
        }
        let projected = BBox::new(x0, y(b.ymin), x1, y(b.ymax));
        (projected.area() > 0.0).then_some(projected)
    }

    /// The taps of one axis: for each of `out` positions two indices and their weights; weights outside the image are
    /// zero. Half-pixel centres, clamped at the view's edges, no antialiasing: as [`super::preprocess::resize_linear`].
    fn taps(start: i64, length: u32, image: u32, out: u32) -> Vec<Tap> {
        let scale = f64::from(length) / f64::from(out);
        (0..out)
            .map(|i| {
                let position = ((f64::from(i) + 0.5) * scale - 0.5).clamp(0.0, f64::from(length - 1));
                let first = position as i64;
                let share = (position - first as f64) as f32;
                let at = |offset: i64, weight: f32| {
                    let place = start + (first + offset).min(i64::from(length) - 1);
                    if (0..i64::from(image)).contains(&place) { (place as usize, weight) } else { (0, 0.0) }
                };
                let ((a, wa), (b, wb)) = (at(0, 1.0 - share), at(1, share));
                Tap { a, b, wa, wb }
            })
            .collect()
    }
}

/// Two source positions and their weights.
#[derive(Debug, Clone, Copy)]
struct Tap {
    a: usize,
    b: usize,
    wa: f32,
    wb: f32,
}

impl Drawn {
    /// Samples, distorts and normalises into `out`, [`Preprocess::floats`] long, laid out as [`Preprocess::eval`].
    pub fn render(&self, image: &RgbImage, preprocess: &Preprocess, out: &mut [f32]) {
        let (size, view) = (preprocess.size, &self.view);
        let (width, height) = image.dimensions();
        let mut columns = View::taps(view.left, view.width, width, size);
        if view.mirror {
            columns.reverse();
        }
        let rows = View::taps(view.top, view.height, height, size);
        let (source, stride) = (image.as_raw().as_slice(), width as usize * 3);
        for (row, out) in rows.iter().zip(out.chunks_exact_mut(size as usize * PITCH)) {
            let covered = row.wa + row.wb;
            if covered <= 0.0 {
                out.fill(0.0);
                continue;
            }
            let upper = &source[row.a * stride..(row.a + 1) * stride];
            let lower = &source[row.b * stride..(row.b + 1) * stride];
            for (column, out) in columns.iter().zip(out.chunks_exact_mut(PITCH)) {
                let coverage = covered * (column.wa + column.wb);
                if coverage <= 0.0 {
                    out.fill(0.0);
                    continue;
                }
                let (a, b) = (column.a * 3, column.b * 3);
                let mut rgb = [0.0; 3];
                for (c, value) in rgb.iter_mut().enumerate() {
                    let top = f32::from(upper[a + c]) * column.wa + f32::from(upper[b + c]) * column.wb;
                    let bottom = f32::from(lower[a + c]) * column.wa + f32::from(lower[b + c]) * column.wb;
                    *value = (top * row.wa + bottom * row.wb) / coverage;
                }
                if let Some(colour) = &self.colour {
                    rgb = colour.apply(rgb);
                }
                out.copy_from_slice(&preprocess.normalization.apply(rgb).map(|v| v * coverage));
            }
        }
    }
}
