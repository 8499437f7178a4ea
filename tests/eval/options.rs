//! Options from text.

use autobidet::Error;
use autobidet::eval::{Difficult, EvalOptions, Metric, Pixels, evaluate};

use super::dataset;

#[test]
fn names_go_both_ways() {
    for m in [Metric::Voc07, Metric::Voc, Metric::Coco] {
        assert_eq!(m.to_string().parse::<Metric>().unwrap(), m);
        assert_eq!(serde_json::to_value(m).unwrap(), m.to_string());
    }
    for p in [Pixels::Continuous, Pixels::Inclusive] {
        assert_eq!(p.to_string().parse::<Pixels>().unwrap(), p);
    }
    for d in [Difficult::Ignore, Difficult::Count] {
        assert_eq!(d.to_string().parse::<Difficult>().unwrap(), d);
    }
    let e = "voc2007".parse::<Metric>().unwrap_err();
    assert!(matches!(e, Error::Config { .. }));
    let text = e.to_string();
    assert!(text.contains("--metric") && text.contains("'voc2007'") && text.contains("voc07, voc, coco"), "{text}");
    assert!(serde_json::from_str::<EvalOptions>(r#"{"metrik": "voc"}"#).is_err());
    assert_eq!(serde_json::from_str::<EvalOptions>("{}").unwrap(), EvalOptions::default());
}

#[test]
fn impossible_values_are_refused() {
    let set = dataset(&["a"], &["x"]);
    let good = EvalOptions::default();
    let coco = EvalOptions::of(Metric::Coco);
    for (options, key) in [
        (EvalOptions { iou: 0.0, ..good }, "--iou"),
        (EvalOptions { iou: 1.5, ..good }, "--iou"),
        (EvalOptions { iou: f64::NAN, ..good }, "--iou"),
        (EvalOptions { iou: 0.75, ..coco }, "--iou"),
        (EvalOptions { pixels: Pixels::Inclusive, ..coco }, "--pixels"),
    ] {
        let e = evaluate(&set, &[], &options).unwrap_err();
        assert!(matches!(&e, Error::Config { key: k, .. } if k == key), "{e}");
    }
    assert!(evaluate(&set, &[], &EvalOptions { iou: 1.0, ..good }).is_ok());
}
