//! `autobidet compare`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::eval::taus;
use super::open::{DeviceArgs, bar, dataset, tell_notes};
use crate::config::{DataConfig, RunConfig};
use crate::data::Dataset;
use crate::detect::decode::DecodeOptions;
use crate::device::Device;
use crate::eval::bootstrap::{PAIRED_RESAMPLES, resampled};
use crate::eval::prior_counts::{AtRecall, HEADING};
use crate::eval::sparsity::{SCORE, recall_at, sparsity};
use crate::eval::{Bootstrap, EvalOptions, Evaluation, Metric, Paired, PriorCounts, RecallCurve, Sparsity, evaluate};
use crate::measure::measure;
use crate::predict::{Model, Predictor};
use crate::train::RunFolder;
use crate::{Error, Result};

/// Compare two detectors on the same images: accuracy with the interval of the difference, false positives over priors.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The first run folder or weight file.
    #[arg(value_name = "RUN_A")]
    a: PathBuf,
    /// The second one; differences are B - A.
    #[arg(value_name = "RUN_B")]
    b: PathBuf,
    /// Annotated images: a VOC folder, a COCO json or its folder, or `scenes`. Without: run A's own data.
    #[arg(long, value_name = "DIR|FILE|scenes")]
    data: Option<String>,
    /// Split to measure on.
    #[arg(long, default_value = "test")]
    split: String,
    /// Images of the embedded set.
    #[arg(long)]
    scenes_test: Option<u64>,
    /// voc07 (11 points), voc (every point) or coco.
    #[arg(long, default_value = "voc")]
    metric: String,
    /// Threshold of the counts over priors; 0.01, 0.03 and 0.05 are always counted.
    #[arg(long)]
    tau: Option<f64>,
    /// Resampled test sets of the paired bootstrap.
    #[arg(long, default_value_t = PAIRED_RESAMPLES as u32, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    resamples: u32,
    /// Seed of the resamples.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Images at a time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// What is known of one of the two.
struct Side {
    name: String,
    method: String,
    evaluation: Evaluation,
    resampled: Vec<Option<f64>>,
    counts: Vec<PriorCounts>,
    curve: RecallCurve,
    sparsity: Sparsity,
}

/// Compares.
pub fn run(args: Args) -> Result<()> {
    let options = EvalOptions::of(args.metric.parse::<Metric>()?);
    let taus = taus(args.tau)?;
    let mut data = match (&args.data, args.a.is_dir()) {
        (Some(d), _) => DataConfig { path: d.clone(), ..Default::default() },
        (None, true) => RunFolder::open(&args.a)?.1.data,
        (None, false) => {
            return Err(Error::config("--data", "is missing", "Give --data, or a run folder as the first run."));
        }
    };
    data.scenes_test = args.scenes_test.unwrap_or(data.scenes_test);
    let config = RunConfig { data, ..Default::default() };
    config.check()?;
    let classes_of = |path: &Path| Ok::<_, Error>(Model::open(path)?.detector().config.classes.clone());
    let classes = [classes_of(&args.a)?, classes_of(&args.b)?];
    if classes[0] != classes[1] {
        return Err(Error::data(
            &args.b,
            format!("detects {}, the other run {}", classes[1].join(", "), classes[0].join(", ")),
            "Only detectors of the same classes can be compared.",
        ));
    }
    let set = dataset(&config, &args.split, Some(&classes[0]))?;
    tell_notes(&set.notes);
    let device = args.device.open()?;
    let side = |path: &Path| look(path, &set, &device, &args, &options, &taus);
    let (a, b) = (side(&args.a)?, side(&args.b)?);
    let c = Comparison { paired: Paired::of(&a.resampled, &b.resampled), set, a, b };
    if args.json {
        println!("{}", c.to_json());
    } else {
        c.print();
    }
    Ok(())
}

fn look(
    path: &Path,
    set: &Arc<Dataset>,
    device: &Device,
    args: &Args,
    options: &EvalOptions,
    taus: &[f64],
) -> Result<Side> {
    let model = Model::open(path)?;
    let config = &model.detector().config;
    let method = format!("{} {}", config.name.as_str(), config.method);
    let mut predictor = Predictor::of(model, device, args.batch as usize)?;
    let bar = bar(set.images.len() as u64, "images");
    let measured = measure(&mut predictor, set, 0, |done, _| {
        bar.set_position(done as u64);
        Ok(())
    })?;
    bar.finish_and_clear();
    tell_notes(&measured.found.notes);
    if let Some(image) = measured.found.not_finite.first() {
        return Err(predictor.not_finite(&format!("image {image}")));
    }
    let found = measured.candidates();
    Ok(Side {
        name: path.display().to_string(),
        method,
        evaluation: evaluate(set, &found, options)?,
        resampled: resampled(set, &found, options, args.resamples as usize, args.seed)?,
        counts: taus.iter().map(|t| measured.priors.counts(*t)).collect(),
        curve: measured.priors.curve(usize::MAX),
        sparsity: sparsity(set, &measured.found.detections, SCORE),
    })
}

