//! Boxes with names and scores on pictures, and sheets of pictures.
//!
//! A box is a line in its class's colour inside a casing of the opposite lightness, so that it shows on any
//! background; its name stands on a plate of the same colour in black or white, whichever contrasts more. Line and
//! text grow with the picture.

use image::{Rgb, RgbImage};
use serde::{Deserialize, Serialize};

use super::text::{blend, draw_text, fit, line_metrics, text_width};
use crate::detect::BBox;

/// A box to draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelledBox {
    /// Where, in pixels of the image.
    pub bbox: BBox,
    /// 0-based class, for the colour.
    pub class: usize,
    /// What the label says; empty for no label.
    pub name: String,
    /// Confidence in 0..=1, shown after the name; none for annotations.
    pub score: Option<f32>,
}

/// How the line of a box looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stroke {
    /// For detections.
    Solid,
    /// For annotations.
    Dashed,
}

/// Colours that people with any of the common kinds of colour blindness can tell apart (after Okabe and Ito, and
/// Tol), bright enough for a dark casing or dark enough for a light one.
const PALETTE: [[u8; 3]; 12] = [
    [0xF2, 0xA3, 0x00],
    [0x3D, 0xA9, 0xF0],
    [0x12, 0xB8, 0x86],
    [0xE8, 0x4A, 0x27],
    [0xD9, 0x7F, 0xC0],
    [0xF0, 0xE4, 0x42],
    [0x2B, 0x5F, 0xD9],
    [0xB8, 0xE0, 0x5A],
    [0x8E, 0x44, 0xC9],
    [0x7F, 0xE0, 0xDC],
    [0x99, 0x2E, 0x55],
    [0x8A, 0x8F, 0x3A],
];

/// The colour of a class: twelve hand-picked ones, then hues at golden-angle steps in three lightnesses. Names are
/// always shown too, so nothing depends on colour alone.
pub fn class_colour(class: usize) -> [u8; 3] {
    if let Some(&colour) = PALETTE.get(class) {
        return colour;
    }
    let i = class - PALETTE.len();
    let hue = (i as f64 * 0.618_033_988_75).fract() * 6.0;
    let (saturation, value) = [(0.65, 0.95), (0.80, 0.72), (0.40, 0.98)][i % 3];
    [5.0, 3.0, 1.0].map(|n| {
        let k: f64 = (n + hue) % 6.0;
        (255.0 * (value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0))).round() as u8
    })
}

/// Draws boxes and their labels. Labels of higher scores are placed first and lie on top; later ones move out of
/// their way where they can. Boxes that are not finite are left out; those beyond the image are cut at its border.
pub fn draw_boxes(image: &mut RgbImage, boxes: &[LabelledBox], stroke: Stroke) {
    draw_boxes_scaled(image, boxes, stroke, 1.0);
}

/// [`draw_boxes`] with letters `text_scale` times as large, for pictures that will be shown smaller than they are.
pub fn draw_boxes_scaled(image: &mut RgbImage, boxes: &[LabelledBox], stroke: Stroke, text_scale: f32) {
    let (width, height) = (image.width() as f32, image.height() as f32);
    if width < 1.0 || height < 1.0 {
        return;
    }
    let pen = Pen::for_image(width, height, text_scale);
    let mut order: Vec<&LabelledBox> = boxes
        .iter()
        .filter(|b| [b.bbox.xmin, b.bbox.ymin, b.bbox.xmax, b.bbox.ymax].iter().all(|v| v.is_finite()))
        .collect();
    order.sort_by(|a, b| b.score.unwrap_or(1.0).total_cmp(&a.score.unwrap_or(1.0)));
    for b in order.iter().rev() {
        draw_outline(image, &b.bbox, class_colour(b.class), pen, stroke);
    }
    let mut taken = Vec::new();
    let mut plates = Vec::new();
    for b in &order {
        let Some(text) = label_text(b) else { continue };
        let text = fit(&text, pen.text, width - 2.0 * pen.pad());
        let size = [text_width(&text, pen.text) + 2.0 * pen.pad(), line_metrics(pen.text).1 + 0.5 * pen.pad()];
        let at = place_plate(&b.bbox, size, [width, height], pen.line, &taken);
        let plate = BBox::new(at[0], at[1], at[0] + size[0], at[1] + size[1]);
        taken.push(plate);
        plates.push((plate, text, class_colour(b.class)));
    }
    for (plate, text, colour) in plates.iter().rev() {
        fill_plate(image, plate, *colour, pen);
        draw_text(image, text, plate.xmin + pen.pad(), plate.ymin + 0.25 * pen.pad(), pen.text, ink_on(*colour));
    }
}

