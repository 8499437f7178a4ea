//! The files that detections travel in: COCO results (one JSON list) and the VOC kit's folder (one text file a class).
//!
//! Readers bring boxes into the data set's own pixel coordinates, writers into the format's: COCO counts from 0, the
//! kit from 1, [`Dataset::origin`] says what the annotations do. What a file holds is data from outside: every error
//! names file and line, and memory stays in proportion to the file.

mod coco;
mod devkit;

use std::collections::HashMap;
use std::io;
use std::path::Path;

pub use coco::{CocoRow, image_id, read_coco_results, write_coco_results, write_coco_rows};
pub use devkit::{read_devkit, write_devkit};

use crate::data::{Dataset, Note};
use crate::{Error, Result};

use super::boxes::Candidate;

/// The largest file that is read; COCO's test set with 100 detections an image takes about 0.2 GB.
pub const MAX_FILE_BYTES: u64 = 4 << 30;

/// What a file or folder held.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Detections {
    /// The detections in the file's order, which decides between equal scores.
    pub found: Vec<Candidate>,
    /// What the user should know: classes that the data set does not have, boxes that can match nothing.
    pub notes: Vec<Note>,
}

/// Reads a folder as the VOC kit's files and a file as COCO results. Errors as [`read_devkit`] and
/// [`read_coco_results`].
pub fn read_detections(path: &Path, dataset: &Dataset) -> Result<Detections> {
    let kind = std::fs::metadata(path).map_err(|e| Error::io("read", path, e))?;
    if kind.is_dir() { read_devkit(path, dataset) } else { read_coco_results(path, dataset) }
}

/// Opens a regular file of at most [`MAX_FILE_BYTES`].
fn open(path: &Path) -> Result<std::fs::File> {
    let file = std::fs::File::open(path).map_err(|e| Error::io("read", path, e))?;
    let meta = file.metadata().map_err(|e| Error::io("read", path, e))?;
    if !meta.is_file() {
        return Err(Error::format(path, "this is not a regular file", "Give a file of detections"));
    }
    if meta.len() > MAX_FILE_BYTES {
        return Err(Error::format(
            path,
            format!("{} bytes, more than the limit of {MAX_FILE_BYTES}", meta.len()),
            "Keep fewer detections an image, or raise the score threshold",
        ));
    }
    Ok(file)
}

/// Where each image id is in the data set.
fn image_index(dataset: &Dataset) -> HashMap<&str, u32> {
    // The first of equal ids, so that the reader's own order decides.
    let mut index = HashMap::with_capacity(dataset.images.len());
    for (i, record) in dataset.images.iter().enumerate() {
        index.entry(record.id.as_str()).or_insert(i as u32);
    }
    index
}

/// Detections whose image id the data set does not know: the first one's place, and how many.
#[derive(Debug, Default)]
struct UnknownImages {
    first: Option<(String, Option<usize>)>,
    count: usize,
}

impl UnknownImages {
    fn add(&mut self, id: &str, line: Option<usize>) {
        self.count += 1;
        if self.first.is_none() {
            self.first = Some((shown(id), line));
        }
    }

    /// An error if there was one: such a file belongs to another data set or split.
    fn check(self, path: &Path, dataset: &Dataset) -> Result<()> {
        let Some((id, line)) = self.first else { return Ok(()) };
        let example =
            dataset.images.first().map_or("it has no images".to_owned(), |r| format!("its ids look like '{}'", r.id));
        Err(Error::Format {
            path: path.to_path_buf(),
            line,
            problem: format!(
                "image id '{id}' is not in {} {} of {} images ({} detections of the file carry unknown ids; {example})",
                dataset.name,
                dataset.split,
                dataset.images.len(),
                self.count,
            ),
            remedy: "Evaluate on the split that the detections were made for".to_owned(),
        })
    }
}

/// Counts one thing for the user, with the first few places.
fn note(notes: &mut Vec<Note>, what: &str, place: impl FnOnce() -> String) {
    let at = match notes.iter().position(|n| n.what == what) {
        Some(at) => at,
        None => {
            notes.push(Note { what: what.to_owned(), count: 0, examples: Vec::new() });
            notes.len() - 1
        }
    };
    notes[at].count += 1;
    if notes[at].examples.len() < 5 {
        notes[at].examples.push(place());
    }
}

/// A text from a file in a message: no control characters, and not longer than a line.
fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        out.push('…');
    }
    out
}

const NEGATIVE: &str = "box of negative width or height: it matches nothing";

/// Flushes and closes a written file, so that a full disk is an error and not a short file.
fn finish(path: &Path, mut out: io::BufWriter<std::fs::File>) -> Result<()> {
    io::Write::flush(&mut out).map_err(|e| Error::io("write", path, e))
}
