//! The paper's tables and figures as commands: a grid of runs, what is measured of them, and a page that sets them beside
//! the paper's numbers.
//!
//! A target ([`Target`]) is a list of rows ([`rows`]); a row is a method with its settings. [`grid`] trains every row with
//! every seed, each in a run folder of its own, all with the same number of steps, and keeps what it measured of a finished
//! run in a small file ([`result`]). The page and its numbers ([`tables`], [`counts`], [`figures`]) are made from those
//! files alone where they can be, so a grid can be continued on another machine from copied files.
//!
//! The paper's numbers are those of VOC 2007 with SSD300 and VGG16 after 300,000 steps. What is trained here may be another
//! network on other data for a thousandth of the time: levels cannot be compared, only differences and orders. So every page
//! says what was trained, and no number stands without its interval.

pub mod complexity;
pub mod counts;
pub mod figures;
pub mod grid;
mod page;
pub mod result;
pub mod rows;
pub mod tables;

use std::path::PathBuf;

pub use grid::{Grid, Settings};
pub use result::RunResult;
pub use rows::{Row, Target};

use crate::Result;
use crate::weights::write_atomically;

/// The number of resampled test sets behind every interval, and their seed.
pub const RESAMPLES: usize = crate::eval::bootstrap::PAIRED_RESAMPLES;
/// The seed of the resamples: the same for all runs, so that any two are paired.
pub const RESAMPLE_SEED: u64 = 1;

/// Trains what is missing of a target's grid, and writes `NAME.json` and `NAME.html` into the grid's folder; the value are
/// the two files.
///
/// # Errors
/// What training may refuse; [`crate::Error::Interrupted`] after Ctrl-C, when everything is saved.
pub fn reproduce(target: Target, grid: &mut Grid, seeds: u32, command: &str) -> Result<[PathBuf; 2]> {
    let rows = target.rows();
    let results = grid.run(&rows, seeds)?;
    let context = page::Context { target, grid, rows: &rows, results: &results, command };
    let (json, page) = match target {
        Target::Table3 => counts::table3(&context)?,
        Target::Table4 | Target::Table5 | Target::Table6 => tables::table(&context)?,
        Target::Figure1 => figures::confidence(&context)?,
        Target::Figure2 => tables::heat_map(&context)?,
        Target::Figure3 => complexity::ordered(&context)?,
        Target::Figure4 => complexity::scatter(&context)?,
    };
    let files = ["json", "html"].map(|e| grid.folder().join(format!("{}.{e}", target.as_str())));
    let text = serde_json::to_string_pretty(&json).unwrap_or_default();
    write_atomically(&files[0], format!("{text}\n").as_bytes())?;
    write_atomically(&files[1], page.finish().as_bytes())?;
    Ok(files)
}
