//! Collects [`Note`]s: what was met while reading, how often, and the first few places.

use super::types::Note;

/// How many places a note names.
pub(super) const EXAMPLES: usize = 5;

/// Notes in the order in which their kinds were first met.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Note>);

impl Notes {
    /// One more of `what`, met at `place`.
    pub(super) fn add(&mut self, what: &str, place: impl Into<String>) {
        let at = self.0.iter().position(|n| n.what == what).unwrap_or_else(|| {
            self.0.push(Note { what: what.to_owned(), count: 0, examples: Vec::new() });
            self.0.len() - 1
        });
        let note = &mut self.0[at];
        note.count += 1;
        if note.examples.len() < EXAMPLES {
            note.examples.push(place.into());
        }
    }

    /// All notes.
    pub(super) fn into_vec(self) -> Vec<Note> {
        self.0
    }
}

impl std::fmt::Display for Note {
    /// `zero-area box: left out of the targets, the image is kept: 2 (BloodImage_00338, BloodImage_00343)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.count)?;
        if !self.examples.is_empty() {
            let more = if self.count > self.examples.len() { ", ..." } else { "" };
            write!(f, " ({}{more})", self.examples.join(", "))?;
        }
        Ok(())
    }
}
