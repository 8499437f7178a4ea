//! The parts of the page, top to bottom.

use std::fmt::Write;

use super::super::draw::{LabelledBox, class_colour};
use super::super::plot::axis::duration;
use super::super::plot::axis::number;
use super::super::plot::{self, Chart, Scale, Series, escape};
use super::super::series::Curve;
use super::diagnosis;
use super::picture::{Pair, pairs};
use super::{ClassResult, Example, RunReport, Split, SplitNote, grouped};
use crate::Result;

const EXAMPLES: usize = 24;
const HARDEST: usize = 12;
/// Tables are cut after so many rows.
pub(super) const ROWS: usize = 300;
/// Classes with a precision-recall curve in the table; of more, the page would grow too large.
const CURVES: usize = 120;
/// Classes that one precision-recall plot can tell apart.
const TOGETHER: usize = 8;
/// Characters of configuration that are shown.
const CONFIGURATION: usize = 60_000;

pub(super) fn page(report: &RunReport) -> Result<String> {
    let examples: Vec<&Example> = report.examples.iter().take(EXAMPLES).collect();
    let hardest: Vec<&Example> = report.hardest.iter().take(HARDEST).collect();
    let every: Vec<&Example> = examples.iter().chain(&hardest).copied().collect();
    let pictures = pairs(&every)?;
    let (of_examples, of_hardest) = pictures.split_at(examples.len());

    let title = if report.title.is_empty() { "Training run" } else { &report.title };
    let mut page = Page(String::new());
    page.put(format_args!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{}</title><style>{}{}</style></head><body>\n",
        escape(title),
        include_str!("../../../assets/report.css"),
        plot::STYLE,
    ));
    head(&mut page, report, title);
    page.raw("<main>\n");
    curves(&mut page, report);
    super::complexity::complexity(&mut page, report)?;
    diagnosis::section(&mut page, &report.diagnoses);
    classes(&mut page, report);
    for svg in &report.plots {
        page.put(format_args!("<div class=\"charts\"><div>{svg}</div></div>\n"));
    }
    gallery(
        &mut page,
        "Detections",
        "Left, dashed: what is annotated. Right: what the network found, with its scores. An object counts as found \
         where a detection of its class overlaps it by half (IoU 0.5).",
        &examples,
        of_examples,
    );
    let by = report.hardest_by.as_deref().unwrap_or("the image's own score");
    gallery(&mut page, "Hardest images", &format!("Worst first, by {by}."), &hardest, of_hardest);
    data(&mut page, &report.data);
    run(&mut page, report);
    page.raw("</main>\n<footer>");
    let made = [
        report.date.as_deref().map(|d| format!("Made {}", escape(d))),
        report.version.as_deref().map(|v| format!("autobidet {}", escape(v))),
    ];
    page.raw(&made.into_iter().flatten().collect::<Vec<_>>().join(" · "));
    page.raw("</footer>\n</body></html>\n");
    Ok(page.0)
}

/// The text of the page; what goes through [`Page::put`] is escaped by the caller.
pub(super) struct Page(String);

impl Page {
    pub(super) fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    pub(super) fn put(&mut self, html: std::fmt::Arguments) {
        // Writing to a String cannot fail.
        let _ = self.0.write_fmt(html);
    }
}

fn head(page: &mut Page, report: &RunReport, title: &str) {
    page.put(format_args!("<header><h1>{}</h1>", escape(title)));
    if !report.subtitle.is_empty() {
        page.put(format_args!("<p class=\"lead\">{}</p>", escape(&report.subtitle)));
    }
    if !report.headline.is_empty() {
        page.raw("<dl class=\"figures\">");
        for f in report.headline.iter().take(12) {
            page.put(format_args!("<div><dt>{}</dt><dd>{}</dd>", escape(&f.label), escape(&f.value)));
            if !f.note.is_empty() {
                page.put(format_args!("<dd>{}</dd>", escape(&f.note)));
            }
            page.raw("</div>");
        }
        page.raw("</dl>");
    }
    page.raw("</header>\n");
}

