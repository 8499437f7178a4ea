//! `autobidet eval`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::open::{DeviceArgs, dataset, tell_notes};
use crate::config::{DataConfig, RunConfig};
use crate::data::{Dataset, open_annotations};
use crate::eval::files::read_detections;
use crate::eval::prior_counts::{HEADING, TAUS};
use crate::eval::sparsity::{SCORE, sparsity};
use crate::eval::{Difficult, EvalOptions, Metric, Pixels, PriorCounts, Sparsity, candidates, evaluate};
use crate::measure::{Measured, measure};
use crate::predict::{Model, Predictor};
use crate::train::RunFolder;
use crate::{Error, Result};

/// Measure a detector, or a file of detections, on annotated images.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folder (its best weights are measured; name RUN/last.safetensors for the last ones) or weight file.
    #[arg(long, value_name = "RUN|FILE", conflicts_with = "detections", required_unless_present = "detections")]
    weights: Option<PathBuf>,
    /// Detections instead of a detector: a COCO results file, or a folder of devkit files (*_<class>.txt).
    #[arg(long, value_name = "FILE|DIR")]
    detections: Option<PathBuf>,
    /// Annotated images: a VOC folder, a COCO json or its folder, or `scenes`. Without: a run folder's own data.
    #[arg(long, value_name = "DIR|FILE|scenes")]
    data: Option<String>,
    /// COCO annotations for --detections.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    ground_truth: Option<PathBuf>,
    /// Split to measure on.
    #[arg(long, default_value = "test")]
    split: String,
    /// voc07 (11 points), voc (every point) or coco.
    #[arg(long, default_value = "voc")]
    metric: String,
    /// Overlap from which a detection matches (voc07 and voc).
    #[arg(long, default_value_t = 0.5)]
    iou: f64,
    /// Widths and heights: continuous, or inclusive (+1, as the VOC devkit has them).
    #[arg(long, default_value = "continuous")]
    pixels: String,
    /// Difficult objects: ignore (as the devkit does) or count.
    #[arg(long, default_value = "ignore")]
    difficult: String,
    /// Images of the embedded set.
    #[arg(long)]
    scenes_test: Option<u64>,
    /// Images at a time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: u32,
    /// Count true and false positives over priors, too (Table 3), and how detections are spread over objects.
    #[arg(long, conflicts_with = "detections")]
    counts: bool,
    /// A threshold for --counts beside 0.01, 0.03 and 0.05.
    #[arg(long, requires = "counts")]
    tau: Option<f64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Measures.
pub fn run(args: Args) -> Result<()> {
    let options = EvalOptions {
        metric: args.metric.parse::<Metric>()?,
        iou: args.iou,
        pixels: args.pixels.parse::<Pixels>()?,
        difficult: args.difficult.parse::<Difficult>()?,
    };
    options.check()?;
    let mut data = match (&args.data, &args.ground_truth, &args.weights) {
        (Some(d), _, _) => DataConfig { path: d.clone(), ..Default::default() },
        (None, Some(g), _) => DataConfig { path: g.display().to_string(), ..Default::default() },
        (None, None, Some(run)) if run.is_dir() => RunFolder::open(run)?.1.data,
        (None, None, _) => {
            return Err(Error::config("--data", "is missing", "Give --data, or --ground-truth with --detections."));
        }
    };
    data.scenes_test = args.scenes_test.unwrap_or(data.scenes_test);
    let config = RunConfig { data, ..Default::default() };
    config.check()?;
    let taus = taus(args.tau)?;
    let (set, found, measured) = match (&args.detections, &args.weights) {
        (Some(file), _) => from_files(file, &config, &args.split)?,
        (None, Some(w)) => from_detector(w, &config, &args)?,
        (None, None) => return Err(Error::config("--weights", "is missing", "Give --weights or --detections.")),
    };
    let evaluation = evaluate(&set, &found, &options)?;
    let mut json = evaluation.to_json();
    if !args.json {
        println!("{evaluation}");
    }
    if let Some(m) = &measured {
        let counts: Vec<PriorCounts> = taus.iter().map(|t| m.priors.counts(*t)).collect();
        let sparsity = sparsity(&set, &m.found.detections, SCORE);
        json["prior_counts"] = counts.iter().map(|c| c.to_json(&set.classes)).collect();
        json["sparsity"] = json!(sparsity);
        if !args.json {
            tell_counts(&counts, m.unreadable);
            tell_sparsity(&sparsity);
        }
    }
    if args.json {
        println!("{json}");
    }
    Ok(())
}