struct Comparison {
    set: Arc<Dataset>,
    a: Side,
    b: Side,
    paired: Option<Paired>,
}

/// The score from which on `detect` shows a detection.
const SHOWN: f64 = 0.3;

impl Comparison {
    fn to_json(&self) -> Value {
        let side = |s: &Side| {
            json!({
                "run": s.name,
                "method": s.method,
                "evaluation": s.evaluation.to_json(),
                "bootstrap": Bootstrap::of(s.resampled.iter().copied().flatten()),
                "prior_counts": s.counts.iter().map(|c| c.to_json(&self.set.classes)).collect::<Value>(),
                "sparsity": s.sparsity,
                "recall": {
                    "0.03": recall_at(&s.evaluation, SCORE.into()), "0.3": recall_at(&s.evaluation, SHOWN),
                    "all": recall_at(&s.evaluation, f64::from(DecodeOptions::default().score_threshold)),
                },
            })
        };
        let at = |taus: &[PriorCounts], curve: &RecallCurve| -> Value {
            taus.iter().map(|c| json!({ "tau": c.tau, "fp": c.fp, "other": curve.at_recall_of(c) })).collect()
        };
        json!({
            "data": { "name": self.set.name, "split": self.set.split, "images": self.set.images.len() },
            "a": side(&self.a),
            "b": side(&self.b),
            "difference": {
                "map": self.a.evaluation.map.zip(self.b.evaluation.map).map(|(a, b)| b - a),
                "paired": self.paired,
            },
            "fp_at_equal_recall": {
                "b_at_recall_of_a": at(&self.a.counts, &self.b.curve),
                "a_at_recall_of_b": at(&self.b.counts, &self.a.curve),
            },
        })
    }

    fn print(&self) {
        let (a, b) = (&self.a, &self.b);
        println!("{} {}: {} images", self.set.name, self.set.split, self.set.images.len());
        for (key, s) in [("A", a), ("B", b)] {
            println!("{key}  {}  ({})", s.name, s.method);
        }
        println!("\n{:<34} {:>9} {:>9} {:>9}", "", "A", "B", "B - A");
        let row = |what: &str, x: Option<f64>, y: Option<f64>| {
            let cell = |v: Option<f64>, sign: bool| match (v, sign) {
                (Some(v), true) => format!("{v:+.4}"),
                (Some(v), false) => format!("{v:.4}"),
                (None, _) => "–".to_string(),
            };
            let d = x.zip(y).map(|(x, y)| y - x);
            println!("{what:<34} {:>9} {:>9} {:>9}", cell(x, false), cell(y, false), cell(d, true));
        };
        row("mAP", a.evaluation.map, b.evaluation.map);
        for (x, y) in a.evaluation.classes.iter().zip(&b.evaluation.classes) {
            row(&format!("  AP {}", x.name), x.ap, y.ap);
        }
        let recall = |s: &Side, score: f64| recall_at(&s.evaluation, score);
        row("recall of objects, score over 0.03", recall(a, SCORE.into()), recall(b, SCORE.into()));
        row("recall of objects, score over 0.3", recall(a, SHOWN), recall(b, SHOWN));
        row("detections an object (over 0.03)", a.sparsity.detections_per_object, b.sparsity.detections_per_object);
        row("entropy of normalised scores", a.sparsity.entropy, b.sparsity.entropy);
        match &self.paired {
            Some(p) => println!(
                "\nmAP, B - A: 95 % interval {:+.4} to {:+.4}; B is above A in {:.1} % of {} resampled test sets",
                p.spread.low,
                p.spread.high,
                100.0 * p.above,
                p.spread.resamples
            ),
            None => println!("\nmAP, B - A: no interval, there are no objects"),
        }
        println!("\npriors: positive where the best class scores over tau");
        for (key, s) in [("A", a), ("B", b)] {
            println!("{key}  {HEADING}");
            for c in &s.counts {
                println!("   {c}");
            }
        }
        println!("\nfalse positives over priors at equal recall");
        let line = |key: &str, c: &PriorCounts, other: &str, at: Option<AtRecall>| {
            let recall = c.recall().map_or("–".to_string(), |r| format!("{:.2} %", 100.0 * r));
            let at = at.map_or("never reaches that recall".to_string(), |x| {
                let less = match c.fp {
                    0 => String::new(),
                    fp => format!(" ({:+.1} %)", 100.0 * (x.fp as f64 / fp as f64 - 1.0)),
                };
                format!("has {}{less}, from a score of {:.4} on", x.fp, x.threshold)
            });
            println!("{key} at tau {}: recall {recall}, {} false positives; {other} {at}", c.tau, c.fp);
        };
        for c in &a.counts {
            line("A", c, "B", b.curve.at_recall_of(c));
        }
        for c in &b.counts {
            line("B", c, "A", a.curve.at_recall_of(c));
        }
    }
}
