//! Every kind of image file that a user may have: through the decoder, the loader and `detect` (tests/cli/images.rs).

use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::Arc;

use autobidet::data::image_file::{MAX_SIDE, decode};
use autobidet::data::{Augment, Loader, LoaderOptions, Normalization, Preprocess};
use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, LumaA, Rgb, RgbImage, Rgba, RgbaImage};

use super::images::{crc32, encode, with_orientation};
use super::{Voc, annotation, noted, object, picture, says};

/// A file, and what it must give: this picture within `tolerance` a sample, or an error with these words.
pub struct Kind {
    pub file: &'static str,
    pub bytes: Vec<u8>,
    pub want: Result<RgbImage, Vec<&'static str>>,
    pub tolerance: u8,
}

impl Kind {
    pub fn agrees(&self, found: &RgbImage) -> bool {
        let Ok(want) = &self.want else { return false };
        let near = |(a, b): (&u8, &u8)| a.abs_diff(*b) <= self.tolerance;
        want.dimensions() == found.dimensions() && want.as_raw().iter().zip(found.as_raw()).all(near)
    }
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [&kind[..], data].concat();
    [&(data.len() as u32).to_be_bytes()[..], &body, &crc32(&body).to_be_bytes()].concat()
}

fn deflated(rows: &[u8]) -> Vec<u8> {
    let mut z = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    z.write_all(rows).unwrap();
    z.finish().unwrap()
}

/// A PNG of rows that each begin with their filter; `before` and `after` are chunks around the pixels'.
fn png(size: (u32, u32), depth: u8, colour: u8, rows: &[u8], before: &[Vec<u8>], after: &[Vec<u8>]) -> Vec<u8> {
    let head = [&size.0.to_be_bytes()[..], &size.1.to_be_bytes(), &[depth, colour, 0, 0, 0]].concat();
    let mut out = [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &head)].concat();
    out.extend(before.concat());
    out.extend(chunk(b"IDAT", &deflated(rows)));
    out.extend(after.concat());
    out.extend(chunk(b"IEND", &[]));
    out
}

/// Two frames of one pixel; the first one is also the picture for programs without animations.
fn animated() -> Vec<u8> {
    let control = |number: u32| {
        let words = [number, 1, 1, 0, 0].map(u32::to_be_bytes).concat();
        chunk(b"fcTL", &[&words[..], &[0, 1, 0, 10, 0, 0]].concat())
    };
    let second = [&2u32.to_be_bytes()[..], &deflated(&[0, 9, 9, 9])].concat();
    let before = [chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]), control(0)];
    png((1, 1), 8, 2, &[0, 200, 100, 50], &before, &[control(1), chunk(b"fdAT", &second)])
}

/// Four colours, one a corner: red, green / blue, white.
fn corners() -> RgbImage {
    let corner = |x: bool, y: bool| match (x, y) {
        (false, false) => Rgb([250, 0, 0]),
        (true, false) => Rgb([0, 250, 0]),
        (false, true) => Rgb([0, 0, 250]),
        (true, true) => Rgb([250, 250, 250]),
    };
    RgbImage::from_fn(48, 32, |x, y| corner(x >= 24, y >= 16))
}

/// What EXIF's orientation makes of a picture.
fn upright(stored: &RgbImage, orientation: u8) -> RgbImage {
    use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
    match orientation {
        2 => flip_horizontal(stored),
        3 => rotate180(stored),
        4 => flip_vertical(stored),
        5 => flip_horizontal(&rotate90(stored)),
        6 => rotate90(stored),
        7 => flip_horizontal(&rotate270(stored)),
        8 => rotate270(stored),
        _ => stored.clone(),
    }
}