/// The thresholds to count at: the usual ones and the one that was given, rising.
pub fn taus(given: Option<f64>) -> Result<Vec<f64>> {
    let mut out = TAUS.to_vec();
    if let Some(tau) = given {
        if !(0.0..1.0).contains(&tau) {
            return Err(Error::config("--tau", format!("is {tau}, expected 0 up to 1"), "Table 3 needs a low one."));
        }
        out.push(tau);
        out.sort_by(f64::total_cmp);
        out.dedup();
    }
    Ok(out)
}

fn tell_counts(counts: &[PriorCounts], unreadable: usize) {
    let Some(first) = counts.first() else { return };
    println!(
        "priors: {} in each of {} images; positive where the best class scores over tau",
        first.priors, first.images
    );
    if unreadable > 0 {
        println!("({unreadable} images that could not be read are not counted)");
    }
    println!("{HEADING}");
    for c in counts {
        println!("{c}");
    }
    println!("divided by ten, as the paper seems to have them:");
    for c in counts {
        let [tp, fp, tn, false_negatives] = c.tenths();
        println!("{:<7} {tp:>10.1} {fp:>10.1} {tn:>12.1} {false_negatives:>10.1}", c.tau);
    }
    println!();
}

fn tell_sparsity(s: &Sparsity) {
    let number = |v: Option<f64>| v.map_or("–".to_string(), |v| format!("{v:.3}"));
    println!("detections over {}: {} for each object", s.score, number(s.detections_per_object));
    println!(
        "entropy of their normalised scores: {} over {} pairs of image and class",
        number(s.entropy),
        s.found_pairs
    );
}

type Found = (Arc<Dataset>, Vec<crate::eval::Candidate>, Option<Measured>);

fn from_files(file: &Path, config: &RunConfig, split: &str) -> Result<Found> {
    let set = match config.data.path.as_str() {
        "scenes" => dataset(config, split, None)?,
        path => Arc::new(open_annotations(Path::new(path), split)?),
    };
    tell_notes(&set.notes);
    let found = read_detections(file, &set)?;
    tell_notes(&found.notes);
    Ok((set, found.found, None))
}

fn from_detector(weights: &Path, config: &RunConfig, args: &Args) -> Result<Found> {
    let model = Model::open(weights)?;
    let set = dataset(config, &args.split, Some(&model.detector().config.classes))?;
    tell_notes(&set.notes);
    let device = args.device.open()?;
    let mut predictor = Predictor::of(model, &device, args.batch as usize)?;
    let bar = super::open::bar(set.images.len() as u64, "images");
    let progress = |done: usize, _| {
        bar.set_position(done as u64);
        Ok(())
    };
    let (found, measured) = match args.counts {
        true => {
            let m = measure(&mut predictor, &set, 0, progress)?;
            (m.found.clone(), Some(m))
        }
        false => {
            let options = predictor.options();
            (predictor.dataset(&set, &options, 0, progress)?, None)
        }
    };
    bar.finish_and_clear();
    tell_notes(&found.notes);
    match found.not_finite.first() {
        Some(image) => Err(predictor.not_finite(&format!("image {image}"))),
        None => Ok((set, candidates(&found.detections), measured)),
    }
}
