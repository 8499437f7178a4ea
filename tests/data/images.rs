//! Decoding of image files.

use super::{picture, says};
use autobidet::data::image_file::{decode, read};
use image::{DynamicImage, GrayImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use std::io::Cursor;
use std::path::Path;

pub fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.into().write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

fn pixels(bytes: &[u8]) -> RgbImage {
    decode(bytes, Path::new("x"), None).unwrap().image
}

/// Inserts an EXIF block with this orientation after the start marker; its thumbnail-like tail holds an end marker.
pub fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0xff, 0xd9]);
    let mut out = jpeg[..2].to_vec();
    out.extend([0xff, 0xe1]);
    out.extend(((exif.len() + 2) as u16).to_be_bytes());
    out.extend(exif);
    out.extend(&jpeg[2..]);
    out
}

#[test]
fn grey_alpha_and_16_bit_become_rgb() {
    let grey = decode(
        &encode(GrayImage::from_fn(5, 4, |x, y| [(x * 40 + y) as u8].into()), ImageFormat::Png),
        Path::new("x"),
        None,
    )
    .unwrap();
    assert!(grey.grey);
    assert_eq!(grey.image.get_pixel(3, 2), &Rgb([122; 3]));
    let grey =
        decode(&encode(GrayImage::from_pixel(9, 9, [77].into()), ImageFormat::Jpeg), Path::new("x"), None).unwrap();
    assert!(grey.grey);
    assert_eq!(grey.image.get_pixel(4, 4), &Rgb([77; 3]));
    // Alpha is laid over black.
    let alpha = RgbaImage::from_pixel(3, 3, Rgba([200, 100, 50, 51]));
    assert_eq!(pixels(&encode(alpha, ImageFormat::Png)).get_pixel(1, 1), &Rgb([40, 20, 10]));
    let deep = image::ImageBuffer::<Rgb<u16>, _>::from_pixel(3, 3, Rgb([65535, 257 * 100, 0]));
    assert_eq!(pixels(&encode(deep, ImageFormat::Png)).get_pixel(1, 1), &Rgb([255, 100, 0]));
    let rgb = decode(&encode(picture(8, 6, 3), ImageFormat::Png), Path::new("x"), None).unwrap();
    assert_eq!((rgb.image, rgb.grey, rgb.turned), (picture(8, 6, 3), false, false));
}

#[test]
fn cmyk_jpeg_becomes_rgb() {
    // 8 x 8 pixels of cyan 0, magenta 1, yellow 1, black 0: red.
    let hex: String = include_str!("cmyk_jpeg.hex").split_whitespace().collect();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
    let pixel = pixels(&bytes).get_pixel(3, 3).0;
    assert!(pixel[0] > 245 && pixel[1] < 10 && pixel[2] < 10, "{pixel:?}");
}

#[test]
fn exif_orientation_is_applied_unless_the_boxes_are_on_the_stored_pixels() {
    // Left half red, right half blue; orientation 6 means: turn by 90 degrees clockwise, so red comes on top.
    let jpeg = encode(
        RgbImage::from_fn(32, 16, |x, _| if x < 16 { Rgb([250, 0, 0]) } else { Rgb([0, 0, 250]) }),
        ImageFormat::Jpeg,
    );
    let turned = decode(&with_orientation(&jpeg, 6), Path::new("x"), None).unwrap();
    assert!(turned.turned);
    assert_eq!(turned.image.dimensions(), (16, 32));
    assert!(turned.image.get_pixel(8, 4).0[0] > 200 && turned.image.get_pixel(8, 28).0[2] > 200);
    assert_eq!(decode(&with_orientation(&jpeg, 6), Path::new("x"), Some((16, 32))).unwrap(), turned);
    let stored = decode(&with_orientation(&jpeg, 6), Path::new("x"), Some((32, 16))).unwrap();
    assert_eq!((stored.turned, stored.image), (false, pixels(&jpeg)));
    let plain = decode(&with_orientation(&jpeg, 1), Path::new("x"), None).unwrap();
    assert_eq!((plain.turned, plain.image), (false, pixels(&jpeg)));
    // Half a turn keeps the sides, so the annotated size says nothing and EXIF holds.
    let half = decode(&with_orientation(&jpeg, 3), Path::new("x"), Some((32, 16))).unwrap();
    assert!(half.turned && half.image.get_pixel(4, 8).0[2] > 200);
}

#[test]
fn every_cut_of_a_jpeg_or_png_is_an_error() {
    let jpeg = with_orientation(&encode(picture(24, 16, 3), ImageFormat::Jpeg), 1);
    for cut in 0..jpeg.len() {
        assert!(decode(&jpeg[..cut], Path::new("x"), None).is_err(), "{cut} of {}", jpeg.len());
    }
    let png = encode(picture(24, 16, 3), ImageFormat::Png);
    // The last 12 bytes are the empty end chunk: the pixels are whole without it.
    for cut in 0..png.len() - 12 {
        assert!(decode(&png[..cut], Path::new("x"), None).is_err(), "{cut} of {}", png.len());
    }
    says(decode(&jpeg[..jpeg.len() / 2], Path::new("some.jpg"), None), &["some.jpg", "truncated JPEG"]);
}

#[test]
fn damaged_bytes_never_panic() {
    for bytes in [encode(picture(24, 16, 3), ImageFormat::Jpeg), encode(picture(24, 16, 3), ImageFormat::Png)] {
        for at in 0..bytes.len() {
            for value in [0, 0xff, bytes[at] ^ 0x55] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                let _ = decode(&damaged, Path::new("x"), None);
            }
        }
    }
}

#[test]
fn other_formats_are_named() {
    let cases: [(&[u8], &str); 9] = [
        (b"GIF89a", "a GIF image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP image"),
        (b"BM1234", "a BMP image"),
        (b"II*\0....", "a TIFF image"),
        (b"\0\0\0\x1cftypavif", "an AVIF image"),
        (b"\0\0\0\x1cftypheic", "a HEIF image"),
        (b"", "an empty file"),
        (b"<!doctype html>", "text (HTML"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
    ];
    for (bytes, name) in cases {
        says(decode(bytes, Path::new("p/x.jpg"), None), &["p/x.jpg", name, "JPEG or PNG"]);
    }
    says(read(Path::new("nowhere/x.jpg"), None), &["nowhere/x.jpg", "cannot read"]);
}

pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 })
    })
}

#[test]
fn enormous_claims_are_refused_before_memory_is_taken() {
    let claim = |width: u32, height: u32| {
        let mut png = encode(picture(8, 8, 3), ImageFormat::Png);
        png[16..20].copy_from_slice(&width.to_be_bytes());
        png[20..24].copy_from_slice(&height.to_be_bytes());
        let crc = crc32(&png[12..29]);
        png[29..33].copy_from_slice(&crc.to_be_bytes());
        png
    };
    assert_eq!(claim(8, 8), encode(picture(8, 8, 3), ImageFormat::Png), "the checksum here is PNG's");
    says(decode(&claim(19_000, 19_000), Path::new("x"), None), &["claims 19000 x 19000", "cannot hold"]);
    assert!(decode(&claim(100_000, 1), Path::new("x"), None).is_err());
    assert!(decode(&claim(20_000, 20_001), Path::new("x"), None).is_err());
    assert!(decode(&claim(u32::MAX, u32::MAX), Path::new("x"), None).is_err());

    let mut jpeg = encode(picture(8, 8, 3), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0, 0xff, 0]);
    says(decode(&jpeg, Path::new("x"), None), &["claims 65280 x 65280"]);
}
