//! The resize against OpenCV, and the normalisations.

use super::picture;
use autobidet::data::preprocess::{Normalization, Preprocess, resize_linear};
use image::RgbImage;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    from: [u32; 2],
    to: [u32; 2],
    rgb: String,
    result: String,
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn equals_opencv_bit_for_bit() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("opencv_resize.json")).unwrap();
    assert_eq!(cases.len(), 10);
    for case in cases {
        let image = RgbImage::from_raw(case.from[0], case.from[1], bytes(&case.rgb)).unwrap();
        let got = resize_linear(&image, case.to[0], case.to[1]);
        assert_eq!(got.as_raw(), &bytes(&case.result), "{:?} to {:?}", case.from, case.to);
    }
}

#[test]
fn the_own_size_changes_nothing_and_empty_images_are_black() {
    assert_eq!(resize_linear(&picture(13, 7, 5), 13, 7), picture(13, 7, 5));
    assert_eq!(resize_linear(&RgbImage::new(0, 5), 3, 2), RgbImage::new(3, 2));
}

#[test]
fn normalisations_are_their_definitions_and_invert() {
    let rgb = [10.0, 128.0, 255.0];
    let near = |a: [f32; 4], b: [f32; 3]| a[3] == 0.0 && (0..3).all(|c| (a[c] - b[c]).abs() < 1e-5);
    assert!(near(Normalization::MeanSubtract.apply(rgb), [-113.0, 11.0, 151.0]));
    assert!(near(Normalization::SymmetricUnit.apply(rgb), [10.0 / 127.5 - 1.0, 128.0 / 127.5 - 1.0, 1.0]));
    assert!(near(
        Normalization::ImageNetMeanStd.apply(rgb),
        [(10.0 / 255.0 - 0.485) / 0.229, (128.0 / 255.0 - 0.456) / 0.224, (1.0 - 0.406) / 0.225]
    ));
    for n in [Normalization::MeanSubtract, Normalization::SymmetricUnit, Normalization::ImageNetMeanStd] {
        let [r, g, b, _] = n.apply(rgb);
        assert!(n.invert([r, g, b]).iter().zip(rgb).all(|(a, b)| (a - b).abs() < 1e-3));
        let json = serde_json::to_string(&n).unwrap();
        assert_eq!(serde_json::from_str::<Normalization>(&json).unwrap(), n);
    }
    assert_eq!(serde_json::to_string(&Normalization::SymmetricUnit).unwrap(), "\"symmetric_unit\"");
}

#[test]
fn the_layout_is_rows_of_four_floats() {
    let preprocess = Preprocess { size: 4, normalization: Normalization::MeanSubtract };
    let image = picture(4, 4, 9);
    let out = preprocess.eval(&image);
    assert_eq!(out.len(), 4 * 4 * 4);
    for y in 0..4 {
        for x in 0..4 {
            let p = image.get_pixel(x, y).0.map(f32::from);
            let at = (y * 4 + x) as usize * 4;
            assert_eq!(out[at..at + 4], [p[0] - 123.0, p[1] - 117.0, p[2] - 104.0, 0.0]);
        }
    }
}
