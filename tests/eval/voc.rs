//! VOC's two averages against a restatement of the kit (see make_voc_fixture.py) and against cases counted by hand.

use std::collections::BTreeMap;

use autobidet::eval::{Difficult, EvalOptions, Metric, Pixels, evaluate};
use serde::Deserialize;

use super::{close, dataset, found, object};

#[derive(Deserialize)]
struct Fixture {
    classes: Vec<String>,
    images: Vec<String>,
    /// image, class, corners, difficult
    objects: Vec<(usize, usize, [f32; 4], bool)>,
    /// image, class, score, corners
    detections: Vec<(u32, u32, f64, [f64; 4])>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    options: EvalCase,
    map: f64,
    per_class: BTreeMap<String, Row>,
}

#[derive(Deserialize)]
struct EvalCase {
    metric: Metric,
    iou: f64,
    pixels: Pixels,
    difficult: Difficult,
}

#[derive(Deserialize)]
struct Row {
    ap: Option<f64>,
    npos: usize,
    tp: usize,
    fp: usize,
}

#[test]
fn equals_the_kit() {
    let f: Fixture = serde_json::from_str(include_str!("voc_fixture.json")).unwrap();
    let names: Vec<&str> = f.classes.iter().map(String::as_str).collect();
    let mut set = dataset(&names, &f.images.iter().map(String::as_str).collect::<Vec<_>>());
    for (image, class, corners, difficult) in f.objects {
        let mut o = object(class, corners);
        o.difficult = difficult;
        set.images[image].objects.push(o);
    }
    let list: Vec<_> = f.detections.iter().map(|&(image, class, score, b)| found(image, class, score, b)).collect();
    assert_eq!(f.cases.len(), 16);
    for case in f.cases {
        let EvalCase { metric, iou, pixels, difficult } = case.options;
        let options = EvalOptions { metric, iou, pixels, difficult };
        let got = evaluate(&set, &list, &options).unwrap();
        close(got.map.unwrap(), case.map, "mAP");
        for c in &got.classes {
            let want = &case.per_class[&c.name];
            assert_eq!((c.objects, c.tp, c.fp), (want.npos, want.tp, want.fp), "{} {options:?}", c.name);
            assert_eq!(c.ap.is_some(), want.ap.is_some());
            close(c.ap.unwrap_or(0.0), want.ap.unwrap_or(0.0), &c.name);
            assert_eq!(c.precision.len(), c.tp + c.fp);
            assert_eq!(c.scores.len(), c.tp + c.fp);
            assert!(c.scores.is_sorted_by(|a, b| a >= b) && c.recall.is_sorted());
        }
        // A class without objects is named and left out of the mean.
        let json = got.to_json();
        assert!(json["per_class"]["no objects"].is_null());
        assert_eq!(json["classes_without_objects"], serde_json::json!(["no objects"]));
        close(json["map"].as_f64().unwrap(), case.map, "map");
        close(json["iou"].as_f64().unwrap(), iou, "iou");
        assert_eq!(json["metric"], metric.to_string());
        assert!(got.to_string().contains("1 of 4 classes have no objects here"));
    }
}

const HERE: [f64; 4] = [10., 10., 19., 19.];

fn one_object() -> autobidet::data::Dataset {
    let mut set = dataset(&["a"], &["x", "y"]);
    set.images[0].objects.push(object(0, HERE.map(|v| v as f32)));
    set
}

#[test]
fn by_hand() {
    let set = one_object();
    let ap = |list: &[_], options: &EvalOptions| evaluate(&set, list, options).unwrap().map.unwrap();
    let (voc, voc07) = (EvalOptions::of(Metric::Voc), EvalOptions::of(Metric::Voc07));
    let (hit, miss) = (found(0, 0, 0.5, HERE), found(1, 0, 0.5, HERE));
    // Equal scores keep the order in which they were given.
    close(ap(&[hit, miss], &voc), 1.0, "hit first");
    close(ap(&[miss, hit], &voc), 0.5, "miss first");
    close(ap(&[miss, hit], &voc07), 0.5, "miss first");
    // A second detection of one object is a false positive, also where it overlaps better.
    let rough = found(0, 0, 0.9, [10., 10., 19., 17.]);
    let twice = evaluate(&set, &[hit, rough], &voc).unwrap();
    assert_eq!((twice.classes[0].tp, twice.classes[0].fp), (1, 1));
    close(ap(&[], &voc), 0.0, "nothing found");
}

