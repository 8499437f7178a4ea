//! `autobidet bench growth`: how time and memory grow with batch, classes and images.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::super::open::{DeviceArgs, SCENE_SEED};
use super::super::say;
use super::train::Trainee;
use super::{config, infer, median};
use crate::config::{ModelConfig, ModelName};
use crate::data::scenes::{self, SceneSpec};
use crate::data::{Augment, Loader, LoaderOptions};
use crate::device::Device;
use crate::models::Detector;
use crate::report::html::{Cell, Page};
use crate::report::plot::{Chart, Series};
use crate::weights::write_atomically;
use crate::{Error, Result};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for growth.json and growth.html.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Network: tiny or ssd300-vgg16.
    #[arg(long, default_value = "tiny")]
    model: String,
    /// Method.
    #[arg(long, default_value = "bidet-sc")]
    method: String,
    /// Batches that are measured.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16", value_parser = clap::value_parser!(u32).range(1..=256))]
    batches: Vec<u32>,
    /// Numbers of classes that are measured, with a batch of 4.
    #[arg(long, value_delimiter = ',', default_value = "5,10,20,40,80", value_parser = clap::value_parser!(u32).range(1..=1000))]
    classes: Vec<u32>,
    /// Numbers of images that the loader goes through once.
    #[arg(long, value_delimiter = ',', default_value = "64,128,256,512", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    images: Vec<u32>,
    /// Steps or runs of each measurement.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    steps: u32,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Images a step where the classes grow.
const BATCH: u32 = 4;
/// Classes where the batch grows.
const CLASSES: u32 = 20;

/// One measurement.
struct Point {
    x: f64,
    seconds: f64,
    bytes: f64,
}

/// Measurements of one thing against one number.
struct Curve {
    /// What is measured.
    what: &'static str,
    /// What grows.
    x: &'static str,
    points: Vec<Point>,
}

/// One kind of value of a curve.
struct Kind {
    name: &'static str,
    unit: &'static str,
    points: Vec<(f64, f64)>,
}

/// A line through measurements.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    /// At zero.
    fixed: f64,
    /// For each one more.
    each: f64,
    /// The largest distance of a point from it, over the line's value there.
    deviation: f64,
}

