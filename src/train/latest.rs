//! A picture of what the last evaluation found, for whoever looks while a run trains. It is made of detections that the
//! evaluation has anyway, between steps.

use super::RunFolder;
use super::summary::example;
use crate::Result;
use crate::data::Dataset;
use crate::detect::Detection;
use crate::report::html::sheet;
use crate::weights::write_atomically;

/// Test images in the picture: few, so that it costs milliseconds; the same ones each time, so that progress shows.
const IMAGES: usize = 6;
const COLUMNS: usize = 3;
/// Their longer side in pixels.
const SIDE: u32 = 280;

/// Writes the picture. Where no image can be read (the notes tell so), the one before stays.
pub(super) fn save_latest(folder: &RunFolder, test: &Dataset, found: &[Vec<Detection>]) -> Result<()> {
    let every = test.images.len().div_ceil(IMAGES).max(1);
    let shown = (0..test.images.len()).step_by(every);
    let examples: Vec<_> = shown.filter_map(|i| example(test, i, found.get(i)?, None)).collect();
    if examples.is_empty() {
        return Ok(());
    }
    write_atomically(&folder.latest(), &sheet(&examples, COLUMNS, SIDE)?)
}
