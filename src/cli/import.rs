//! `autobidet import`

use std::path::{Path, PathBuf};

use super::say;
use crate::config::{Method, ModelName};
use crate::data::open_annotations;
use crate::weights::{Foreign, ImportOptions, ImportReport, import};
use crate::{Error, Result};

/// Make a weight file from a PyTorch checkpoint or safetensors of another program.
///
/// An official BiDet-SSD300 checkpoint becomes a weight file that `eval`, `detect` and `info` open; VGG16 one for `train
/// --backbone`. Nothing of a checkpoint is run: what is more than tensors is refused.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Checkpoint (.pth, .pt; zip or older form) or safetensors.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The weight file to write.
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// Network, where its names do not tell: tiny or ssd300-vgg16.
    #[arg(long)]
    model: Option<String>,
    /// Method; bidet-sc for BiDet-SSD300.
    #[arg(long)]
    method: Option<String>,
    /// Names of the classes, without the background. Else those of VOC for 20, of COCO for 80, class-1 and so on for
    /// others.
    #[arg(long, value_delimiter = ',', conflicts_with = "classes_from")]
    classes: Option<Vec<String>>,
    /// Data set whose classes they are.
    #[arg(long, value_name = "DIR|FILE")]
    classes_from: Option<PathBuf>,
    /// Prior boxes of SSD300. Else those for COCO for 80 classes, for VOC otherwise.
    #[arg(long, value_parser = ["voc", "coco"])]
    priors: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Imports.
pub fn run(args: Args) -> Result<()> {
    let same =
        |a: &Path, b: &Path| std::fs::canonicalize(a).is_ok_and(|a| std::fs::canonicalize(b).is_ok_and(|b| a == b));
    if same(&args.file, &args.out) {
        return Err(Error::config("--out", "is the file to read", "Choose another name."));
    }
    let (classes, category_ids) = match &args.classes_from {
        None => (args.classes.clone(), None),
        Some(path) => {
            // Whichever split there is: the classes are the data set's.
            let found =
                open_annotations(path, "trainval").or_else(|e| open_annotations(path, "test").map_err(|_| e))?;
            (Some(found.classes), Some(found.category_ids))
        }
    };
    let options = ImportOptions {
        model: args.model.as_deref().map(str::parse::<ModelName>).transpose()?,
        method: args.method.as_deref().map(str::parse::<Method>).transpose()?,
        classes,
        category_ids,
        priors: args.priors.clone(),
    };
    let file = Foreign::open(&args.file)?;
    let imported = import(&file, &options)?;
    imported.weights.write(&args.out)?;
    if args.json {
        let mut json = serde_json::to_value(&imported.report).unwrap_or_default();
        json["model"] = serde_json::to_value(&imported.config).unwrap_or_default();
        json["out"] = args.out.display().to_string().into();
        println!("{json:#}");
        return Ok(());
    }
    print(&imported.report, &args);
    if let Some(c) = &imported.config
        && options.classes.is_none()
        && ![20, 80].contains(&c.classes.len())
    {
        say("note: the classes have numbers for names; give --classes or --classes-from for others");
    }
    Ok(())
}

fn print(r: &ImportReport, args: &Args) {
    let list = |names: &[String]| match names {
        [] => "none".to_string(),
        [one] => one.clone(),
        [first, second] => format!("{first}, {second}"),
        [first, second, third] => format!("{first}, {second}, {third}"),
        [first, second, third, ..] => format!("{} ({first}, {second}, {third}, ...)", names.len()),
    };
    let mut form = r.form.clone();
    if !r.inside.is_empty() {
        form += &format!("; the tensors are in {}", r.inside.join(", "));
    }
    if !r.prefix.is_empty() {
        form += &format!("; names without their {:?}", r.prefix);
    }
    println!("file         {form}");
    println!("network      {}; {}", r.network, r.note);
    let types: Vec<String> = r.converted.iter().map(|(t, n)| format!("{n} {t}")).collect();
    println!(
        "matched      {} tensors, {} values ({}; written as float32)",
        r.matched.len(),
        r.values,
        types.join(", ")
    );
    println!("missing      {}", list(&r.missing));
    let shapes: Vec<String> =
        r.other_shape.iter().map(|o| format!("{} {:?} for {:?}", o.name, o.found, o.expected)).collect();
    println!("other shape  {}", list(&shapes));
    println!("unknown      {}", list(&r.unknown));
    if !r.beside.is_empty() {
        println!("beside       {}", list(&r.beside));
    }
    println!("left out     {} counters (num_batches_tracked), and what is unknown", r.counters);
    println!("written      {}", args.out.display());
    if r.opens {
        println!(
            "next         autobidet info {out}; autobidet detect --weights {out} IMAGE --out DIR",
            out = args.out.display()
        );
    }
}
