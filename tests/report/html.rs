//! The report: whole, self-contained, escaped, bounded.

use std::path::Path;

use autobidet::detect::BBox;
use autobidet::report::diagnosis::{Diagnosis, LayerDiagnosis};
use autobidet::report::draw::LabelledBox;
use autobidet::report::html::{ClassResult, Example, Figure, RunReport, Split, SplitNote};
use autobidet::report::series::Curve;

use super::plot::assert_well_formed;
use super::sample;

/// Leaves the sample in target/tmp/report.html, to look at.
#[test]
fn the_sample_has_every_section() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report.html");
    sample::report().write(&path).unwrap();
    let page = std::fs::read_to_string(&path).unwrap();
    for part in [
        "<h1>tiny, BiDet (SC) on scenes</h1>",
        "Training</h2>",
        ">Loss</text>",
        ">Learning rate</text>",
        ">Speed</text>",
        "Waiting for images</text>",
        "Binary layers</h2>",
        "Step 560: channels are dead: 17 % of those that body.6.conv reads",
        ">Inputs inside the gradient&#39;s window, %</text>",
        "<td>body.10.conv</td>",
        ">step 112</text>",
        "Accuracy by class</h2>",
        "Precision and recall</text>",
        "Detections</h2>",
        "Hardest images</h2>",
        "Data</h2>",
        "zero-area box",
        "<span class=\"count\">3×</span>",
        "llvmpipe",
        "The whole configuration",
        "&quot;bidet-sc&quot;",
        "--method bidet-sc",
        "step 40 skipped",
    ] {
        assert!(page.contains(part), "the page lacks {part:?}");
    }
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 24, "12 examples, two pictures each");
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
    assert_self_contained(&page);
    println!("{} bytes: {}", page.len(), path.display());
}

#[test]
fn an_empty_report_is_a_page() {
    let page = RunReport::default().to_html().unwrap();
    assert!(page.contains("<h1>Training run</h1>") && page.ends_with("</html>\n"));
    assert!(!page.contains("<h2>"), "a section without facts is left out");
    assert_self_contained(&page);
}

#[test]
fn names_from_files_cannot_become_markup() {
    const BAD: &str = "</pre></svg><script>alert(1)</script>\"'><img src=x onerror=y>&\u{0}";
    let bad = || BAD.to_string();
    let text = |n: usize| vec![(bad(), bad()); n];
    let boxes = vec![LabelledBox { bbox: BBox::new(1.0, 1.0, 9.0, 9.0), class: 3, name: bad(), score: Some(f32::NAN) }];
    let curve = Curve::new(BAD, vec![(0.0, 1.0), (1.0, 0.5)]);
    let example = Example {
        id: bad(),
        image: image::RgbImage::new(20, 10),
        ground_truth: boxes.clone(),
        detections: boxes,
        score: Some(f64::NAN),
    };
    let report = RunReport {
        title: bad(),
        subtitle: bad(),
        headline: vec![Figure::new(BAD, BAD, BAD)],
        losses: vec![curve.clone(), curve.clone()],
        map: vec![curve.clone()],
        diagnoses: (1..3)
            .map(|step| {
                let mut d = sample::diagnosis(step, 2, 1);
                d.advice.push(bad());
                d.layers.iter_mut().for_each(|l| l.layer = bad());
                d
            })
            .collect(),
        metric: Some(bad()),
        classes: (0..20)
            .map(|_| ClassResult { name: bad(), precision_recall: vec![(0.5, 0.5), (1.0, 0.1)], ..Default::default() })
            .collect(),
        examples: vec![example.clone()],
        hardest: vec![example],
        hardest_by: Some(bad()),
        data: vec![Split {
            name: bad(),
            images: 1,
            objects: 1,
            notes: vec![SplitNote { what: bad(), count: 1, places: vec![bad()] }],
        }],
        model: text(1),
        device: text(1),
        times: vec![(bad(), f64::NAN)],
        warnings: vec![(bad(), 2)],
        configuration: Some(serde_json::json!({ BAD: BAD })),
        command: Some(bad()),
        date: Some(bad()),
        version: Some(bad()),
        ..RunReport::default()
    };
    let page = report.to_html().unwrap();
    assert!(!page.contains("<script") && !page.contains("<img src=x") && !page.contains('\u{0}'));
    assert!(page.contains("&lt;script&gt;"));
    assert_self_contained(&page);
}