/// All of them, the good ones first.
pub fn all() -> Vec<Kind> {
    let flat = |w, h, c| RgbImage::from_pixel(w, h, Rgb(c));
    let exact = |file, bytes, want: RgbImage| Kind { file, bytes, want: Ok(want), tolerance: 0 };
    let near = |file, bytes, want: RgbImage| Kind { file, bytes, want: Ok(want), tolerance: 12 };
    let wrong = |file, bytes, parts: &[&'static str]| Kind { file, bytes, want: Err(parts.to_vec()), tolerance: 0 };
    let photo = picture(40, 30, 3);
    let whole_png = encode(photo.clone(), ImageFormat::Png);
    let whole_jpeg = encode(flat(40, 30, [90, 120, 30]), ImageFormat::Jpeg);

    let deep = ImageBuffer::<Rgb<u16>, Vec<u16>>::from_pixel(9, 7, Rgb([65535, 257 * 100, 0]));
    let deep_grey_alpha =
        DynamicImage::from(ImageBuffer::<LumaA<u16>, Vec<u16>>::from_pixel(9, 7, LumaA([257 * 200, 257 * 51])));
    let alpha = RgbaImage::from_pixel(6, 5, Rgba([200, 100, 50, 51]));
    // Entry 0 is red and opaque, entry 1 green at a fifth.
    let palette = [chunk(b"PLTE", &[255, 0, 0, 0, 255, 0]), chunk(b"tRNS", &[255, 51])];
    let two = RgbImage::from_fn(2, 1, |x, _| Rgb(if x == 0 { [255, 0, 0] } else { [0, 51, 0] }));
    let bits = RgbImage::from_fn(3, 1, |x, _| Rgb([if x == 1 { 0 } else { 255 }; 3]));
    let hex: String = include_str!("cmyk_jpeg.hex").split_whitespace().collect();
    let cmyk = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();

    let mut out = vec![
        exact("pixel.png", encode(flat(1, 1, [10, 200, 30]), ImageFormat::Png), flat(1, 1, [10, 200, 30])),
        near("pixel.jpg", encode(flat(1, 1, [10, 200, 30]), ImageFormat::Jpeg), flat(1, 1, [10, 200, 30])),
        exact("grey.png", encode(GrayImage::from_pixel(5, 4, [77].into()), ImageFormat::Png), flat(5, 4, [77; 3])),
        near("grey.jpg", encode(GrayImage::from_pixel(50, 40, [77].into()), ImageFormat::Jpeg), flat(50, 40, [77; 3])),
        exact("deep.png", encode(deep, ImageFormat::Png), flat(9, 7, [255, 100, 0])),
        exact("deep-grey-alpha.png", encode(deep_grey_alpha, ImageFormat::Png), flat(9, 7, [40; 3])),
        exact("alpha.png", encode(alpha, ImageFormat::Png), flat(6, 5, [40, 20, 10])),
        exact("palette.png", png((2, 1), 8, 3, &[0, 0, 1], &palette, &[]), two),
        exact("bits.png", png((3, 1), 1, 0, &[0, 0b1010_0000], &[], &[]), bits),
        exact("animated.png", animated(), flat(1, 1, [200, 100, 50])),
        exact("long.png", encode(picture(MAX_SIDE, 3, 1), ImageFormat::Png), picture(MAX_SIDE, 3, 1)),
        exact("high.png", encode(picture(2, MAX_SIDE, 1), ImageFormat::Png), picture(2, MAX_SIDE, 1)),
        near("cmyk.jpg", cmyk, flat(8, 8, [254, 0, 0])),
        near("really-a-jpeg.png", whole_jpeg.clone(), flat(40, 30, [90, 120, 30])),
    ];
    // A tag of orientation 6 in a PNG: big-endian TIFF with one entry.
    let exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    let rows: Vec<u8> = vec![0, 1, 2, 3, 4, 5, 6];
    let stored = RgbImage::from_raw(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
    out.push(exact("turned.png", png((2, 1), 8, 2, &rows, &[chunk(b"eXIf", &exif)], &[]), upright(&stored, 6)));
    let stored = encode(corners(), ImageFormat::Jpeg);
    let names = ["o1.jpg", "o2.jpg", "o3.jpg", "o4.jpg", "o5.jpg", "o6.jpg", "o7.jpg", "o8.jpg"];
    for (file, o) in names.into_iter().zip(1u8..) {
        // Exact edges: what is compared is which corner is where.
        out.push(Kind { tolerance: 60, ..near(file, with_orientation(&stored, o), upright(&corners(), o)) });
    }

    let mut altered = whole_png.clone();
    let pixels = altered.windows(4).position(|w| w == b"IDAT").unwrap();
    altered[pixels + 40] ^= 1;
    let over = encode(RgbImage::new(MAX_SIDE + 1, 1), ImageFormat::Png);
    // 16 bits a channel with alpha at half the largest number of pixels: a file that could hold them, its pixels missing.
    let mut deep = png((20_000, 15_000), 16, 6, &vec![0; 1 << 16], &[], &[]);
    deep.extend(vec![0; 1 << 16]);
    out.extend([
        wrong("animated.gif", b"GIF89a\x01\0\x01\0".to_vec(), &["this is a GIF image", "must be JPEG or PNG"]),
        wrong("cut.jpg", whole_jpeg[..whole_jpeg.len() / 2].to_vec(), &["truncated JPEG"]),
        wrong("cut.png", whole_png[..whole_png.len() / 2].to_vec(), &["cannot be decoded"]),
        wrong("altered.png", altered, &["cannot be decoded"]),
        wrong("over.png", over, &["20000"]),
        wrong("deep-and-large.png", deep, &["MiB decoded", "8 bits a channel"]),
        wrong("empty.jpg", Vec::new(), &["an empty file"]),
    ]);
    out
}

#[test]
fn each_kind_gives_its_picture_or_says_why_not() {
    for kind in all() {
        let found = decode(&kind.bytes, Path::new(kind.file), None);
        match &kind.want {
            Ok(want) => {
                let found = found.unwrap().image;
                assert!(kind.agrees(&found), "{}: {:?}, {:?}", kind.file, found.dimensions(), want.dimensions());
            }
            Err(parts) => says(found, &[&[kind.file], &parts[..]].concat()),
        }
    }
}

#[test]
fn any_altered_byte_of_a_png_s_pixels_is_found() {
    let whole = encode(picture(24, 16, 3), ImageFormat::Png);
    let start = whole.windows(4).position(|w| w == b"IDAT").unwrap();
    let length = u32::from_be_bytes(whole[start - 4..start].try_into().unwrap()) as usize;
    for at in start + 4..start + 8 + length {
        let mut altered = whole.clone();
        altered[at] ^= 1 << (at % 8);
        assert!(decode(&altered, Path::new("x"), None).is_err(), "byte {at}");
    }
}

#[test]
fn each_kind_goes_through_the_loader() {
    let voc = Voc::new();
    let kinds = all();
    let mut ids = Vec::new();
    for kind in &kinds {
        // VOC finds an image by its id and its name's ending.
        let (stem, end) = kind.file.split_once('.').unwrap();
        let id = format!("{stem}-{end}");
        let end = if end == "gif" { "jpg" } else { end };
        std::fs::write(voc.path().join(format!("JPEGImages/{id}.{end}")), &kind.bytes).unwrap();
        let (w, h) = kind.want.as_ref().map_or((40, 30), |i| i.dimensions());
        let corners = ["1".to_string(), "1".to_string(), w.to_string(), h.to_string()];
        voc.xml(&id, &annotation(&format!("{id}.{end}"), w, h, &object("thing", &corners)));
        ids.push(id);
    }
    voc.list("train", &ids.iter().map(String::as_str).collect::<Vec<_>>());
    let set = Arc::new(voc.open("train").unwrap());
    assert_eq!(set.images.len(), kinds.len());
    let input = Preprocess { size: 32, normalization: Normalization::SymmetricUnit };
    let options = LoaderOptions { batch: 4, threads: 2, cache_mb: 1, ..Default::default() };

    let mut loader = Loader::eval(set.clone(), input, options.clone(), |_| ()).unwrap();
    let mut seen = 0;
    for batch in loader.by_ref() {
        let batch = batch.unwrap();
        for (i, floats) in batch.images.chunks_exact(input.floats()).enumerate() {
            let kind = &kinds[seen];
            assert_eq!(batch.ids[i], ids[seen]);
            assert_eq!(batch.readable[i], kind.want.is_ok(), "{}", kind.file);
            let want = kind.want.as_ref().map_or(vec![0.0; floats.len()], |p| input.eval(p));
            let most = want.iter().zip(floats).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(most <= f32::from(kind.tolerance) / 127.5 + 1e-5, "{}: {most}", kind.file);
            seen += 1;
        }
    }
    let wrong = kinds.iter().filter(|k| k.want.is_err()).count();
    assert_eq!((seen, noted(&loader.notes(), "cannot be decoded")), (kinds.len(), wrong));

    // Training cuts, enlarges and turns the same pictures; those that cannot be decoded are replaced.
    let mut loader = Loader::train(set, input, Augment::ssd(), options, 0, |s| s.boxes.len()).unwrap();
    for batch in loader.by_ref().take(40) {
        let batch = batch.unwrap();
        assert!(batch.images.iter().all(|v| v.is_finite()) && batch.readable.iter().all(|r| *r));
    }
    assert_eq!(noted(&loader.notes(), "cannot be decoded"), wrong);
}

#[test]
fn bytes_without_an_image_in_them_are_no_image() {
    let mut bytes = Vec::new();
    DynamicImage::new_rgb8(3, 3).write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
    // A PNG of nothing but its head and its end.
    let head = bytes[..33].to_vec();
    says(decode(&[head, chunk(b"IEND", &[])].concat(), Path::new("x.png"), None), &["x.png", "cannot be decoded"]);
}
