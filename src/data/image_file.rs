//! Image files to 8-bit RGB, safely.
//!
//! Read are JPEG and PNG, recognised by their first bytes (never by the extension). Grey becomes three equal channels,
//! 16-bit samples are scaled to 8, CMYK JPEG is converted by the decoder, transparent pixels are laid over black.
//! Of an animated PNG the picture is taken that programs show which do not know animations, the first frame as a rule; GIF and
//! other formats are refused by name. The EXIF orientation is applied, as OpenCV's `imread` does, unless the annotated size says that the
//! boxes were drawn on the pixels as stored (see [`read`]).
//!
//! A file is refused, before memory is taken for its pixels, when it claims a side over [`MAX_SIDE`], more than
//! [`MAX_PIXELS`], more than [`MAX_DECODED`] as its samples are, or more pixels than its length could encode. A JPEG without its
//! end marker is refused too: the decoder would fill the missing part with grey, and a net would train on it. A PNG's
//! checksums find what was altered; a JPEG has none, so what was altered in its pixels is decoded as it stands.

use std::io::Cursor;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, Limits, RgbImage};

use crate::{Error, Result};

/// The longest side that is read, in pixels.
pub const MAX_SIDE: u32 = 20_000;
/// The most pixels that are read.
pub const MAX_PIXELS: u64 = 400_000_000;
/// The most bytes that the pixels may take as the file has them, before they become 8-bit RGB.
pub const MAX_DECODED: u64 = MAX_PIXELS * 4;
/// The longest image file that is read, in bytes.
pub const MAX_FILE: u64 = 512 << 20;
/// Deflate's best ratio (1032) times 8 pixels a byte (1-bit PNG): no honest file holds more pixels a byte.
const PIXELS_PER_BYTE: u64 = 1032 * 8;

/// A decoded image and what was done to get it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// 8-bit RGB, upright.
    pub image: RgbImage,
    /// The file had one channel (and perhaps alpha).
    pub grey: bool,
    /// The EXIF orientation moved pixels.
    pub turned: bool,
}

/// Reads and decodes `path`. `annotated` is the (width, height) that the annotation gives: where the stored pixels
/// have that size and the EXIF-turned ones have not, the boxes were drawn on the stored pixels and EXIF is ignored.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::Format`] when it is not a whole JPEG or PNG within the limits.
pub fn read(path: &Path, annotated: Option<(u32, u32)>) -> Result<Decoded> {
    let length = std::fs::metadata(path).map_err(|e| Error::io("read", path, e))?.len();
    if length > MAX_FILE {
        return Err(Error::format(
            path,
            format!("the file has {length} bytes, images up to {MAX_FILE} bytes are read"),
            "Is it an image?",
        ));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    decode(&bytes, path, annotated)
}

/// [`read`] for bytes already in memory; `path` is only named in errors.
///
/// # Errors
/// [`Error::Format`] when the bytes are not a whole JPEG or PNG within the limits.
pub fn decode(bytes: &[u8], path: &Path, annotated: Option<(u32, u32)>) -> Result<Decoded> {
    match kind_of(bytes) {
        Kind::Jpeg => {
            if !jpeg_is_whole(bytes) {
                return Err(Error::format(
                    path,
                    "truncated JPEG: the end-of-image marker is missing",
                    "Copy or download the file again, or take its id out of the split",
                ));
            }
            let decoder = image::codecs::jpeg::JpegDecoder::new(Cursor::new(bytes));
            finish(decoder.map_err(|e| undecodable(path, &e))?, bytes, path, annotated)
        }
        Kind::Png => {
            let decoder = image::codecs::png::PngDecoder::with_limits(Cursor::new(bytes), limits());
            finish(decoder.map_err(|e| undecodable(path, &e))?, bytes, path, annotated)
        }
        Kind::Other(what) => {
            Err(Error::format(path, format!("this is {what}"), "Images must be JPEG or PNG files; convert it to one"))
        }
    }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED);
    limits
}

fn undecodable(path: &Path, e: &image::ImageError) -> Error {
    if matches!(e, image::ImageError::Limits(_)) {
        return too_large(path, "is too large");
    }
    Error::format(path, format!("cannot be decoded: {e}"), "Open it in an image viewer; replace it or take its id out")
}

fn too_large(path: &Path, how: &str) -> Error {
    Error::format(
        path,
        format!("{how}: up to {MAX_SIDE} pixels a side and {} MiB of decoded samples are read", MAX_DECODED >> 20),
        "Scale the image down, or save it with 8 bits a channel",
    )
}