fn curves(page: &mut Page, report: &RunReport) {
    let mut charts = Vec::new();
    let has = |c: &Curve| c.points.iter().any(|p| p.1.is_finite());
    let losses: Vec<&Curve> = report.losses.iter().filter(|c| has(c)).take(12).collect();
    if !losses.is_empty() {
        charts.push(loss_chart(&losses));
    }
    let map: Vec<&Curve> = report.map.iter().filter(|c| has(c)).collect();
    if !map.is_empty() {
        let metric = report.metric.as_deref().unwrap_or("mean average precision");
        let mut chart = Chart::new("Accuracy during training", "step", metric);
        let top = map.iter().flat_map(|c| &c.points).map(|p| p.1).filter(|v| v.is_finite()).fold(0.0, f64::max);
        // From zero, with the top at the next tenth, so that runs can be compared by eye.
        chart.y_range = Some((0.0, (top * 10.0 + 0.5).ceil() / 10.0));
        chart.last_values = true;
        chart.series = map.iter().map(|c| Series::line(&c.name, c.points.clone())).collect();
        charts.push(chart);
    }
    let single = |curve: &Option<Curve>, title: &str, unit: &str, scale: f64, smooth: bool| {
        let curve = curve.as_ref().filter(|c| has(c))?;
        let points = curve.points.iter().map(|p| (p.0, p.1 * scale)).collect();
        let mut chart = Chart::new(title, "step", unit);
        chart.series = lines(&Curve::new("", points), 0, smooth);
        Some(chart)
    };
    charts.extend(single(&report.learning_rate, "Learning rate", "", 1.0, false));
    charts.extend(single(&report.images_per_second, "Speed", "images a second", 1.0, true));
    if let Some(mut chart) = single(&report.wait_share, "Waiting for images", "% of the time", 100.0, true) {
        let most = chart.series.iter().flat_map(|s| &s.points).map(|p| p.1).fold(0.0, f64::max);
        // Nearly nothing should look like nearly nothing, and still be readable.
        let top = [10.0, 20.0, 50.0].into_iter().find(|&t| most <= t).unwrap_or(100.0);
        chart.y_range = Some((0.0, top));
        charts.push(chart);
    }
    if let Some(mut chart) = single(&report.grad_norm, "Length of the gradient", "", 1.0, true) {
        chart.y_scale = Scale::Log;
        charts.push(chart);
    }
    if charts.is_empty() {
        return;
    }
    page.raw("<section><h2>Training</h2>\n<div class=\"charts\">");
    for chart in charts {
        page.put(format_args!("<div>{}</div>\n", chart.fragment()));
    }
    page.raw("</div></section>\n");
}

/// All terms on one logarithmic axis, so that terms of very different size can be read; linear where one is not
/// positive.
fn loss_chart(losses: &[&Curve]) -> Chart {
    let mut chart = Chart::new("Loss", "step", "");
    let values = || losses.iter().flat_map(|c| &c.points).map(|p| p.1).filter(|v| v.is_finite());
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    if low > 0.0 && high / low > 8.0 {
        chart.y_scale = Scale::Log;
    }
    chart.last_values = true;
    chart.series = losses.iter().enumerate().flat_map(|(i, c)| lines(c, i, true)).collect();
    // Pale raw lines first, so that no smoothed one is hidden behind them.
    chart.series.sort_by_key(|s| s.mark != plot::Mark::Faint);
    chart
}

/// A curve as a line of colour `i`; where it is long and to be smoothed, over its raw values.
fn lines(curve: &Curve, i: usize, smooth: bool) -> Vec<Series> {
    let line = Series { colour: Some(i), ..Series::line(&curve.name, curve.points.clone()) };
    if smooth && curve.points.len() > 60 {
        let window = (curve.points.len() as f64 / 50.0).clamp(4.0, 60.0);
        line.smoothed(window).into()
    } else {
        vec![line]
    }
}

