//! Augmentation: geometry against a slow reference, statistics, bounds.

use super::{picture, says};
use autobidet::data::augment::{Augment, Drawn, View};
use autobidet::data::preprocess::{Normalization, PITCH, Preprocess};
use autobidet::data::rng::rng_for;
use autobidet::detect::BBox;

const INPUT: Preprocess = Preprocess { size: 20, normalization: Normalization::MeanSubtract };

fn render(drawn: &Drawn, image: &image::RgbImage) -> Vec<f32> {
    let mut out = vec![f32::NAN; INPUT.floats()];
    drawn.render(image, &INPUT, &mut out);
    out
}

#[test]
fn nothing_drawn_is_the_evaluation_path_up_to_its_rounding() {
    for (w, h) in [(64, 48), (20, 20), (13, 50), (7, 5)] {
        let image = picture(w, h, 3);
        let whole = Drawn { view: View { left: 0, top: 0, width: w, height: h, mirror: false }, colour: None };
        let worst =
            render(&whole, &image).iter().zip(INPUT.eval(&image)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(
            worst <= 0.76,
            "{w}x{h}: 8-bit rounding is off by at most 0.5 and the coefficients' by 0.25, got {worst}"
        );
    }
}

/// The chain as published: the canvas is painted in full size, cut, and resized as floats.
fn reference(view: &View, image: &image::RgbImage) -> Vec<f32> {
    let mean = INPUT.normalization.mean();
    let plane = |x: i64, y: i64| -> [f32; 3] {
        let inside = x >= 0 && y >= 0 && x < i64::from(image.width()) && y < i64::from(image.height());
        if inside { image.get_pixel(x as u32, y as u32).0.map(f32::from) } else { mean }
    };
    let mut out = Vec::new();
    for row in 0..INPUT.size {
        for column in 0..INPUT.size {
            let column = if view.mirror { INPUT.size - 1 - column } else { column };
            let tap = |i: u32, length: u32| {
                let p = ((i as f32 + 0.5) * length as f32 / INPUT.size as f32 - 0.5).clamp(0.0, (length - 1) as f32);
                (p as i64, (p as i64 + 1).min(i64::from(length) - 1), p.fract())
            };
            let (x0, x1, fx) = tap(column, view.width);
            let (y0, y1, fy) = tap(row, view.height);
            let at = |x: i64, y: i64| plane(view.left + x, view.top + y);
            let (a, b, c, d) = (at(x0, y0), at(x1, y0), at(x0, y1), at(x1, y1));
            for k in 0..3 {
                let top = a[k] * (1.0 - fx) + b[k] * fx;
                out.push(top * (1.0 - fy) + (c[k] * (1.0 - fx) + d[k] * fx) * fy - mean[k]);
            }
            out.push(0.0);
        }
    }
    out
}

#[test]
fn one_sampling_equals_the_published_chain() {
    let image = picture(37, 29, 3);
    let mut rng = rng_for(3, 0, 0);
    for round in 0..300 {
        let mut augment = Augment::ssd();
        augment.photometric = None;
        let drawn = augment.draw(37, 29, &[BBox::new(3.0, 4.0, 20.0, 20.0)], &mut rng);
        let (got, want) = (render(&drawn, &image), reference(&drawn.view, &image));
        let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 0.02, "round {round}, {:?}: {worst}", drawn.view);
    }
}