/// The line whose distances, each over its point's value, have the smallest sum of squares: small values count as much as
/// large ones. None with fewer than two places.
fn line(points: &[(f64, f64)]) -> Option<Line> {
    let (mut w, mut wx, mut wy, mut wxx, mut wxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (x, y) in points.iter().filter(|(_, y)| *y > 0.0) {
        let k = 1.0 / (y * y);
        (w, wx, wy, wxx, wxy) = (w + k, wx + k * x, wy + k * y, wxx + k * x * x, wxy + k * x * y);
    }
    let spread = w * wxx - wx * wx;
    if spread <= 1e-12 * w * wxx || !spread.is_finite() {
        return None;
    }
    let each = (w * wxy - wx * wy) / spread;
    let fixed = (wy - each * wx) / w;
    let off = |(x, y): &(f64, f64)| {
        let at = fixed + each * x;
        if at > 0.0 { (y - at).abs() / at } else { f64::INFINITY }
    };
    let deviation = points.iter().map(off).fold(0.0, f64::max);
    Some(Line { fixed, each, deviation })
}

impl Curve {
    fn of(&self, value: impl Fn(&Point) -> f64) -> Vec<(f64, f64)> {
        self.points.iter().map(|p| (p.x, value(p))).collect()
    }

    /// Time and memory.
    fn kinds(&self) -> [Kind; 2] {
        let mib = f64::from(1 << 20);
        [
            Kind { name: "time", unit: "ms", points: self.of(|p| p.seconds * 1e3) },
            Kind { name: "memory", unit: "MiB", points: self.of(|p| p.bytes / mib) },
        ]
    }

    fn json(&self) -> serde_json::Value {
        let lines = self.kinds().map(|k| {
            let l = line(&k.points).map(|l| {
                serde_json::json!({"unit": k.unit, "fixed": l.fixed, "each": l.each, "largest_deviation": l.deviation})
            });
            (k.name.to_string(), l.unwrap_or_default())
        });
        serde_json::json!({
            "what": self.what,
            "against": self.x,
            "points": self.points.iter().map(|p| serde_json::json!({
                "x": p.x, "seconds": p.seconds, "bytes": p.bytes,
            })).collect::<Vec<_>>(),
            "lines": lines.into_iter().collect::<serde_json::Map<_, _>>(),
        })
    }

    fn charts(&self) -> Vec<String> {
        let charts = self.kinds().map(|k| {
            let last = k.points.iter().fold(0.0, |m, (x, _)| f64::max(m, *x));
            let top = k.points.iter().fold(0.0, |m, (_, y)| f64::max(m, *y));
            let law = line(&k.points);
            let mut chart = Chart::new(format!("{}: {}", self.what, k.name), self.x, k.unit)
                .with(Series::dots("measured", k.points));
            if let Some(l) = law {
                let law = [0.0, last].map(|x| (x, l.fixed + l.each * x));
                chart = chart.with(Series::line("linear", law.to_vec()));
            }
            (chart.x_range, chart.y_range) = (Some((0.0, last * 1.05)), Some((0.0, (top * 1.15).max(1e-9))));
            chart.fragment()
        });
        charts.to_vec()
    }
}

/// Measures and writes.
pub fn run(args: &Args) -> Result<()> {
    let name = args.model.parse::<ModelName>()?;
    let model = |classes: u32| config(name, &args.method, Some(classes), false);
    model(CLASSES)?;
    let device = args.device.open()?;
    std::fs::create_dir_all(&args.out).map_err(|e| Error::io("create", &args.out, e))?;
    let curve = |what, x, values: &[u32], measure: &dyn Fn(u32) -> Result<Point>| -> Result<Curve> {
        say(format!("{what} against {x}"));
        Ok(Curve { what, x, points: values.iter().map(|v| measure(*v)).collect::<Result<_>>()? })
    };
    let (step, inference) = ("training step", "inference");
    let curves = [
        curve(step, "batch", &args.batches, &|n| trained(model(CLASSES)?, &device, n, n, args.steps))?,
        curve(inference, "batch", &args.batches, &|n| inferred(model(CLASSES)?, &device, n, n, args.steps))?,
        curve(step, "classes", &args.classes, &|c| trained(model(c)?, &device, BATCH, c, args.steps))?,
        curve(inference, "classes", &args.classes, &|c| inferred(model(c)?, &device, BATCH, c, args.steps))?,
        curve("loader, one pass", "images", &args.images, &|n| loaded(&model(CLASSES)?, n))?,
    ];
    let file = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "device": device.name(),
        "model": args.model,
        "method": args.method,
        "batch": BATCH,
        "classes": CLASSES,
        "steps": args.steps,
        "curves": curves.iter().map(Curve::json).collect::<Vec<_>>(),
    });
    write(&args.out.join("growth.json"), &format!("{file:#}\n"))?;
    write(&args.out.join("growth.html"), &page(args, &device, &curves))?;
    for c in &curves {
        for k in c.kinds() {
            println!("{:<18} {:<8} {:<7} {}", c.what, c.x, k.name, told(&k, c.x));
        }
    }
    say(format!("growth.json and growth.html are in {}", args.out.display()));
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    write_atomically(path, text.as_bytes())
}

fn trained(model: ModelConfig, device: &Device, n: u32, x: u32, steps: u32) -> Result<Point> {
    let mut t = Trainee::new(model, device, n, false)?;
    let seconds = median(t.times(steps)?);
    Ok(Point { x: f64::from(x), seconds, bytes: t.executor.plan().memory.bytes() as f64 })
}

fn inferred(model: ModelConfig, device: &Device, n: u32, x: u32, runs: u32) -> Result<Point> {
    let mut p = infer::untrained(Detector::new(&model)?, device, n as usize)?;
    let ([_, forward, readback, _], _) = infer::times(&mut p, 0.3, runs)?;
    // Without decoding: what that takes with random weights is no law of anything.
    let seconds = median(forward) + median(readback);
    Ok(Point { x: f64::from(x), seconds, bytes: p.executor().plan().memory.bytes() as f64 })
}