fn classes(page: &mut Page, report: &RunReport) {
    let classes = &report.classes;
    if classes.is_empty() {
        return;
    }
    page.raw("<section><h2>Accuracy by class</h2>\n");
    if let Some(metric) = &report.metric {
        page.put(format_args!("<p class=\"soft\">Average precision; the mean is {}.</p>", escape(metric)));
    }
    let mut order: Vec<(usize, &ClassResult)> = classes.iter().enumerate().collect();
    // Best first; classes without objects, whose AP is NaN, last.
    order.sort_by(|a, b| b.1.ap.is_nan().cmp(&a.1.ap.is_nan()).reverse().then(b.1.ap.total_cmp(&a.1.ap)));
    let with_curve: Vec<&(usize, &ClassResult)> =
        order.iter().filter(|c| c.1.precision_recall.iter().any(|p| p.0.is_finite() && p.1.is_finite())).collect();
    let together = !with_curve.is_empty() && with_curve.len() <= TOGETHER;
    page.raw(if together { "<div class=\"charts\"><div class=\"scroll\">" } else { "<div class=\"scroll\">" });
    let small = !together && !with_curve.is_empty() && with_curve.len() <= CURVES;
    page.raw("<table><thead><tr><th>class</th><th class=\"n\">AP</th><th></th>");
    page.raw("<th class=\"n\">objects</th><th class=\"n\">detections</th>");
    page.raw(if small {
        "<th class=\"n curve\">precision / recall</th></tr></thead><tbody>"
    } else {
        "</tr></thead><tbody>"
    });
    for &(index, class) in order.iter().take(ROWS) {
        let [r, g, b] = class_colour(index);
        let share = if class.ap.is_finite() { class.ap.clamp(0.0, 1.0) * 100.0 } else { 0.0 };
        let ap = if class.ap.is_finite() { format!("{:.3}", class.ap) } else { "–".into() };
        page.put(format_args!(
            "<tr><td><span class=\"key\" style=\"background:#{r:02x}{g:02x}{b:02x}\"></span>{}</td>\
             <td class=\"n\">{ap}</td><td class=\"bar\"><span class=\"track\"><i style=\"width:{share:.1}%\"></i></span></td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td>",
            escape(&class.name),
            grouped(class.objects),
            grouped(class.detections),
        ));
        if small {
            page.put(format_args!("<td class=\"curve\">{}</td>", spark(class)));
        }
        page.raw("</tr>\n");
    }
    page.raw("</tbody></table>");
    if order.len() > ROWS {
        page.put(format_args!("<p class=\"soft\">{} more classes are not shown.</p>", order.len() - ROWS));
    }
    page.raw("</div>\n");
    if together {
        let curves = with_curve.iter().map(|(_, c)| plot::ClassCurve {
            name: c.name.clone(),
            points: c.precision_recall.clone(),
            ap: c.ap,
        });
        let mut chart = plot::precision_recall("Precision and recall", curves.collect());
        chart.size.1 = 320;
        page.put(format_args!("<div>{}</div></div>\n", chart.fragment()));
    }
    page.raw("</section>\n");
}

/// A precision-recall curve of the height of a table row.
fn spark(class: &ClassResult) -> String {
    const W: f64 = 80.0;
    const H: f64 = 30.0;
    let points: Vec<(f64, f64)> =
        class.precision_recall.iter().copied().filter(|p| p.0.is_finite() && p.1.is_finite()).collect();
    let mut path = String::new();
    let every = points.len().div_ceil(80).max(1);
    let last = points.len().saturating_sub(1);
    for (i, (recall, precision)) in points.iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last) {
        let (x, y) = (recall.clamp(0.0, 1.0) * W, 1.0 + (1.0 - precision.clamp(0.0, 1.0)) * (H - 2.0));
        let _ = write!(path, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
    }
    format!(
        "<svg width=\"{W}\" height=\"{H}\" role=\"img\" aria-label=\"precision over recall of {}\">\
         <path d=\"M0 0V{H}H{W}\" fill=\"none\" stroke=\"var(--rule)\"/>\
         <path d=\"{path}\" fill=\"none\" stroke=\"var(--accent)\" stroke-width=\"1.5\"/></svg>",
        escape(&class.name)
    )
}

fn gallery(page: &mut Page, heading: &str, lead: &str, examples: &[&Example], pictures: &[Pair]) {
    if examples.is_empty() {
        return;
    }
    page.put(format_args!(
        "<section><h2>{}</h2>\n<p class=\"soft\">{}</p>\n<div class=\"pictures\">",
        escape(heading),
        escape(lead)
    ));
    for (example, pair) in examples.iter().zip(pictures) {
        let id = escape(&short(&example.id, 120));
        page.raw("<figure><div class=\"pair\">");
        for (picture, what) in [(&pair.truth, "annotations"), (&pair.found, "detections")] {
            page.put(format_args!(
                "<img src=\"{}\" width=\"{}\" height=\"{}\" alt=\"{what} in {id}\">",
                picture.uri, picture.width, picture.height
            ));
        }
        page.put(format_args!("</div><figcaption><b>{id}</b> "));
        if let Some(score) = example.score {
            page.put(format_args!("· {} ", number(score)));
        }
        let tally = Tally::of(&example.ground_truth, &example.detections);
        let class = if tally.found == tally.objects { "good" } else { "bad" };
        page.put(format_args!("· <span class=\"{class}\">{} of {} found</span>", tally.found, tally.objects));
        if tally.false_alarms > 0 {
            let s = if tally.false_alarms == 1 { "" } else { "s" };
            page.put(format_args!(" · <span class=\"bad\">{} false alarm{s}</span>", tally.false_alarms));
        }
        page.raw("</figcaption></figure>\n");
    }
    page.raw("</div></section>\n");
}

/// What a picture's caption counts.
struct Tally {
    objects: usize,
    found: usize,
    false_alarms: usize,
}