fn finish(mut decoder: impl ImageDecoder, bytes: &[u8], path: &Path, annotated: Option<(u32, u32)>) -> Result<Decoded> {
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_PIXELS {
        return Err(Error::format(
            path,
            format!(
                "claims {width} x {height} pixels, images of 1 to {MAX_SIDE} a side and {MAX_PIXELS} in all are read"
            ),
            "Scale the image down",
        ));
    }
    if pixels > (bytes.len() as u64).saturating_mul(PIXELS_PER_BYTE) {
        return Err(Error::format(
            path,
            format!("claims {width} x {height} pixels, which {} bytes cannot hold", bytes.len()),
            "The file is damaged or made to do harm; replace it or take its id out",
        ));
    }
    // The decoder's own limit is on what it works with, not on what it gives.
    if decoder.total_bytes() > MAX_DECODED {
        return Err(too_large(path, &format!("takes {} MiB decoded", decoder.total_bytes() >> 20)));
    }
    decoder.set_limits(limits()).map_err(|e| undecodable(path, &e))?;
    // A broken EXIF block is no reason to refuse the pixels.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|e| undecodable(path, &e))?;
    let grey = !picture.color().has_color();
    let swaps_sides = matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    );
    let boxes_on_stored = swaps_sides && width != height && annotated == Some((width, height));
    let turned = orientation != Orientation::NoTransforms && !boxes_on_stored;
    if turned {
        picture.apply_orientation(orientation);
    }
    Ok(Decoded { image: flatten(picture), grey, turned })
}

/// A picture of any kind as RGB without alpha: `rgb * alpha / 255`, rounded (that is, laid over black).
pub fn flatten(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let rgba = picture.into_rgba8();
    let (width, height) = rgba.dimensions();
    let over_black = |c: u8, a: u8| ((u16::from(c) * u16::from(a) + 127) / 255) as u8;
    // In place: of a large picture there is no second copy.
    let mut samples = rgba.into_raw();
    let pixels = samples.len() / 4;
    for i in 0..pixels {
        let alpha = samples[4 * i + 3];
        for c in 0..3 {
            samples[3 * i + c] = over_black(samples[4 * i + c], alpha);
        }
    }
    samples.truncate(3 * pixels);
    // The length is width * height * 3 by construction, so the fallback is never taken.
    RgbImage::from_raw(width, height, samples).unwrap_or_else(|| RgbImage::new(width, height))
}

enum Kind {
    Jpeg,
    Png,
    Other(String),
}

/// The kind of file by its first bytes, with a name for what is not read.
fn kind_of(bytes: &[u8]) -> Kind {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let brand = bytes.get(4..12).unwrap_or_default();
    let name = if starts(&[0xff, 0xd8, 0xff]) {
        return Kind::Jpeg;
    } else if starts(b"\x89PNG\r\n\x1a\n") {
        return Kind::Png;
    } else if bytes.is_empty() {
        "an empty file"
    } else if starts(b"GIF8") {
        "a GIF image"
    } else if starts(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        "a WebP image"
    } else if starts(b"BM") {
        "a BMP image"
    } else if starts(b"II*\0") || starts(b"MM\0*") {
        "a TIFF image"
    } else if brand.starts_with(b"ftypavif") {
        "an AVIF image"
    } else if brand.starts_with(b"ftyphei") || brand.starts_with(b"ftypmif") {
        "a HEIF image"
    } else if brand.starts_with(b"ftyp") {
        "a video or another ISO media file"
    } else if starts(b"\0\0\0\x0cjP  ") {
        "a JPEG 2000 image"
    } else if starts(b"\xff\x0a") || starts(b"\0\0\0\x0cJXL ") {
        "a JPEG XL image"
    } else if starts(b"version https://git-lfs") {
        "a Git LFS pointer, not the image itself (fetch it with `git lfs pull`)"
    } else if starts(b"<") || starts(b"{") {
        "text (HTML, XML or JSON), not an image"
    } else {
        let head: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
        return Kind::Other(format!("no image that is known here (it begins with the bytes {})", head.join(" ")));
    };
    Kind::Other(name.to_owned())
}

/// Whether the JPEG reaches its own end marker. Walks the segments by their lengths (an EXIF thumbnail has an end
/// marker of its own) and the entropy-coded data byte by byte (there, 0xFF is followed by 0 or a restart number).
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // To the next marker: in entropy-coded data over everything that is none.
        let Some(skip) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xff)) else { return false };
        at += skip + 1;
        match bytes.get(at) {
            None => return false,
            Some(0xd9) => return true,
            // Stuffed zero, TEM, restart and start markers have no length; a repeated 0xFF is padding.
            Some(0x00 | 0x01 | 0xd0..=0xd8) => at += 1,
            Some(0xff) => {}
            Some(_) => match bytes.get(at + 1..at + 3) {
                Some(&[high, low]) => at += 1 + usize::from(u16::from_be_bytes([high, low])).max(2),
                _ => return false,
            },
        }
    }
}