/// Black or white, whichever contrasts more with `colour` (WCAG's relative luminance).
pub fn ink_on(colour: [u8; 3]) -> [u8; 3] {
    let luminance = relative_luminance(colour);
    // Contrast with white is 1.05 / (L + 0.05), with black (L + 0.05) / 0.05; they are equal at L = 0.179.
    if luminance > 0.179 { [0, 0, 0] } else { [255, 255, 255] }
}

/// Pictures in rows of `columns`, each with a caption under it (missing captions leave the space empty), all in cells
/// of the largest picture's size. No picture gives a single-pixel sheet.
pub fn contact_sheet(images: &[RgbImage], columns: usize, captions: &[String]) -> RgbImage {
    const PAPER: Rgb<u8> = Rgb([0xF5, 0xF5, 0xF3]);
    let Some(cell_width) = images.iter().map(RgbImage::width).max() else { return RgbImage::from_pixel(1, 1, PAPER) };
    let cell_height = images.iter().map(RgbImage::height).max().unwrap_or(1);
    let columns = columns.clamp(1, images.len()) as u32;
    let rows = (images.len() as u32).div_ceil(columns);
    let gap = (cell_width / 24).max(4);
    let size = (cell_width as f32 * 0.06).clamp(11.0, 28.0);
    let line = if captions.is_empty() { 0 } else { line_metrics(size).1.ceil() as u32 + gap / 2 };
    let step = [cell_width + gap, cell_height + line + gap];
    let mut sheet = RgbImage::from_pixel(columns * step[0] + gap, rows * step[1] + gap, PAPER);
    for (i, image) in images.iter().enumerate() {
        let (x, y) = (gap + i as u32 % columns * step[0], gap + i as u32 / columns * step[1]);
        image::imageops::replace(&mut sheet, image, i64::from(x), i64::from(y));
        if let Some(caption) = captions.get(i) {
            let text = fit(caption, size, cell_width as f32);
            let below = (y + image.height() + gap / 4) as f32;
            draw_text(&mut sheet, &text, x as f32, below, size, [0x33, 0x33, 0x33]);
        }
    }
    sheet
}

/// Line width and text size for a picture.
#[derive(Clone, Copy)]
struct Pen {
    line: f32,
    text: f32,
}

impl Pen {
    fn for_image(width: f32, height: f32, text_scale: f32) -> Pen {
        let side = (width * height).sqrt();
        Pen { line: (side * 0.0048).clamp(1.2, 8.0), text: (side * 0.034).clamp(11.0, 60.0) * text_scale }
    }

    fn pad(self) -> f32 {
        (self.text * 0.28).round()
    }

    fn casing(self) -> f32 {
        (self.line * 0.45).max(0.8)
    }
}

fn label_text(b: &LabelledBox) -> Option<String> {
    match (b.name.is_empty(), b.score) {
        (true, None) => None,
        (true, Some(score)) => Some(format!("{score:.2}")),
        (false, None) => Some(b.name.clone()),
        (false, Some(score)) => Some(format!("{} {score:.2}", b.name)),
    }
}