#[test]
fn a_huge_run_stays_small() {
    let example = sample::example(3, 640, 0.2);
    let long: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), 1.0 + f64::from(i % 17))).collect();
    let report = RunReport {
        losses: (0..30).map(|i| Curve::new(format!("term {i}"), long.clone())).collect(),
        learning_rate: Some(Curve::new("", long.clone())),
        images_per_second: Some(Curve::new("", long.clone())),
        map: vec![Curve::new("", vec![(0.0, f64::NAN)])],
        diagnoses: (1..500)
            .map(|step| {
                let mut d = sample::diagnosis(step, 500, 1);
                d.advice = vec!["a sentence ".repeat(1000); 50];
                let layers = vec![d.layers.clone(); 30].concat();
                let named = |(i, l)| LayerDiagnosis { layer: format!("layer {i}"), ..l };
                Diagnosis { layers: layers.into_iter().enumerate().map(named).collect(), ..d }
            })
            .collect(),
        classes: (0..1000)
            .map(|i| ClassResult {
                name: format!("class {i}"),
                ap: f64::from(i) / 1000.0,
                precision_recall: long[..1000].to_vec(),
                ..Default::default()
            })
            .collect(),
        examples: vec![example.clone(); 100],
        hardest: vec![example; 100],
        configuration: Some(serde_json::json!({ "long": "x".repeat(5_000_000) })),
        ..RunReport::default()
    };
    let page = report.to_html().unwrap();
    assert!(page.len() < 3_600_000, "{} bytes", page.len());
    assert_self_contained(&page);
}

#[test]
fn classes_without_objects_come_last_and_have_no_figure() {
    let class = |name: &str, ap: f64| ClassResult { name: name.into(), ap, ..Default::default() };
    let report = RunReport {
        classes: vec![class("empty", f64::NAN), class("poor", 0.1), class("good", 0.9)],
        ..RunReport::default()
    };
    let page = report.to_html().unwrap();
    let at = |name: &str| page.find(&format!("</span>{name}</td>")).unwrap();
    assert!(at("good") < at("poor") && at("poor") < at("empty"));
    assert!(!page.contains("NaN"));
}

#[test]
fn a_report_goes_through_json_but_for_its_pictures() {
    let mut report = sample::report();
    let text = serde_json::to_string(&report).unwrap();
    let mut back: RunReport = serde_json::from_str(&text).unwrap();
    // NaN is not equal to itself; it has become null and come back.
    assert!(back.losses[0].points[39].1.is_nan());
    for r in [&mut report, &mut back] {
        r.losses.clear();
        r.examples.clear();
        r.hardest.clear();
    }
    assert_eq!(back, report);
}

#[test]
fn writing_says_where_it_failed() {
    let folder = tempfile::tempdir().unwrap();
    let error = RunReport::default().write(folder.path().join("no/such/folder/report.html")).unwrap_err().to_string();
    assert!(error.contains("no/such/folder"), "{error}");
}

/// Nothing is fetched: no address of another place, no script, and every SVG is well-formed.
fn assert_self_contained(page: &str) {
    for bad in ["http://", "https://", "//cdn", "<script", "<link", "@import", "url(", "<iframe", "javascript:"] {
        assert!(!page.contains(bad), "the page contains {bad:?}");
    }
    for (i, _) in page.match_indices("src=\"") {
        assert!(page[i + 5..].starts_with("data:image/"), "{:?}", &page[i..i + 40]);
    }
    for part in page.split("<svg").skip(1) {
        let svg = format!("<svg{}</svg>", part.split("</svg>").next().unwrap());
        assert_well_formed(&svg);
    }
}