#[test]
fn colours_touch_the_image_and_not_the_fill() {
    let mut augment = Augment::ssd();
    augment.crop = None;
    let (w, h) = (30, 30);
    let image = image::RgbImage::from_pixel(w, h, image::Rgb([90, 160, 30]));
    let mut seen = 0;
    for index in 0..200 {
        let drawn = augment.draw(w, h, &[], &mut rng_for(5, 0, index));
        let out = render(&drawn, &image);
        let colour = drawn.colour.unwrap().apply([90.0, 160.0, 30.0]);
        let view = drawn.view;
        for (i, pixel) in out.chunks_exact(PITCH).enumerate() {
            let x = (((i as u32 % INPUT.size) as f32 + 0.5) * view.width as f32 / INPUT.size as f32) as i64;
            let x = if view.mirror { i64::from(view.width) - 1 - x } else { x } + view.left;
            let y = (((i as u32 / INPUT.size) as f32 + 0.5) * view.height as f32 / INPUT.size as f32) as i64 + view.top;
            let far = |p: i64, side: u32| p < -2 || p > i64::from(side) + 2;
            let deep = |p: i64, side: u32| p > 2 && p < i64::from(side) - 3;
            if far(x, w) || far(y, h) {
                assert_eq!(pixel, [0.0; 4], "the fill is the mean colour");
                seen += 1;
            } else if deep(x, w) && deep(y, h) {
                let mean = INPUT.normalization.mean();
                assert!((0..3).all(|c| (pixel[c] - (colour[c] - mean[c])).abs() < 0.01), "{pixel:?} {colour:?}");
            }
        }
    }
    assert!(seen > 1000);
}

#[test]
fn boxes_follow_the_pixels() {
    // One white square on black: its bounds in the result must be the projected box.
    let square = BBox::new(30.0, 20.0, 60.0, 50.0);
    let image = image::RgbImage::from_fn(100, 80, |x, y| {
        let inside = (30..60).contains(&x) && (20..50).contains(&y);
        image::Rgb([if inside { 255 } else { 0 }; 3])
    });
    let input = Preprocess { size: 200, normalization: Normalization::SymmetricUnit };
    let mut augment = Augment::ssd();
    augment.photometric = None;
    let mut mirrored = 0;
    for index in 0..60 {
        let drawn = augment.draw(100, 80, &[square], &mut rng_for(11, 1, index));
        mirrored += usize::from(drawn.view.mirror);
        let projected = drawn.view.project(&square).expect("a crop keeps at least one centre");
        let mut out = vec![0.0; input.floats()];
        drawn.render(&image, &input, &mut out);
        // Half-way between black (-1) and white (1); the fill (0) is not above.
        let bright: Vec<usize> = (0..200 * 200).filter(|i| out[i * PITCH] > 0.2).collect();
        let bounds = |f: &dyn Fn(usize) -> usize| {
            let (low, high) =
                (bright.iter().map(|&i| f(i)).min().unwrap(), bright.iter().map(|&i| f(i)).max().unwrap());
            (low as f32 / 200.0, (high + 1) as f32 / 200.0)
        };
        let ((x0, x1), (y0, y1)) = (bounds(&|i| i % 200), bounds(&|i| i / 200));
        let pixel = (1.5 * 200.0 / drawn.view.width.min(drawn.view.height) as f32).max(2.0) / 200.0;
        for (got, want) in [(x0, projected.xmin), (x1, projected.xmax), (y0, projected.ymin), (y1, projected.ymax)] {
            assert!((got - want).abs() <= pixel, "{:?}: {got} {want} {pixel}", drawn.view);
        }
    }
    assert!((15..45).contains(&mirrored));
}

#[test]
fn boxes_stay_inside_and_draws_are_as_configured() {
    let boxes =
        [BBox::new(10.0, 10.0, 60.0, 90.0), BBox::new(100.0, 50.0, 199.0, 149.0), BBox::new(150.0, 5.0, 160.0, 9.0)];
    let (w, h) = (200u32, 150u32);
    for augment in [Augment::ssd(), Augment::light()] {
        let n = 20_000;
        let (mut mirrors, mut whole, mut expanded_whole, mut colours, mut kept) = (0, 0, 0, 0, 0usize);
        let (mut bright, mut ratio) = (0.0f64, 0.0f32);
        for index in 0..n {
            let drawn = augment.draw(w, h, &boxes, &mut rng_for(1, 0, index));
            let view = drawn.view;
            mirrors += usize::from(view.mirror);
            whole += usize::from((view.width, view.height) == (w, h) && view.left == 0 && view.top == 0);
            expanded_whole += usize::from(view.width > w && view.height > h);
            ratio = ratio.max(view.width as f32 / w as f32);
            let colour = drawn.colour.unwrap();
            colours += usize::from(colour.brightness != 0.0);
            bright += f64::from(colour.brightness);
            let seen: Vec<BBox> = boxes.iter().filter_map(|b| view.project(b)).collect();
            assert!(!seen.is_empty(), "a crop keeps at least one object");
            kept += seen.len();
            for b in seen {
                assert!(b.xmin >= 0.0 && b.ymin >= 0.0 && b.xmax <= 1.0 && b.ymax <= 1.0 && b.area() > 0.0, "{b:?}");
            }
        }
        let share = |count: usize| count as f64 / n as f64;
        let near = |got: f64, want: f64| (got - want).abs() < 0.02;
        assert!(near(share(mirrors), 0.5) && near(share(colours), 0.5), "{} {}", share(mirrors), share(colours));
        assert!((bright / n as f64).abs() < 0.5, "brightness has mean zero");
        let keep_whole = f64::from(augment.crop.as_ref().unwrap().whole);
        // Whole and not expanded (an expansion under one pixel, or an almost whole crop, counts too).
        assert!((share(whole) - 0.5 * keep_whole).abs() < 0.03, "{}", share(whole));
        let max_ratio = augment.expand.as_ref().unwrap().max_ratio;
        assert!(ratio <= max_ratio && ratio > 1.0 + (max_ratio - 1.0) * 0.95, "{ratio}");
        assert!(share(expanded_whole) >= 0.5 * keep_whole - 0.02, "{}", share(expanded_whole));
        assert!(kept as f64 / n as f64 > 1.3);
    }
}