/// One pass of the loader over so many scenes, each drawn, augmented and made the network's input; memory is what it
/// keeps of them.
fn loaded(model: &ModelConfig, images: u32) -> Result<Point> {
    let preprocess = Detector::new(model)?.preprocess;
    let spec = SceneSpec { seed: SCENE_SEED, width: preprocess.size, height: preprocess.size };
    let data = Arc::new(scenes::train(&spec, u64::from(images)));
    let bytes = data.images.iter().map(|i| f64::from(i.width) * f64::from(i.height) * 3.0).sum();
    let options = LoaderOptions { batch: 1, cache_mb: 1 << 20, ..Default::default() };
    let clock = Instant::now();
    let loader = Loader::train(data, preprocess, Augment::light(), options, 0, |_| ())?;
    for batch in loader.take(images as usize) {
        batch?;
    }
    Ok(Point { x: f64::from(images), seconds: clock.elapsed().as_secs_f64(), bytes })
}

fn told(kind: &Kind, x: &str) -> String {
    let unit = kind.unit;
    match line(&kind.points) {
        None => "too few places for a line".to_string(),
        Some(l) => format!(
            "{:.2} {unit} + {:.4} {unit} for each of {x}; the farthest point is {:.0} % off",
            l.fixed,
            l.each,
            100.0 * l.deviation
        ),
    }
}

fn page(args: &Args, device: &Device, curves: &[Curve]) -> String {
    let lead = format!("{} {} on {}: time and memory against what grows.", args.model, args.method, device.name());
    let mut page = Page::new("Growth", &lead);
    page.section("What was measured");
    page.text(&format!(
        "All of it should grow linearly: a fixed part and the same for each one more. The line is fitted to the measurements, \
         each weighed by its own size; dots are medians of {} steps or runs. The batch grows at {CLASSES} classes, the classes \
         at a batch of {BATCH}. Inference is without decoding. The loader's memory is that of the images it keeps.",
        args.steps
    ));
    page.plots(&curves.iter().flat_map(Curve::charts).collect::<Vec<_>>());
    page.section("Lines");
    let text = |t: &str| Cell::Text(t.to_string());
    let mut rows = Vec::new();
    for c in curves {
        for k in c.kinds() {
            rows.push(vec![text(c.what), text(c.x), text(k.name), Cell::Text(told(&k, c.x))]);
        }
    }
    page.table(&["what", "against", "kind", "line"], &rows);
    page.section("Measurements");
    let number = |v: f64, digits: usize| Cell::Number(format!("{v:.digits$}"));
    let mut rows = Vec::new();
    for c in curves {
        for p in &c.points {
            let bytes = p.bytes / f64::from(1 << 20);
            rows.push(vec![text(c.what), text(c.x), number(p.x, 0), number(p.seconds * 1e3, 2), number(bytes, 1)]);
        }
    }
    page.table(&["what", "against", "value", "ms", "MiB"], &rows);
    page.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Line, line};

    #[test]
    fn a_line_is_found_and_what_is_none_is_told() {
        let close = |l: Line, fixed: f64, each: f64| (l.fixed - fixed).abs() < 1e-9 && (l.each - each).abs() < 1e-9;
        let exact = line(&[(1.0, 5.0), (2.0, 7.0), (16.0, 35.0)]).unwrap();
        assert!(close(exact, 3.0, 2.0) && exact.deviation < 1e-9, "{exact:?}");
        let square = line(&[1.0, 2.0, 4.0, 8.0, 16.0].map(|x| (x, x * x))).unwrap();
        assert!(square.deviation > 0.5, "{square:?}");
        assert_eq!(line(&[(3.0, 1.0), (3.0, 2.0)]), None);
        assert_eq!(line(&[(3.0, 1.0)]), None);
    }
}
