//! `autobidet detect`

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::open::{DeviceArgs, bar};
use super::say;
use crate::data::image_file;
use crate::detect::decode::DecodeOptions;
use crate::eval::files::{CocoRow, image_id, write_coco_rows};
use crate::predict::{Model, Predictor};
use crate::report::draw::{LabelledBox, Stroke, draw_boxes};
use crate::weights::{FileTensor, WeightFile, write_atomically};
use crate::{Error, Result};

/// Find objects in images and draw them.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folder (its best weights are used; name RUN/last.safetensors for the last ones) or weight file.
    #[arg(long, value_name = "RUN|FILE")]
    weights: PathBuf,
    /// Images, or folders of images.
    #[arg(required = true, value_name = "IMAGE|DIR")]
    images: Vec<PathBuf>,
    /// Folder for the drawn images.
    #[arg(long, required_unless_present = "raw")]
    out: Option<PathBuf>,
    /// Lowest score that is shown.
    #[arg(long, default_value_t = 0.3)]
    score: f32,
    /// File for all detections, as COCO results with the label. An image's id is the name of its picture in --out, as a
    /// number where it is one (000000000139 is 139); category ids are those of the training data.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// File for the network's outputs of one image as they come: `loc` [1, priors, 8], four log-variances and four means
    /// each, and `conf` [1, priors, classes with the background], logits.
    #[arg(long, value_name = "FILE.safetensors", conflicts_with_all = ["out", "json"])]
    raw: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Detects.
pub fn run(args: Args) -> Result<()> {
    if !(args.score >= 0.0 && args.score < 1.0) {
        return Err(Error::config("--score", format!("is {}, expected 0 up to 1", args.score), "0.3 is usual."));
    }
    let model = Model::open(&args.weights)?;
    let files = list(&args.images)?;
    let inputs: HashSet<PathBuf> = files.iter().filter_map(|f| std::fs::canonicalize(f).ok()).collect();
    if args.raw.is_some() && files.len() != 1 {
        return Err(Error::config("--raw", format!("is for one image, not for {}", files.len()), "Give one image."));
    }
    if let Some(to) = args.raw.as_ref().and_then(|r| std::fs::canonicalize(r).ok())
        && (inputs.contains(&to) || std::fs::canonicalize(model.path()).is_ok_and(|f| f == to))
    {
        return Err(Error::config("--raw", "is a file to read, and would be replaced", "Choose another name."));
    }
    let device = args.device.open()?;
    let mut predictor = Predictor::of(model, &device, 1)?;
    if let Some(to) = &args.raw {
        return raw(&mut predictor, &files[0], to);
    }
    let Some(folder) = &args.out else {
        return Err(Error::config("--out", "is not given", "Give a folder for the drawn images."));
    };
    let model = predictor.detector.config.clone();
    let classes = &model.classes;
    std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    let options = DecodeOptions { score_threshold: args.score, clip: true, ..predictor.options() };
    let mut rows = Vec::new();
    let mut taken = HashSet::new();
    let (mut failed, mut shown) = (0, 0);
    let progress = bar(files.len() as u64, "images");
    for path in &files {
        let image = match image_file::read(path, None) {
            Ok(d) => d.image,
            Err(e) if files.len() > 1 => {
                progress.suspend(|| say(format!("note: {e}")));
                progress.inc(1);
                failed += 1;
                continue;
            }
            Err(e) => return Err(e),
        };
        let input = predictor.detector.preprocess.eval(&image);
        let found = predictor.detect(&input, &[image.dimensions()], &options)?.remove(0);
        if found.not_finite > 0 {
            return Err(predictor.not_finite(&format!("image {}", path.display())));
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_string();
        let boxes: Vec<LabelledBox> = found
            .detections
            .iter()
            .map(|d| LabelledBox { bbox: d.bbox, class: d.class, name: classes[d.class].clone(), score: Some(d.score) })
            .collect();
        let mut drawn = image;
        draw_boxes(&mut drawn, &boxes, Stroke::Solid);
        let name = free_name(&stem, &mut taken);
        let target = folder.join(format!("{name}.png"));
        if std::fs::canonicalize(&target).is_ok_and(|t| inputs.contains(&t)) {
            return Err(Error::config(
                "--out",
                format!("{} is one of the images to look at, and would be replaced", target.display()),
                "Choose another folder.",
            ));
        }
        let mut png = std::io::Cursor::new(Vec::new());
        drawn
            .write_to(&mut png, image::ImageFormat::Png)
            .map_err(|e| Error::format(&target, format!("cannot be written: {e}"), "This is a mistake of ours."))?;
        write_atomically(&target, png.get_ref())?;
        shown += found.detections.len();
        rows.extend(found.detections.into_iter().map(|d| (name.clone(), d)));
        progress.inc(1);
    }
    progress.finish_and_clear();
    if let Some(json) = &args.json {
        let mut out = Vec::new();
        let list = rows.iter().map(|(id, d)| CocoRow {
            image_id: image_id(id),
            category_id: model.category_id(d.class),
            label: &classes[d.class],
            bbox: [d.bbox.xmin, d.bbox.ymin, d.bbox.width(), d.bbox.height()].map(f64::from),
            score: d.score as f64,
        });
        write_coco_rows(&mut out, list).and_then(|_| out.flush()).map_err(|e| Error::io("write", json, e))?;
        write_atomically(json, &out)?;
    }
    say(format!("{shown} objects in {} images; pictures are in {}", files.len() - failed, folder.display()));
    if failed == files.len() {
        return Err(Error::data(folder, "no image could be read", "See the notes above."));
    }
    Ok(())
}

/// Writes what the network gives for an image.
fn raw(predictor: &mut Predictor, image: &Path, to: &Path) -> Result<()> {
    let input = predictor.detector.preprocess.eval(&image_file::read(image, None)?.image);
    let found = predictor.forward(&input, 1)?;
    let (p, k) = (predictor.detector.priors.len(), predictor.detector.logits() as usize);
    let tensors = BTreeMap::from([
        ("loc".to_string(), FileTensor::floats(vec![1, p, 8], &found.locations)),
        ("conf".to_string(), FileTensor::floats(vec![1, p, k], &found.logits)),
    ]);
    WeightFile { path: to.to_path_buf(), tensors, ..Default::default() }.write(to)?;
    say(format!("loc [1, {p}, 8] and conf [1, {p}, {k}] are in {}", to.display()));
    Ok(())
}

/// The stem, or `<stem>-2` and so on where another input of this call has that name. Letter case does not tell names
/// apart, because it does not on every file system; zeros in front of a number do not either, because they are no part of
/// an image's id.
fn free_name(stem: &str, taken: &mut HashSet<String>) -> String {
    let mut name = stem.to_string();
    for i in 2.. {
        if taken.insert(image_id(&name).to_lowercase()) {
            break;
        }
        name = format!("{stem}-{i}");
    }
    name
}

/// The images named, and those in the folders named, sorted.
fn list(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for p in paths {
        if !p.is_dir() {
            out.push(p.clone());
            continue;
        }
        let entries = std::fs::read_dir(p).map_err(|e| Error::io("read", p, e))?;
        let mut here: Vec<PathBuf> = entries
            .flatten()
            .map(|e| e.path())
            .filter(|f| {
                let ext = f.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
                ["jpg", "jpeg", "png"].contains(&ext.as_str())
            })
            .collect();
        if here.is_empty() {
            return Err(Error::data(p, "has no .jpg, .jpeg or .png", "Give images or a folder of images."));
        }
        here.sort();
        out.extend(here);
    }
    Ok(out)
}