impl Tally {
    /// Matches detections by falling score to the object of their class that they overlap most, at least by half.
    fn of(truth: &[LabelledBox], detections: &[LabelledBox]) -> Tally {
        let mut order: Vec<&LabelledBox> = detections.iter().collect();
        order.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
        let mut taken = vec![false; truth.len()];
        let mut false_alarms = 0;
        for detection in order {
            let best = (0..truth.len())
                .filter(|&i| !taken[i] && truth[i].class == detection.class)
                .map(|i| (overlap(&truth[i], detection), i))
                .filter(|o| o.0 >= 0.5)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            match best {
                Some((_, i)) => taken[i] = true,
                None => false_alarms += 1,
            }
        }
        Tally { objects: truth.len(), found: taken.iter().filter(|t| **t).count(), false_alarms }
    }
}

/// Intersection over union, with continuous coordinates.
fn overlap(a: &LabelledBox, b: &LabelledBox) -> f32 {
    let (a, b) = (&a.bbox, &b.bbox);
    let w = (a.xmax.min(b.xmax) - a.xmin.max(b.xmin)).max(0.0);
    let h = (a.ymax.min(b.ymax) - a.ymin.max(b.ymin)).max(0.0);
    let union = a.area() + b.area() - w * h;
    if union > 0.0 { w * h / union } else { 0.0 }
}

fn data(page: &mut Page, splits: &[Split]) {
    if splits.is_empty() {
        return;
    }
    page.raw("<section><h2>Data</h2>\n<div class=\"scroll\"><table class=\"facts\"><thead><tr><th>split</th>");
    page.raw("<th class=\"n\">images</th><th class=\"n\">objects</th></tr></thead><tbody>");
    for split in splits.iter().take(ROWS) {
        page.put(format_args!(
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escape(&split.name),
            grouped(split.images),
            grouped(split.objects)
        ));
    }
    page.raw("</tbody></table></div>\n");
    let notes: Vec<(&Split, &SplitNote)> = splits.iter().flat_map(|s| s.notes.iter().map(move |n| (s, n))).collect();
    if !notes.is_empty() {
        page.raw("<h3>Met while reading</h3><ul class=\"notes\">");
        for (split, SplitNote { what, count, places }) in notes.iter().take(ROWS) {
            page.put(format_args!(
                "<li><span class=\"count\">{count}×</span> {} <span class=\"soft\">({}",
                escape(&short(what, 400)),
                escape(&split.name)
            ));
            if !places.is_empty() {
                let places: Vec<String> = places.iter().take(5).map(|p| escape(&short(p, 120))).collect();
                page.put(format_args!("; {}", places.join(", ")));
            }
            page.raw(")</span></li>");
        }
        page.raw("</ul>");
    }
    page.raw("</section>\n");
}

fn run(page: &mut Page, report: &RunReport) {
    let times: Vec<(String, String)> = report.times.iter().map(|(n, s)| (n.clone(), duration(*s))).collect();
    let groups = [("Network", &report.model), ("Device", &report.device), ("Time", &times)];
    let nothing = groups.iter().all(|g| g.1.is_empty())
        && report.warnings.is_empty()
        && report.configuration.is_none()
        && report.command.is_none();
    if nothing {
        return;
    }
    page.raw("<section><h2>Run</h2>\n");
    if let Some(command) = &report.command {
        page.put(format_args!("<pre>{}</pre>", escape(&short(command, 4000))));
    }
    page.raw("<div class=\"charts\">");
    for (heading, rows) in groups {
        if rows.is_empty() {
            continue;
        }
        page.put(format_args!("<div><h3>{heading}</h3><table class=\"facts\"><tbody>"));
        for (what, value) in rows.iter().take(ROWS) {
            let (what, value) = (escape(&short(what, 200)), escape(&short(value, 1000)));
            page.put(format_args!("<tr><th scope=\"row\">{what}</th><td>{value}</td></tr>"));
        }
        page.raw("</tbody></table></div>");
    }
    page.raw("</div>\n");
    if !report.warnings.is_empty() {
        page.raw("<h3>Warnings</h3><ul class=\"notes\">");
        for (message, count) in report.warnings.iter().take(ROWS) {
            let times = if *count > 1 { format!("<span class=\"count\">{count}×</span> ") } else { String::new() };
            page.put(format_args!("<li>{times}{}</li>", escape(&short(message, 1000))));
        }
        page.raw("</ul>");
    }
    if let Some(configuration) = &report.configuration {
        let text = serde_json::to_string_pretty(configuration).unwrap_or_default();
        page.put(format_args!(
            "<details><summary>The whole configuration</summary><pre>{}</pre></details>",
            escape(&short(&text, CONFIGURATION))
        ));
    }
    page.raw("</section>\n");
}

/// The first `limit` characters, with an ellipsis where something is missing.
pub(super) fn short(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => text[..end].to_string() + "…",
        None => text.to_string(),
    }
}
