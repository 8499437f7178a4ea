//! The report of a run, from its log and its last evaluation.

use image::imageops::{FilterType, resize};

use super::{METRIC, Outcome, RunFolder};
use crate::Result;
use crate::data::{Dataset, ImageRecord, pixels};
use crate::detect::boxes::iou;
use crate::detect::{BBox, Detection};
use crate::eval::{EvalOptions, Evaluation, bootstrap, candidates};
use crate::report::draw::LabelledBox;
use crate::report::html::{ClassResult, Example, Figure, RunReport, Split, SplitNote};
use crate::report::log_reader::read_log;
use crate::weights::write_atomically;

/// Detections under this score are not drawn.
const SHOWN: f32 = 0.3;
/// Longest side of a picture in the report.
const PICTURE: u32 = 480;

/// Writes `report.html` and `evaluation.json` into the run's folder.
pub fn write_report(folder: &RunFolder, o: &Outcome, train: &Dataset, test: Option<&Dataset>) -> Result<()> {
    let mut report = RunReport::from_log(read_log(folder.log())?);
    report.title = format!("{}, {}", o.config.model.name.as_str(), o.config.model.method);
    report.subtitle = format!("trained on {} {}", train.name, train.split);
    report.data.push(split(train, &o.notes));
    let memory = o.plan.memory.bytes() as f64 / (1 << 20) as f64;
    report
        .model
        .push(("memory of a step".into(), format!("{memory:.1} MiB in {} buffers", o.plan.memory.blocks.len())));
    let params: u64 = o.plan.layers.iter().filter(|l| !l.aside).map(|l| l.params).sum();
    let binary: u64 = o.plan.layers.iter().filter(|l| !l.aside).map(|l| l.binary_params).sum();
    let packed = (4 * (params - binary) + binary.div_ceil(8)) as f64 / (1 << 20) as f64;
    report.model.push(("packed weights".into(), format!("{packed:.2} MiB (bits, and f32 for the rest)")));
    if let (Some(test), Some((map, step))) = (test, o.best) {
        let what = format!(
            "mAP {map:.3}, at step {step}: chosen on {} itself, so no unbiased figure; the last step's was not chosen",
            test.split
        );
        report.model.push(("best.safetensors".into(), what));
    }
    if let (Some(test), Some((e, found))) = (test, &o.evaluation) {
        report.data.push(split(test, &test.notes));
        results(&mut report, e);
        let error = bootstrap(test, &candidates(found), &EvalOptions::default(), 200, 1)?;
        if let (Some(map), Some(b)) = (e.map, error) {
            let note = format!("± {:.3} (bootstrap over {} test images)", b.standard_error, test.images.len());
            if let Some(f) = report.headline.first_mut() {
                *f = Figure::new(METRIC, format!("{map:.3}"), note);
            }
        }
        pictures(&mut report, test, found);
        write_atomically(&folder.evaluation(), format!("{}\n", e.to_json()).as_bytes())?;
    }
    report.reconstructions = image::open(folder.reconstructions()).ok().map(|i| i.to_rgb8());
    report.command = Some(format!("autobidet train --config {} --out RUN", folder.config().display()));
    report.write(folder.report())
}

fn split(d: &Dataset, notes: &[crate::data::Note]) -> Split {
    Split {
        name: format!("{} {}", d.name, d.split),
        images: d.images.len() as u64,
        objects: d.images.iter().map(|i| i.objects.len() as u64).sum(),
        notes: notes
            .iter()
            .map(|n| SplitNote { what: n.what.clone(), count: n.count as u64, places: n.examples.clone() })
            .collect(),
    }
}

fn results(report: &mut RunReport, e: &Evaluation) {
    report.metric = Some(METRIC.to_string());
    report.classes = e
        .classes
        .iter()
        .map(|c| ClassResult {
            name: c.name.clone(),
            ap: c.ap.unwrap_or(f64::NAN),
            objects: c.objects as u64,
            detections: c.detections as u64,
            precision_recall: c.recall.iter().copied().zip(c.precision.iter().copied()).collect(),
        })
        .collect();
}

/// F1 of one image at the score that is drawn: every annotated object is matched by the best detection of its class at
/// IoU 0.5 or more.
fn f1(image: &ImageRecord, found: &[Detection]) -> f64 {
    let shown: Vec<&Detection> = found.iter().filter(|d| d.score >= SHOWN).collect();
    let mut free = vec![true; shown.len()];
    let mut hits = 0;
    for o in image.objects.iter().filter(|o| !o.difficult && !o.crowd) {
        let a: [f32; 4] = o.bbox.into();
        let best = (0..shown.len())
            .filter(|i| free[*i] && shown[*i].class == o.class && iou(&a, &shown[*i].bbox.into(), false) >= 0.5)
            .max_by(|i, j| shown[*i].score.total_cmp(&shown[*j].score));
        if let Some(i) = best {
            free[i] = false;
            hits += 1;
        }
    }
    let objects = image.objects.iter().filter(|o| !o.difficult && !o.crowd).count();
    match objects + shown.len() {
        0 => 1.0,
        all => 2.0 * hits as f64 / all as f64,
    }
}

fn pictures(report: &mut RunReport, test: &Dataset, found: &[Vec<Detection>]) {
    let scores: Vec<f64> = test.images.iter().zip(found).map(|(i, f)| f1(i, f)).collect();
    let step = test.images.len().div_ceil(12).max(1);
    report.examples = (0..test.images.len()).step_by(step).filter_map(|i| example(test, i, &found[i], None)).collect();
    let mut order: Vec<usize> = (0..test.images.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(a.cmp(b)));
    report.hardest = order.iter().take(6).filter_map(|i| example(test, *i, &found[*i], Some(scores[*i]))).collect();
    report.hardest_by = Some(format!("F1 at score {SHOWN}"));
}

/// One image of `test` with its annotations and what was found in it; none where it cannot be read.
pub(super) fn example(test: &Dataset, index: usize, found: &[Detection], score: Option<f64>) -> Option<Example> {
    let record = &test.images[index];
    // A picture that cannot be read has been counted among the notes; the report does without it.
    let image = pixels(record).ok()?;
    let longest = image.width().max(image.height());
    let factor = (PICTURE as f32 / longest as f32).min(1.0);
    let size = [image.width(), image.height()].map(|v| ((v as f32 * factor).round() as u32).max(1));
    let image = if factor < 1.0 { resize(&image, size[0], size[1], FilterType::Triangle) } else { image };
    let place = |b: &BBox| {
        let [x1, y1, x2, y2] = [b.xmin, b.ymin, b.xmax, b.ymax].map(|v| (v - test.origin) * factor);
        BBox::new(x1, y1, x2, y2)
    };
    let label = |class: usize, bbox: &BBox, score: Option<f32>| LabelledBox {
        bbox: place(bbox),
        class,
        name: test.classes[class].clone(),
        score,
    };
    Some(Example {
        id: record.id.clone(),
        image,
        ground_truth: record.objects.iter().map(|o| label(o.class, &o.bbox, None)).collect(),
        detections: found.iter().filter(|d| d.score >= SHOWN).map(|d| label(d.class, &d.bbox, Some(d.score))).collect(),
        score,
    })
}
