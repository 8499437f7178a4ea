//! Boxes and labels on pictures.

use std::path::Path;

use autobidet::detect::BBox;
use autobidet::report::draw::{LabelledBox, Stroke, class_colour, contact_sheet, draw_boxes, ink_on};
use autobidet::report::text::{fit, text_width};
use image::{Rgb, RgbImage};

fn labelled(class: usize, name: &str, score: f32, b: [f32; 4]) -> LabelledBox {
    LabelledBox { bbox: BBox::new(b[0], b[1], b[2], b[3]), class, name: name.into(), score: Some(score) }
}

/// WCAG contrast ratio of two colours.
fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
    let luminance = |c: [u8; 3]| {
        let l = c.map(|v| {
            let v = f64::from(v) / 255.0;
            if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]
    };
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn a_line_shows_on_black_white_and_its_own_colour() {
    for class in 0..40 {
        let colour = class_colour(class);
        for ground in [[0, 0, 0], [255, 255, 255], [128, 128, 128], colour] {
            let mut image = RgbImage::from_pixel(300, 300, Rgb(ground));
            draw_boxes(&mut image, &[labelled(class, "", 0.5, [60.0, 60.0, 240.0, 240.0])], Stroke::Solid);
            // Across the left side, below the label: something must differ strongly from the ground.
            let best = (50..70).map(|x| contrast(image.get_pixel(x, 200).0, ground)).fold(1.0, f64::max);
            assert!(best > 1.9, "class {class} on {ground:?}: contrast {best:.2}");
            assert_eq!(image.get_pixel(150, 150).0, ground, "the inside is left alone");
        }
    }
}

#[test]
fn text_contrasts_with_every_plate() {
    for class in 0..200 {
        let colour = class_colour(class);
        assert!(contrast(colour, ink_on(colour)) >= 4.5, "class {class}");
    }
}

#[test]
fn colours_of_the_first_classes_differ() {
    for a in 0..20 {
        for b in 0..a {
            let distance: i32 =
                class_colour(a).iter().zip(class_colour(b)).map(|(x, y)| (i32::from(*x) - i32::from(y)).abs()).sum();
            assert!(distance > 30, "classes {a} and {b}: {:?} {:?}", class_colour(a), class_colour(b));
        }
    }
}

#[test]
fn anything_can_be_drawn_anywhere() {
    let nan = f32::NAN;
    let boxes = [
        labelled(0, "off to the left", 0.9, [-500.0, -500.0, -400.0, -400.0]),
        labelled(1, "a name that is a good deal longer than the picture is wide", 0.8, [1.0, 1.0, 9.0, 9.0]),
        labelled(2, "not a number", 0.7, [nan, 0.0, 5.0, 5.0]),
        labelled(3, "inside out", 0.6, [30.0, 30.0, 10.0, 10.0]),
        labelled(4, "huge", f32::NAN, [-1e30, -1e30, 1e30, 1e30]),
        labelled(5, "東京 \n<b>", 0.4, [5.0, 5.0, 20.0, 20.0]),
        labelled(usize::MAX, "last class", 0.4, [5.0, 5.0, 5.0, 5.0]),
    ];
    for (width, height) in [(0, 0), (1, 1), (2, 50), (40, 40), (1000, 30)] {
        for stroke in [Stroke::Solid, Stroke::Dashed] {
            draw_boxes(&mut RgbImage::new(width, height), &boxes, stroke);
        }
    }
}

#[test]
fn a_box_over_the_whole_image_shows_on_all_sides() {
    let mut image = RgbImage::new(200, 120);
    draw_boxes(&mut image, &[labelled(5, "", 0.5, [0.0, 0.0, 200.0, 120.0])], Stroke::Solid);
    for (x, y) in [(100, 1), (100, 118), (1, 60), (198, 60)] {
        let lit = (-1i32..=1).any(|d| {
            let at = if y == 60 { (x + d, y) } else { (x, y + d) };
            image.get_pixel(at.0 as u32, at.1 as u32).0[0] > 150
        });
        assert!(lit, "nothing at {x}, {y}");
    }
}

#[test]
fn dashes_have_gaps() {
    let along = |stroke| {
        let mut image = RgbImage::new(300, 300);
        draw_boxes(&mut image, &[labelled(5, "", 0.5, [40.0, 40.0, 260.0, 260.0])], stroke);
        (100..220).filter(|&y| image.get_pixel(260, y).0[0] > 150).count()
    };
    assert_eq!(along(Stroke::Solid), 120);
    assert!((50..100).contains(&along(Stroke::Dashed)), "{}", along(Stroke::Dashed));
}

#[test]
fn text_is_cut_to_width() {
    assert_eq!(fit("ring", 14.0, 1000.0), "ring");
    let cut = fit("a rather long name of a class", 14.0, 80.0);
    assert!(cut.ends_with('…') && text_width(&cut, 14.0) <= 80.0, "{cut}");
    assert_eq!(fit("abc", 14.0, 0.0), "a…");
    assert_eq!(fit("", 14.0, 0.0), "");
    assert!(text_width(&"x".repeat(1_000_000), 14.0) < 1e5);
}

#[test]
fn sheets_hold_every_picture() {
    assert_eq!(contact_sheet(&[], 3, &[]).dimensions(), (1, 1));
    let red = RgbImage::from_pixel(50, 40, Rgb([255, 0, 0]));
    let sheet = contact_sheet(&[red.clone(), red.clone(), red], 0, &["one".into()]);
    let count = sheet.pixels().filter(|p| p.0 == [255, 0, 0]).count();
    assert_eq!(count, 3 * 50 * 40);
}

/// Leaves crowded labels on light, dark and grey in target/tmp/labels.png, to look at.
#[test]
fn crowded_labels_keep_apart() {
    let names = ["disc", "ring", "star", "box", "triangle", "cross", "aeroplane", "diningtable"];
    let mut pictures = Vec::new();
    for ground in [[250, 250, 246], [14, 16, 20], [128, 128, 120]] {
        let mut image = RgbImage::from_pixel(420, 320, Rgb(ground));
        let boxes: Vec<LabelledBox> = (0..8)
            .map(|i| {
                let (x, y) = (20.0 + 42.0 * i as f32, 12.0 + 9.0 * i as f32);
                labelled(i, names[i], 0.99 - 0.08 * i as f32, [x, y, x + 130.0, y + 150.0])
            })
            .collect();
        draw_boxes(&mut image, &boxes, Stroke::Solid);
        let lower = [labelled(9, "ground truth", 1.0, [20.0, 200.0, 180.0, 300.0])];
        draw_boxes(&mut image, &lower, Stroke::Dashed);
        pictures.push(image);
    }
    let sheet = contact_sheet(&pictures, 3, &["on light".into(), "on dark".into(), "on grey".into()]);
    sheet.save(Path::new(env!("CARGO_TARGET_TMPDIR")).join("labels.png")).unwrap();
}
