//! `autobidet bench`

mod growth;
mod infer;
mod kernels;
mod loader;
mod train;

use crate::config::{Binarization, Method, ModelConfig, ModelName};
use crate::data::scenes;
use crate::{Error, Result};

/// Measure kernels, training steps, inference and the loader on this machine.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Convolutions by themselves: billions of operations a second (a multiply-add counts two, binary ones too).
    Kernels(kernels::Args),
    /// A training step: median time, images a second, and where the time goes.
    Train(train::Args),
    /// From a preprocessed image to its detections: median time of the whole, of its parts, and of each layer.
    Infer(infer::Args),
    /// The loader: images a second by itself, and what of a training step is waiting for it.
    Loader(loader::Args),
    /// How time and memory of training, inference and the loader grow with batch, classes and images.
    Growth(growth::Args),
}

/// Measures.
pub fn run(args: Args) -> Result<()> {
    match args.what {
        What::Kernels(a) => kernels::run(&a),
        What::Train(a) => train::run(&a),
        What::Infer(a) => infer::run(&a),
        What::Loader(a) => loader::run(&a),
        What::Growth(a) => growth::run(&a),
    }
}

/// What stands for `--classes` where it is not given: those of the embedded scenes.
fn classes(wanted: Option<u32>) -> Vec<String> {
    match wanted {
        Some(n) => (1..=n).map(|i| format!("class{i}")).collect(),
        None => scenes::CLASSES.iter().map(|c| c.to_string()).collect(),
    }
}

/// The network that a name, a method and a number of classes stand for. `plain` is the float SSD300 as published, without
/// batch norms.
fn config(name: ModelName, method: &str, classes_wanted: Option<u32>, plain: bool) -> Result<ModelConfig> {
    let (method, classes) = (method.parse::<Method>()?, classes(classes_wanted));
    if plain && (name != ModelName::Ssd300Vgg16 || method.binarization != Binarization::Float) {
        return Err(Error::config(
            "--no-batch-norm",
            format!("is for the float ssd300-vgg16, not for {} {method}", name.as_str()),
            "Leave it out.",
        ));
    }
    Ok(ModelConfig { name, method, classes, float_batch_norm: !plain, ..Default::default() })
}

fn print_json(v: &serde_json::Value) -> Result<()> {
    let text = serde_json::to_string_pretty(v)
        .map_err(|e| Error::config("--json", e.to_string(), "This is a mistake of ours."))?;
    println!("{text}");
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

/// The middle one of some times; of an even number the larger of the two.
fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}