#[test]
fn the_strict_rule_rejects_and_the_released_one_does_not() {
    let boxes = [BBox::new(80.0, 60.0, 120.0, 90.0)];
    let mut augment = Augment::ssd();
    augment.expand = None;
    let crop = augment.crop.as_mut().unwrap();
    (crop.min_iou, crop.whole) = (vec![0.3], 0.1);
    let worst = |augment: &Augment| {
        let iou = |v: View| {
            let (l, t) = (v.left as f32, v.top as f32);
            let (r, b) = (l + v.width as f32, t + v.height as f32);
            let both = BBox::new(l.max(80.0), t.max(60.0), r.min(120.0), b.min(90.0)).area();
            both / (boxes[0].area() + (r - l) * (b - t) - both)
        };
        let views = (0..2000).map(|i| augment.draw(200, 150, &boxes, &mut rng_for(9, 0, i)).view);
        views.filter(|v| (v.width, v.height) != (200, 150)).map(iou).fold(1.0, f32::min)
    };
    assert!(worst(&augment) < 0.1);
    augment.crop.as_mut().unwrap().strict = true;
    assert!(worst(&augment) >= 0.3);
}

#[test]
fn odd_images_and_settings_do_no_harm() {
    for (w, h) in [(1, 1), (1, 300), (20_000, 1), (3, 2)] {
        let image = image::RgbImage::new(w, h);
        for index in 0..200 {
            let drawn = Augment::ssd().draw(w, h, &[], &mut rng_for(2, 0, index));
            assert!(render(&drawn, &image).iter().all(|v| v.is_finite()));
        }
    }
    // Objects too small for any crop to reach the IoU asked for: the image stays whole, the search ends.
    let mut augment = Augment::ssd();
    let crop = augment.crop.as_mut().unwrap();
    (crop.whole, crop.min_iou, crop.strict) = (0.0, vec![0.9], true);
    augment.expand = None;
    let drawn = augment.draw(200, 150, &[BBox::new(1.0, 1.0, 2.0, 2.0)], &mut rng_for(1, 1, 1));
    assert_eq!((drawn.view.width, drawn.view.height), (200, 150));

    augment.mirror = 2.0;
    says(augment.check(), &["augment.mirror", "2 is out of range", "0 to 1"]);
    augment.mirror = f32::NAN;
    assert!(augment.check().is_err());
    augment = Augment::ssd();
    augment.crop.as_mut().unwrap().scale = [0.9, 0.3];
    says(augment.check(), &["augment.crop.scale"]);
    for preset in [Augment::ssd(), Augment::light(), Augment::none()] {
        preset.check().unwrap();
        assert_eq!(toml::from_str::<Augment>(&toml::to_string(&preset).unwrap()).unwrap(), preset);
    }
    assert!(toml::from_str::<Augment>("mirror = 0.5\nrotate = 3").is_err());
}
