//! `autobidet scenes`

use std::path::PathBuf;

use super::open::SCENE_SEED;
use super::say;
use crate::data::VocWriter;
use crate::data::scenes::{self, SceneSpec};
use crate::{Error, Result};

/// Write the embedded data set as a VOC folder.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to make.
    #[arg(long)]
    out: PathBuf,
    /// Training images.
    #[arg(long, default_value_t = 2000)]
    train: u64,
    /// Test images.
    #[arg(long, default_value_t = 200)]
    test: u64,
    /// Width and height in pixels.
    #[arg(long, default_value_t = 160, value_parser = clap::value_parser!(u32).range(32..=2048))]
    size: u32,
    /// Seed of the drawings.
    #[arg(long, default_value_t = SCENE_SEED)]
    seed: u64,
}

/// Writes them.
pub fn run(args: Args) -> Result<()> {
    for (key, n) in [("--train", args.train), ("--test", args.test)] {
        if n > scenes::TEST_START {
            let problem = format!("is {n}, there are {} scenes a split", scenes::TEST_START);
            return Err(Error::config(key, problem, "Give a smaller number."));
        }
    }
    let spec = SceneSpec { seed: args.seed, width: args.size, height: args.size };
    let classes: Vec<String> = scenes::CLASSES.iter().map(|c| c.to_string()).collect();
    let mut writer = VocWriter::create(&args.out, &classes)?;
    for (split, first, count) in [("trainval", 0, args.train), ("test", scenes::TEST_START, args.test)] {
        for index in first..first + count {
            let (image, objects) = scenes::draw(&spec, index);
            writer.add(split, &format!("scene_{index:07}"), &image, &objects, 0.0)?;
        }
    }
    writer.finish()?;
    say(format!("{} images written to {}", args.train + args.test, args.out.display()));
    Ok(())
}
