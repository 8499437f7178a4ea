//! Figure 1: what three methods find in the same images, and how sure they are of each class everywhere.
//!
//! ```text
//! confidence(class, x, y) = max over maps of priors, over the priors of the cell of that map that holds (x, y),
//!                           of softmax(logits)[class]
//! ```
//! The paper does not say how its maps were made. This one shows every score that a detection could come from, so that false
//! positives under the threshold are seen, too.

use image::RgbImage;
use image::imageops::{FilterType, resize};
use serde_json::{Value, json};

use super::page::{Context, percent};
use crate::Result;
use crate::data::{ImageRecord, pixels};
use crate::detect::decode::{DecodeOptions, softmax};
use crate::detect::priors::PriorSpec;
use crate::detect::{BBox, iou};
use crate::eval::Spread;
use crate::report::draw::{LabelledBox, Stroke, draw_boxes_scaled};
use crate::report::html::{Figure, Page};

/// Images that are shown.
const IMAGES: usize = 3;
/// Classes with a map.
const CLASSES: usize = 4;
/// Detections from this score on are drawn.
const SHOWN: f32 = 0.3;
/// More boxes than this hide the image; the best are drawn.
const DRAWN: usize = 40;
/// Longest side of a picture.
const SIDE: u32 = 320;

/// Figure 1, with the weights of seed 1.
pub fn confidence(c: &Context<'_>) -> Result<(Value, Page)> {
    let test = c.grid.test();
    let chosen = choose(&test.images);
    let mut predictors = c.rows.iter().map(|r| c.grid.predictor(r, 1)).collect::<Result<Vec<_>>>()?;
    let mut json = c.about();
    json["rows"] = c.rows.iter().zip(c.results).map(|(r, runs)| {
        json!({ "name": r.name, "label": r.label, "map": Spread::of(runs.iter().filter_map(|r| r.map)) })
    }).collect();
    let mut images = Vec::new();

    let mut page = c.page();
    let figures = c.rows.iter().zip(c.results).map(|(row, runs)| {
        let map = Spread::of(runs.iter().filter_map(|r| r.map)).map(|s| s.mean);
        Figure::new(format!("mAP, {}", row.label), percent(map), "")
    });
    page.headline(&figures.collect::<Vec<_>>());
    c.what_this_is(&mut page);
    page.text(&format!(
        "The test images with the most classes, the first of equals. Left: detections from a score of {SHOWN} on (at most the best {DRAWN}). Then, for \
         each class, the largest score of the class among the priors of each place: dark blue 0, yellow 1. Weights of seed \
         1; three pictures prove nothing, the numbers of the other tables do.",
    ));
    for index in chosen {
        let record = &test.images[index];
        let picture = pixels(record)?;
        let shown = shrink(&picture);
        let factor = shown.width() as f32 / picture.width() as f32;
        let place = |b: &BBox, origin: f32| {
            let [x1, y1, x2, y2] = [b.xmin, b.ymin, b.xmax, b.ymax].map(|v| (v - origin) * factor);
            BBox::new(x1, y1, x2, y2)
        };
        let named = |class: usize| test.classes[class].clone();
        let classes = classes_of(record, test.classes.len());
        let objects: Vec<LabelledBox> = record
            .objects
            .iter()
            .map(|o| LabelledBox {
                bbox: place(&o.bbox, test.origin),
                class: o.class,
                name: named(o.class),
                score: None,
            })
            .collect();
        page.section(&format!("Image {}", record.id));
        let mut truth = shown.clone();
        draw_boxes_scaled(&mut truth, &objects, Stroke::Dashed, 1.0);
        let mut sheet = vec![(truth, format!("annotated: {} objects", objects.len()))];
        let mut methods = Vec::new();
        for (row, predictor) in c.rows.iter().zip(&mut predictors) {
            let input = predictor.detector.preprocess.eval(&picture);
            let raw = predictor.forward(&input, 1)?;
            let options = DecodeOptions { score_threshold: SHOWN, clip: true, ..Default::default() };
            let found = predictor.decode(&raw, &[picture.dimensions()], &options)?.remove(0).detections;
            let boxes: Vec<LabelledBox> = found
                .iter()
                .map(|d| LabelledBox {
                    bbox: place(&d.bbox, 0.0),
                    class: d.class,
                    name: named(d.class),
                    score: Some(d.score),
                })
                .collect();
            let (hits, alarms) = tally(&objects, &boxes);
            let mut drawn = shown.clone();
            draw_boxes_scaled(&mut drawn, &boxes[..boxes.len().min(DRAWN)], Stroke::Solid, 1.0);
            let caption = format!("{}: {hits} of {} found, {alarms} false alarms", row.label, objects.len());
            sheet.push((drawn, caption));
            let scores = softmax(raw.image(&predictor.detector, 0).1, predictor.detector.logits() as usize);
            let mut maps = Vec::new();
            for &class in &classes {
                let map = class_map(&scores, class, &predictor.detector.prior_spec, shown.dimensions());
                let top = map.iter().copied().fold(0.0f32, f32::max);
                let mean = map.iter().sum::<f32>() / map.len().max(1) as f32;
                maps.push(json!({ "class": named(class), "largest": top, "mean": mean }));
                sheet.push((paint(&shown, &map), format!("{}: {}, at most {top:.2}", row.label, named(class))));
            }
            methods.push(json!({
                "row": row.name,
                "found": hits,
                "false_alarms": alarms,
                "detections": found.iter().map(|d| json!({
                    "class": named(d.class), "score": d.score, "bbox": <[f32; 4]>::from(d.bbox),
                })).collect::<Value>(),
                "confidence": maps,
            }));
        }
        // The annotated picture has a row of its own.
        let (annotated, methods_sheet) = sheet.split_at(1);
        page.pictures(1 + classes.len(), annotated)?;
        page.pictures(1 + classes.len(), methods_sheet)?;
        images.push(json!({ "id": record.id, "objects": objects.len(), "methods": methods }));
    }
    json["images"] = images.into();
    c.how(&mut page);
    Ok((json, page))
}