#[test]
fn an_overlap_of_exactly_the_threshold_matches() {
    let set = one_object();
    // Continuous: 9 x 4.5 of 9 x 9 is one half. Inclusive: 10 x 5 of 10 x 10 is one half.
    for (pixels, ymax) in [(Pixels::Continuous, 14.5), (Pixels::Inclusive, 14.0)] {
        let options = EvalOptions { pixels, ..EvalOptions::default() };
        let at = |ymax: f64| evaluate(&set, &[found(0, 0, 0.5, [10., 10., 19., ymax])], &options).unwrap().map.unwrap();
        close(at(ymax), 1.0, "at the threshold");
        close(at(ymax - 1e-6), 0.0, "below the threshold");
    }
}

#[test]
fn difficult_and_crowd_objects() {
    for crowd in [false, true] {
        let mut set = one_object();
        let mut hard = object(0, [50., 50., 80., 80.]);
        (hard.difficult, hard.crowd) = (!crowd, crowd);
        set.images[0].objects.push(hard);
        let list =
            [found(0, 0, 0.9, [50., 50., 80., 80.]), found(0, 0, 0.8, [50., 50., 80., 80.]), found(0, 0, 0.7, HERE)];
        let ignored = evaluate(&set, &list, &EvalOptions::default()).unwrap();
        let c = &ignored.classes[0];
        assert_eq!((c.objects, c.ignored, c.tp, c.fp, c.detections), (1, 1, 1, 0, 3));
        close(c.ap.unwrap(), 1.0, "ignored");
        let options = EvalOptions { difficult: Difficult::Count, ..Default::default() };
        let counted = evaluate(&set, &list, &options).unwrap();
        let c = &counted.classes[0];
        assert_eq!((c.objects, c.ignored, c.tp, c.fp), (2, 0, 2, 1));
        close(c.ap.unwrap(), 0.5 + 0.5 * 2.0 / 3.0, "counted");
        // Only ignored objects: no class counts.
        set.images[0].objects.remove(0);
        assert_eq!(evaluate(&set, &list, &EvalOptions::default()).unwrap().map, None);
        assert!(evaluate(&set, &list, &EvalOptions::default()).unwrap().to_json()["map"].is_null());
    }
}

#[test]
fn the_eleven_levels_are_matlabs() {
    // n of 10 objects found without a mistake: levels 0 .. n/10 are reached, but 3/10 is less than MATLAB's 3·0.1.
    for n in 0..=10u32 {
        let mut set = dataset(&["a"], &["x"]);
        for i in 0..10 {
            set.images[0].objects.push(object(0, [i as f32 * 20., 0., i as f32 * 20. + 10., 10.]));
        }
        let list: Vec<_> =
            (0..n).map(|i| found(0, 0, 0.5, [f64::from(i) * 20., 0., f64::from(i) * 20. + 10., 10.])).collect();
        let levels = match n {
            0 => 0,
            3 => 3,
            n => n + 1,
        };
        let got = evaluate(&set, &list, &EvalOptions::of(Metric::Voc07)).unwrap().map.unwrap();
        close(got, f64::from(levels) / 11.0, &format!("{n} of 10"));
        close(evaluate(&set, &list, &EvalOptions::default()).unwrap().map.unwrap(), f64::from(n) / 10.0, "every point");
    }
}

#[test]
fn what_does_not_exist_is_refused() {
    let mut set = one_object();
    for bad in [found(2, 0, 0.5, HERE), found(0, 1, 0.5, HERE)] {
        let e = evaluate(&set, &[bad], &EvalOptions::default()).unwrap_err().to_string();
        assert!(e.contains("2 images and 1 classes"), "{e}");
    }
    set.images[1].objects.push(object(7, [0., 0., 1., 1.]));
    let e = evaluate(&set, &[], &EvalOptions::default()).unwrap_err().to_string();
    assert!(e.contains("image y") && e.contains("class 7"), "{e}");
}
