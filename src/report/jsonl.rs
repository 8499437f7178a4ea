//! The log of a run: one JSON object a line, an [`Event`] each.
//!
//! A line is written with one call and is on its way to the disk before training goes on, so a killed run loses at
//! most its last line.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::events::{Event, Listener};
use crate::{Error, Result};

/// No event is near this long; it bounds what a hostile file can make us hold.
const LINE_LIMIT: u64 = 16 << 20;

/// Appends events to a file.
#[derive(Debug)]
pub struct JsonLog {
    file: File,
    path: PathBuf,
}

impl JsonLog {
    /// A new log. A file that exists is never overwritten: [`Error::Io`].
    pub fn create(path: impl AsRef<Path>) -> Result<JsonLog> {
        let path = path.as_ref().to_path_buf();
        let file =
            OpenOptions::new().append(true).create_new(true).open(&path).map_err(|e| Error::io("create", &path, e))?;
        Ok(JsonLog { file, path })
    }

    /// Goes on with the log of a run that is resumed after `step` steps: lines from the first one that speaks of a
    /// later step on are cut off, and so is a line that a killed run left unfinished.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read or written, [`Error::Format`] where a line before the cut is no
    /// event.
    pub fn resume(path: impl AsRef<Path>, step: u64) -> Result<JsonLog> {
        let path = path.as_ref().to_path_buf();
        let mut lines = Lines::open(&path)?;
        let mut kept = 0;
        let mut unterminated = false;
        while let Some(line) = lines.next_event()? {
            if line.event.step().is_some_and(|s| s > step) {
                break;
            }
            kept = line.end;
            unterminated = !line.terminated;
        }
        let mut file = OpenOptions::new().write(true).open(&path).map_err(|e| Error::io("write", &path, e))?;
        let mut cut = || -> std::io::Result<()> {
            file.set_len(kept)?;
            file.seek(SeekFrom::End(0))?;
            if unterminated {
                file.write_all(b"\n")?;
            }
            file.sync_data()
        };
        cut().map_err(|e| Error::io("write", &path, e))?;
        let file = OpenOptions::new().append(true).open(&path).map_err(|e| Error::io("write", &path, e))?;
        Ok(JsonLog { file, path })
    }
}

impl Listener for JsonLog {
    fn event(&mut self, event: &Event) -> Result<()> {
        let mut line = serde_json::to_vec(event).map_err(|e| {
            Error::format(&self.path, format!("an event cannot be written as JSON: {e}"), "This is a mistake of ours")
        })?;
        line.push(b'\n');
        self.file.write_all(&line).and_then(|()| self.file.flush()).map_err(|e| Error::io("write", &self.path, e))
    }
}

/// The events of a log, in order. A last line that was cut off in the middle is left out.
///
/// # Errors
/// [`Error::Io`], or [`Error::Format`] with the line where something other than an event stands.
pub fn read_events(path: impl AsRef<Path>) -> Result<Vec<Event>> {
    let mut lines = Lines::open(path.as_ref())?;
    let mut events = Vec::new();
    while let Some(line) = lines.next_event()? {
        events.push(line.event);
    }
    Ok(events)
}

/// Reads a log line by line.
struct Lines<'a> {
    reader: BufReader<File>,
    path: &'a Path,
    number: usize,
    at: u64,
}

struct Line {
    event: Event,
    /// Offset of the byte after the line.
    end: u64,
    /// Whether a line break ends it.
    terminated: bool,
}

impl<'a> Lines<'a> {
    fn open(path: &'a Path) -> Result<Lines<'a>> {
        let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
        Ok(Lines { reader: BufReader::new(file), path, number: 0, at: 0 })
    }

    /// The next event; none at the end or at an unfinished last line. Empty lines are passed over.
    fn next_event(&mut self) -> Result<Option<Line>> {
        loop {
            let mut bytes = Vec::new();
            let read = self
                .reader
                .by_ref()
                .take(LINE_LIMIT)
                .read_until(b'\n', &mut bytes)
                .map_err(|e| Error::io("read", self.path, e))?;
            if read == 0 {
                return Ok(None);
            }
            self.at += read as u64;
            self.number += 1;
            let terminated = bytes.last() == Some(&b'\n');
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice(&bytes) {
                Ok(event) => return Ok(Some(Line { event, end: self.at, terminated })),
                Err(_) if !terminated && (read as u64) < LINE_LIMIT => return Ok(None),
                Err(e) => {
                    return Err(Error::Format {
                        path: self.path.to_path_buf(),
                        line: Some(self.number),
                        problem: format!("expected a training event as a JSON object, but {e}"),
                        remedy: "The log was altered or is of another program; move it away or repair the line".into(),
                    });
                }
            }
        }
    }
}