/// The images with the most classes, then with the most objects, the first of equals.
fn choose(images: &[ImageRecord]) -> Vec<usize> {
    let classes = |i: &ImageRecord| {
        let mut own: Vec<usize> = i.objects.iter().map(|o| o.class).collect();
        own.sort_unstable();
        own.dedup();
        own.len()
    };
    let mut order: Vec<usize> = (0..images.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse((classes(&images[*i]), images[*i].objects.len())));
    order.truncate(IMAGES);
    order
}

/// The classes of an image, then the others, at most [`CLASSES`].
fn classes_of(record: &ImageRecord, classes: usize) -> Vec<usize> {
    let own = |k: &usize| record.objects.iter().any(|o| o.class == *k);
    let mut out: Vec<usize> = (0..classes).filter(own).collect();
    out.extend((0..classes).filter(|k| !own(k)));
    out.truncate(CLASSES);
    out
}

/// The confidence in a class at every pixel of a picture of this size; `scores` are `[priors][classes + 1]`.
fn class_map(scores: &[f32], class: usize, spec: &PriorSpec, (width, height): (u32, u32)) -> Vec<f32> {
    let k = scores.len() / spec.len().max(1);
    let mut out = vec![0.0f32; (width * height) as usize];
    let mut first = 0;
    for (map, boxes) in spec.maps.iter().zip(spec.boxes_per_cell()) {
        let cells = map.cells;
        let best: Vec<f32> = (0..cells * cells)
            .map(|cell| {
                let priors = first + cell * boxes..first + (cell + 1) * boxes;
                priors.map(|p| scores[p * k + class + 1]).fold(0.0, f32::max)
            })
            .collect();
        for (i, v) in out.iter_mut().enumerate() {
            let (x, y) = (i % width as usize, i / width as usize);
            let (cx, cy) = (x * cells / width as usize, y * cells / height as usize);
            *v = v.max(best[cy * cells + cx]);
        }
        first += cells * cells * boxes;
    }
    out
}

/// The map in colours over the grey picture.
fn paint(picture: &RgbImage, map: &[f32]) -> RgbImage {
    // Five points of a scale that gets lighter evenly, so that it is read without colour, too.
    const SCALE: [[f32; 3]; 5] =
        [[38.0, 28.0, 88.0], [59.0, 82.0, 139.0], [33.0, 145.0, 140.0], [94.0, 201.0, 98.0], [253.0, 231.0, 37.0]];
    let mut out = picture.clone();
    for (pixel, v) in out.pixels_mut().zip(map) {
        let at = v.clamp(0.0, 1.0) * 4.0;
        let (low, part) = ((at as usize).min(3), at - (at as usize).min(3) as f32);
        let [r, g, b] = pixel.0.map(f32::from);
        let grey = 0.3 * r + 0.59 * g + 0.11 * b;
        for (channel, value) in pixel.0.iter_mut().enumerate() {
            let colour = SCALE[low][channel] + part * (SCALE[low + 1][channel] - SCALE[low][channel]);
            *value = (0.72 * colour + 0.28 * grey).round() as u8;
        }
    }
    out
}

fn shrink(picture: &RgbImage) -> RgbImage {
    let longest = picture.width().max(picture.height()).max(1);
    let factor = f64::from(SIDE) / f64::from(longest);
    let to = |v: u32| ((f64::from(v) * factor).round() as u32).max(1);
    let filter = if factor > 1.0 { FilterType::CatmullRom } else { FilterType::Triangle };
    resize(picture, to(picture.width()), to(picture.height()), filter)
}

/// Objects found and detections that find none: by falling score, each takes the free object of its class that it overlaps
/// most, at least by half.
fn tally(objects: &[LabelledBox], found: &[LabelledBox]) -> (usize, usize) {
    let mut order: Vec<&LabelledBox> = found.iter().collect();
    order.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
    let mut taken = vec![false; objects.len()];
    let mut alarms = 0;
    for d in order {
        let best = (0..objects.len())
            .filter(|i| !taken[*i] && objects[*i].class == d.class)
            .map(|i| (iou(&objects[i].bbox.into(), &d.bbox.into(), false), i))
            .filter(|o| o.0 >= 0.5)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        match best {
            Some((_, i)) => taken[i] = true,
            None => alarms += 1,
        }
    }
    (taken.iter().filter(|t| **t).count(), alarms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::PriorMap;

    #[test]
    fn a_map_shows_the_best_prior_of_each_place() {
        // Two maps of 2 and 1 cells with two priors a cell; one class.
        let map = |cells| PriorMap::new(cells, 4.0, 2.0, 4.0, &[]);
        let spec = PriorSpec::new(8.0, vec![map(2), map(1)], false).unwrap_or_else(|_| unreachable!());
        assert_eq!(spec.boxes_per_cell(), [2, 2]);
        let own = [0.1, 0.2, 0.3, 0.0, 0.9, 0.4, 0.0, 0.0, 0.25, 0.05f32];
        let scores: Vec<f32> = own.iter().flat_map(|v| [1.0 - v, *v]).collect();
        let got = class_map(&scores, 0, &spec, (4, 2));
        assert_eq!(got, [0.25, 0.25, 0.3, 0.3, 0.9, 0.9, 0.25, 0.25]);
    }
}
