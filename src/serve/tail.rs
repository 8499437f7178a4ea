//! Follows a log that another program writes, resumes, replaces or removes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use crate::report::events::Event;

/// A line that is longer is no event of ours; it bounds what a hostile file can make us hold.
const LINE_LIMIT: u64 = 4 << 20;
/// Bytes before the place that was read to, by which a file that was written anew is known.
const KNOWN: usize = 256;

/// A place in a log: everything before it was read.
#[derive(Debug, Default)]
pub(super) struct Tail {
    offset: u64,
    /// Lines before it.
    lines: u64,
    /// The bytes before it, as they were.
    before: Vec<u8>,
    /// Amid a line that is too long.
    skipping: bool,
}

/// What was read.
pub(super) enum Line {
    /// All that was given before does not count any more: the file is another one, or was cut.
    Anew,
    /// An event.
    Event(Box<Event>),
    /// Something else than an event, in this line (counted from 1).
    Unreadable(u64),
}

/// How the file is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It is as it was.
    None,
    /// Lines came.
    Grown,
    /// It is another one or was cut; all its lines were given.
    Anew,
}

impl Tail {
    /// Gives the whole lines that came since the last call to `take`. A last line that is not ended yet waits for its end.
    pub fn read(&mut self, file: File, mut take: impl FnMut(Line)) -> std::io::Result<Change> {
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut change = Change::None;
        if !self.is_where_it_was(&mut reader)? {
            *self = Tail::default();
            take(Line::Anew);
            change = Change::Anew;
        }
        reader.seek(SeekFrom::Start(self.offset))?;
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line)? as u64;
            let ended = line.last() == Some(&b'\n');
            if read == 0 || (!ended && read < LINE_LIMIT && !self.skipping) {
                return Ok(change);
            }
            self.pass(&line);
            if change == Change::None {
                change = Change::Grown;
            }
            let (skipped, too_long) = (self.skipping, !ended);
            self.skipping = !ended;
            if ended {
                self.lines += 1;
            }
            if too_long && !skipped {
                take(Line::Unreadable(self.lines + 1));
            }
            if skipped || too_long || line.trim_ascii().is_empty() {
                continue;
            }
            take(match serde_json::from_slice(&line) {
                Ok(event) => Line::Event(Box::new(event)),
                Err(_) => Line::Unreadable(self.lines),
            });
        }
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        self.before.extend_from_slice(&bytes[bytes.len().saturating_sub(KNOWN)..]);
        let extra = self.before.len().saturating_sub(KNOWN);
        self.before.drain(..extra);
    }

    /// Whether what was read still stands before the place that was read to. Length alone does not tell: a run that is
    /// resumed cuts its log, and may have grown over the old length since.
    fn is_where_it_was(&self, file: &mut BufReader<File>) -> std::io::Result<bool> {
        if file.get_ref().metadata()?.len() < self.offset {
            return Ok(false);
        }
        file.seek(SeekFrom::Start(self.offset - self.before.len() as u64))?;
        let mut there = vec![0; self.before.len()];
        match file.read_exact(&mut there) {
            Ok(()) => Ok(there == self.before),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    struct Log {
        path: std::path::PathBuf,
        tail: Tail,
        _dir: tempfile::TempDir,
    }

    impl Log {
        fn new() -> Log {
            let dir = tempfile::tempdir().unwrap();
            Log { path: dir.path().join("log.jsonl"), tail: Tail::default(), _dir: dir }
        }

        fn write(&self, text: &str) {
            let mut file = File::options().append(true).create(true).open(&self.path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        /// What is read: notes as they are, unreadable lines by their numbers.
        fn read(&mut self) -> (Change, String) {
            let mut said = String::new();
            let change = self.tail.read(File::open(&self.path).unwrap(), |line| {
                said += &match line {
                    Line::Anew => "!".to_string(),
                    Line::Event(e) => match *e {
                        Event::Note { message } => message,
                        other => format!("{other:?}"),
                    },
                    Line::Unreadable(n) => n.to_string(),
                }
            });
            (change.unwrap(), said)
        }
    }

    fn note(text: &str) -> String {
        format!("{{\"type\":\"note\",\"message\":\"{text}\"}}\n")
    }

    #[test]
    fn lines_come_when_they_are_whole() {
        let mut log = Log::new();
        log.write(&note("a"));
        log.write(&note("b")[..10]);
        assert_eq!(log.read(), (Change::Grown, "a".into()));
        assert_eq!(log.read(), (Change::None, "".into()));
        log.write(&note("b")[10..]);
        log.write("\nnonsense\n");
        log.write(&note("c"));
        assert_eq!(log.read(), (Change::Grown, "b4c".into()));
    }

    #[test]
    fn a_log_that_was_cut_or_replaced_is_read_anew() {
        let mut log = Log::new();
        log.write(&[note("a"), note("b")].concat());
        assert_eq!(log.read().1, "ab");
        // Cut, as on --resume.
        File::options().write(true).open(&log.path).unwrap().set_len(note("a").len() as u64).unwrap();
        assert_eq!(log.read(), (Change::Anew, "!a".into()));
        // Cut, and grown over its old length before anyone looked.
        log.write(&note("b"));
        assert_eq!(log.read(), (Change::Grown, "b".into()));
        std::fs::write(&log.path, [note("a"), note("x"), note("y")].concat()).unwrap();
        assert_eq!(log.read(), (Change::Anew, "!axy".into()));
    }

    #[test]
    fn a_line_without_an_end_is_passed_over() {
        let mut log = Log::new();
        log.write(&"x".repeat(LINE_LIMIT as usize + 7));
        assert_eq!(log.read(), (Change::Grown, "1".into()));
        log.write("yyy");
        assert_eq!(log.read().1, "");
        log.write("\n");
        log.write(&note("a"));
        assert_eq!(log.read(), (Change::Grown, "a".into()));
    }
}
