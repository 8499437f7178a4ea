//! `autobidet reproduce`

use std::path::PathBuf;
use std::sync::Arc;

use super::open::{DeviceArgs, dataset, on_interrupt};
use super::say;
use crate::config::{ModelName, RunConfig};
use crate::reproduce::{Grid, Settings, Target, reproduce};
use crate::{Error, Result};

/// Steps of a run of `tiny` where no length is given: with two seeds, Table 4 takes under half an hour on two cores.
const STEPS: u64 = 250;

/// Make a table or figure of the paper: train its grid, and set the numbers beside the paper's.
///
/// DIR/NAME.html and DIR/NAME.json hold the numbers with their intervals. A grid that was stopped goes on with the same
/// command; DIR/grid.json and DIR/results/ are all that another machine needs to go on with it. Several tables in one DIR share
/// the runs that they have in common.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// table3, table4, table5, table6, figure1, figure2, figure3 or figure4.
    #[arg(value_name = "NAME")]
    target: String,
    /// A VOC folder, a COCO json or its folder, or `scenes`.
    #[arg(long, value_name = "DIR|FILE|scenes")]
    data: String,
    /// Network: tiny or ssd300-vgg16.
    #[arg(long, default_value = "tiny")]
    model: String,
    /// Seeds of every row, from 1 on. Without: 2, for figure1 and figure2 one.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    seeds: Option<u32>,
    /// Optimizer steps of every run. Without: those of the grid; for a new grid of tiny 250.
    #[arg(long, conflicts_with = "minutes_per_run", value_parser = clap::value_parser!(u64).range(1..))]
    steps_per_run: Option<u64>,
    /// Time of a run: the first one is measured, and all get its number of steps.
    #[arg(long)]
    minutes_per_run: Option<f64>,
    /// Folder of the grid.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A TOML file with settings that all runs have in common (batch, learning rate, augmentation, splits, ...).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Trains what is missing and writes the page.
pub fn run(args: Args) -> Result<()> {
    let target: Target = args.target.parse()?;
    let seeds = args.seeds.unwrap_or(target.usual_seeds());
    let mut config = match &args.config {
        Some(file) => RunConfig::read(file)?,
        None => RunConfig::default(),
    };
    config.model.name = args.model.parse::<ModelName>()?;
    config.data.path = args.data.clone();
    if args.data != "scenes" {
        super::train::absolute(&mut config.data.path);
    }
    if args.minutes_per_run.is_some_and(|m| m.is_nan() || m <= 0.0) {
        return Err(Error::config("--minutes-per-run", "is not a length of time", "Give a number over 0."));
    }
    if config.data.test.is_empty() {
        return Err(Error::config("data.test", "is empty", "A grid needs a test split."));
    }
    config.check()?;
    let classes = (!config.model.classes.is_empty()).then(|| config.model.classes.clone());
    let train = dataset(&config, &config.data.train, classes.as_deref())?;
    let test = dataset(&config, &config.data.test, Some(&train.classes))?;
    super::train::trainable(&train, config.train.batch)?;
    if !test.images.iter().flat_map(|i| &i.objects).any(|o| !o.difficult && !o.crowd) {
        return Err(Error::data(
            &test.root,
            format!("split `{}` has no object that could be found", test.split),
            "A table needs annotated test images.",
        ));
    }
    say(format!(
        "{}: {} with {} training and {} test images",
        target.title(),
        train.name,
        train.images.len(),
        test.images.len()
    ));
    let device = args.device.open()?;
    let mut grid = Grid::open(Settings {
        folder: args.out.clone(),
        default_steps: (config.model.name == ModelName::Tiny).then_some(STEPS),
        config,
        steps: args.steps_per_run,
        minutes: args.minutes_per_run,
        device,
        train: Arc::clone(&train),
        test,
        stop: on_interrupt()?,
        say: |line| say(line),
    })?;
    let [json, page] = reproduce(target, &mut grid, seeds, &command(&args, seeds)).inspect_err(|e| {
        if matches!(e, Error::Interrupted) {
            say("the run at hand is saved; the same command goes on with the grid");
        }
    })?;
    println!("numbers  {}", json.display());
    println!("page     {}", page.display());
    Ok(())
}

/// The command that makes the page again.
fn command(args: &Args, seeds: u32) -> String {
    let mut out = format!(
        "autobidet reproduce {} --data {} --model {} --seeds {seeds}",
        args.target,
        if args.data == "scenes" { "scenes" } else { "DATA" },
        args.model,
    );
    if let Some(steps) = args.steps_per_run {
        out += &format!(" --steps-per-run {steps}");
    }
    if let Some(minutes) = args.minutes_per_run {
        out += &format!(" --minutes-per-run {minutes}");
    }
    out + " --out DIR"
}