fn relative_luminance(colour: [u8; 3]) -> f32 {
    let linear = colour.map(|c| {
        let c = f32::from(c) / 255.0;
        if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

/// What goes around a line of `colour`: dark around light colours, light around dark ones.
fn casing_of(colour: [u8; 3]) -> ([u8; 3], f32) {
    if relative_luminance(colour) > 0.18 { ([0, 0, 0], 0.72) } else { ([255, 255, 255], 0.80) }
}

fn draw_outline(image: &mut RgbImage, bbox: &BBox, colour: [u8; 3], pen: Pen, stroke: Stroke) {
    let half = 0.5 * pen.line;
    // The whole line stays in the image, so that a box that fills it still shows on all four sides.
    let inset = half + pen.casing();
    let clamp = |v: f32, side: u32| v.clamp(inset.min(side as f32 * 0.5), (side as f32 - inset).max(side as f32 * 0.5));
    let (x0, x1) = (clamp(bbox.xmin, image.width()), clamp(bbox.xmax, image.width()));
    let (y0, y1) = (clamp(bbox.ymin, image.height()), clamp(bbox.ymax, image.height()));
    let radius = (1.5 * pen.line).min(0.25 * (x1 - x0)).min(0.25 * (y1 - y0)).max(0.0);
    let (casing, casing_alpha) = casing_of(colour);
    let reach = inset + 1.0;
    let period = 5.0 * pen.line;
    let mut ink = |x: i64, y: i64| {
        let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
        // Signed distance of a rounded rectangle; its absolute value is the distance from the line's middle.
        let qx = (px - 0.5 * (x0 + x1)).abs() - 0.5 * (x1 - x0) + radius;
        let qy = (py - 0.5 * (y0 + y1)).abs() - 0.5 * (y1 - y0) + radius;
        let d = (qx.max(0.0).hypot(qy.max(0.0)) + qx.max(qy).min(0.0) - radius).abs();
        let on = match stroke {
            Stroke::Solid => 1.0,
            Stroke::Dashed => {
                // Along a side, counted from its middle, so that opposite corners look alike.
                let along = if qx > qy { py - 0.5 * (y0 + y1) } else { px - 0.5 * (x0 + x1) };
                let phase = (along / period + 0.5).rem_euclid(1.0) - 0.5;
                ((0.31 - phase.abs()) * period + 0.5).clamp(0.0, 1.0)
            }
        };
        let cover = |half_width: f32| on * (half_width + 0.5 - d).clamp(0.0, 1.0);
        blend(image, x, y, casing, casing_alpha * cover(half + pen.casing()));
        blend(image, x, y, colour, cover(half));
    };
    let (left, right) = ((x0 - reach).floor() as i64, (x1 + reach).ceil() as i64);
    let (top, bottom) = ((y0 - reach).floor() as i64, (y1 + reach).ceil() as i64);
    let (inner_left, inner_right) = ((x0 + reach + radius).ceil() as i64, (x1 - reach - radius).floor() as i64);
    let (inner_top, inner_bottom) = ((y0 + reach + radius).ceil() as i64, (y1 - reach - radius).floor() as i64);
    for y in top..bottom {
        if y < inner_top || y >= inner_bottom || inner_right <= inner_left {
            (left..right).for_each(|x| ink(x, y));
        } else {
            (left..inner_left).chain(inner_right..right).for_each(|x| ink(x, y));
        }
    }
}

/// Where a label of `size` goes: above the box, in its corner, below it, or a line further down, whichever hides
/// least of the labels that are there; always inside the image.
fn place_plate(bbox: &BBox, size: [f32; 2], image: [f32; 2], line: f32, taken: &[BBox]) -> [f32; 2] {
    let [w, h] = size;
    let (left, right) = (bbox.xmin - 0.5 * line, bbox.xmax + 0.5 * line - w);
    let mut candidates = vec![
        [left, bbox.ymin - h],
        [left, bbox.ymin],
        [right, bbox.ymin - h],
        [left, bbox.ymax],
        [right, bbox.ymax],
        [left, bbox.ymax - h],
        [right, bbox.ymax - h],
    ];
    candidates.extend((1..=6).map(|i| [left, bbox.ymin + i as f32 * h]));
    let cost = |i: usize, wanted: [f32; 2]| {
        let at = [0, 1].map(|k| wanted[k].clamp(0.0, (image[k] - size[k]).max(0.0)).round());
        let hidden: f32 = taken
            .iter()
            .map(|t| {
                let x = (t.xmax.min(at[0] + w) - t.xmin.max(at[0])).max(0.0);
                let y = (t.ymax.min(at[1] + h) - t.ymin.max(at[1])).max(0.0);
                x * y / (w * h)
            })
            .sum();
        // Earlier candidates win unless they hide something; being pushed from the wanted place counts a little.
        let pushed = ((at[0] - wanted[0]).abs() + (at[1] - wanted[1]).abs()) / (w + h);
        (hidden * 10.0 + pushed * 0.5 + i as f32 * 0.02, at)
    };
    candidates
        .iter()
        .enumerate()
        .map(|(i, &wanted)| cost(i, wanted))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map_or([0.0, 0.0], |best| best.1)
}

fn fill_plate(image: &mut RgbImage, plate: &BBox, colour: [u8; 3], pen: Pen) {
    let (casing, casing_alpha) = casing_of(colour);
    let rim = pen.casing().round().max(1.0) as i64;
    let (x0, y0, x1, y1) =
        (plate.xmin.round() as i64, plate.ymin.round() as i64, plate.xmax.round() as i64, plate.ymax.round() as i64);
    for y in y0 - rim..y1 + rim {
        for x in x0 - rim..x1 + rim {
            if x >= x0 && x < x1 && y >= y0 && y < y1 {
                blend(image, x, y, colour, 0.94);
            } else {
                blend(image, x, y, casing, casing_alpha * 0.6);
            }
        }
    }
}
