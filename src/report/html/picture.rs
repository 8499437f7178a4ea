//! Pictures small enough to live inside a page.

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};

use super::super::draw::{LabelledBox, Stroke, contact_sheet, draw_boxes_scaled};
use super::{Example, PICTURE_BYTES};
use crate::detect::BBox;
use crate::{Error, Result};

/// Longer sides that are tried, from the best to the smallest that still shows something.
const SIDES: [u32; 6] = [440, 360, 280, 220, 160, 96];

/// JPEG quality; below it labels get blurred.
const QUALITY: u8 = 84;

/// Pictures are shown at about 60 % of their size, which suits fine screens; letters make up for some of it.
const TEXT_SCALE: f32 = 1.3;

/// An example as two pictures, ready for an `img` element.
pub(super) struct Pair {
    pub truth: Jpeg,
    pub found: Jpeg,
}

/// A picture as a `data:` URI.
pub(super) struct Jpeg {
    pub uri: String,
    pub width: u32,
    pub height: u32,
    bytes: usize,
}

/// Draws and encodes the examples, all at the largest size at which they fit into [`PICTURE_BYTES`] together.
pub(super) fn pairs(examples: &[&Example]) -> Result<Vec<Pair>> {
    let mut side = SIDES[0];
    for (i, &s) in SIDES.iter().enumerate() {
        side = s;
        // One in four tells closely enough, without encoding everything several times.
        let mut sample = 0;
        for example in examples.iter().step_by(4) {
            let pair = pair(example, side)?;
            sample += pair.truth.bytes + pair.found.bytes;
        }
        let each = sample / examples.len().div_ceil(4).max(1);
        if each * examples.len() <= PICTURE_BYTES * 9 / 10 || i + 1 == SIDES.len() {
            break;
        }
    }
    let mut total = 0;
    let mut done = Vec::with_capacity(examples.len());
    for example in examples {
        let mut next = pair(example, side)?;
        if total + next.truth.bytes + next.found.bytes > PICTURE_BYTES {
            next = pair(example, SIDES[SIDES.len() - 1])?;
        }
        total += next.truth.bytes + next.found.bytes;
        done.push(next);
    }
    Ok(done)
}

fn pair(example: &Example, side: u32) -> Result<Pair> {
    let (picture, scale) = scaled(&example.image, side);
    let drawn = |boxes: &[LabelledBox], stroke| {
        let mut picture = picture.clone();
        draw_boxes_scaled(&mut picture, &grown(boxes, scale), stroke, TEXT_SCALE);
        encode(&picture, &example.id)
    };
    Ok(Pair { truth: drawn(&example.ground_truth, Stroke::Dashed)?, found: drawn(&example.detections, Stroke::Solid)? })
}

/// Examples side by side in rows of `columns`, their longer sides at `side` pixels, as a JPEG file: annotations dashed and
/// without names, detections over them.
pub fn sheet(examples: &[Example], columns: usize, side: u32) -> Result<Vec<u8>> {
    let draw = |example: &Example| {
        let (mut picture, scale) = scaled(&example.image, side);
        let mut truth = grown(&example.ground_truth, scale);
        truth.iter_mut().for_each(|b| b.name.clear());
        draw_boxes_scaled(&mut picture, &truth, Stroke::Dashed, 1.0);
        draw_boxes_scaled(&mut picture, &grown(&example.detections, scale), Stroke::Solid, TEXT_SCALE);
        picture
    };
    let caption = |e: &Example| format!("{}: {} found, {} annotated", e.id, e.detections.len(), e.ground_truth.len());
    let pictures: Vec<RgbImage> = examples.iter().map(draw).collect();
    let captions: Vec<String> = examples.iter().map(caption).collect();
    jpeg(&contact_sheet(&pictures, columns, &captions), "sheet")
}

fn grown(boxes: &[LabelledBox], scale: [f32; 2]) -> Vec<LabelledBox> {
    boxes.iter().map(|b| LabelledBox { bbox: times(&b.bbox, scale), ..b.clone() }).collect()
}

/// The picture with its longer side at `side`, and by how much it grew in x and y. Boxes are drawn afterwards, so
/// that their lines and letters are sharp; pictures grow at most threefold.
fn scaled(image: &RgbImage, side: u32) -> (RgbImage, [f32; 2]) {
    let (w, h) = (image.width().max(1), image.height().max(1));
    let factor = (f64::from(side) / f64::from(w.max(h))).min(3.0);
    let to = |v: u32| ((f64::from(v) * factor).round() as u32).max(1);
    let (width, height) = (to(w), to(h));
    let picture = if image.width() == 0 || image.height() == 0 {
        RgbImage::new(1, 1)
    } else {
        let filter = if factor > 1.0 { FilterType::CatmullRom } else { FilterType::Triangle };
        resize(image, width, height, filter)
    };
    (picture, [width as f32 / w as f32, height as f32 / h as f32])
}

fn times(b: &BBox, [x, y]: [f32; 2]) -> BBox {
    BBox::new(b.xmin * x, b.ymin * y, b.xmax * x, b.ymax * y)
}

/// A picture as JPEG inside a `data:` URI; `id` names it in errors.
pub(super) fn encode(picture: &RgbImage, id: &str) -> Result<Jpeg> {
    let bytes = jpeg(picture, id)?;
    Ok(Jpeg {
        uri: format!("data:image/jpeg;base64,{}", base64(&bytes)),
        width: picture.width(),
        height: picture.height(),
        bytes: bytes.len(),
    })
}

fn jpeg(picture: &RgbImage, id: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(picture).map_err(|e| {
        Error::format(id, format!("the picture cannot be written as JPEG: {e}"), "Leave it out of the report")
    })?;
    Ok(bytes)
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_rfc_4648() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xff, 0xef, 0xbe]), "/+++");
    }

    #[test]
    fn pictures_keep_to_the_budget() {
        // Noise is the worst case for JPEG.
        let mut state = 1u32;
        let image = RgbImage::from_fn(500, 500, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            image::Rgb([(state >> 8) as u8, (state >> 16) as u8, (state >> 24) as u8])
        });
        let example = Example { image, ..Example::default() };
        let all = pairs(&[&example; 36]).unwrap();
        let bytes: usize = all.iter().map(|p| p.truth.bytes + p.found.bytes).sum();
        assert_eq!(all.len(), 36);
        assert!(bytes <= PICTURE_BYTES, "{bytes}");
    }
}
