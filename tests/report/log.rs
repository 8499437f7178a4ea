//! The JSON-lines log: written, read, resumed, broken; and progress as lines.

use std::fs;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use autobidet::report::events::{Event, Listener, Listeners, RunStarted};
use autobidet::report::jsonl::{JsonLog, read_events};
use autobidet::report::log_reader::{RunLog, read_log};
use autobidet::report::progress::Progress;

use super::sample;

fn write_all(log: &mut impl Listener, events: &[Event]) {
    events.iter().for_each(|e| log.event(e).unwrap());
}

#[test]
fn events_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let events = sample::events(30);
    write_all(&mut JsonLog::create(&path).unwrap(), &events);
    assert_eq!(read_events(&path).unwrap(), events);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), events.len());
    assert!(text.lines().all(|l| l.starts_with("{\"type\":\"") && l.ends_with('}')));
    // A new run never writes over an old one.
    let error = JsonLog::create(&path).unwrap_err().to_string();
    assert!(error.contains("log.jsonl") && error.contains("another name"), "{error}");
}

#[test]
fn a_line_is_on_disk_when_its_event_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let mut log = JsonLog::create(&path).unwrap();
    for n in 1..5 {
        log.event(&Event::Step(sample::step(n, 9))).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count() as u64, n);
    }
}

#[test]
fn what_is_not_finite_is_null_and_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    write_all(&mut JsonLog::create(&path).unwrap(), &sample::events(80));
    assert!(fs::read_to_string(&path).unwrap().contains("\"total\":null"));
    let log = read_log(&path).unwrap();
    assert_eq!(log.losses[0].name, "total");
    assert!(log.losses[0].points[39].1.is_nan() && log.losses[0].points[38].1.is_finite());
    assert_eq!((log.skipped, log.last_step, log.of), (1, 80, 80));
    assert_eq!(log.map.points.len(), 8);
    assert_eq!(log.warnings.len(), 1);
}

#[test]
fn resuming_cuts_what_came_after_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let events = sample::events(38);
    write_all(&mut JsonLog::create(&path).unwrap(), &events);
    // The run was killed in the middle of a line.
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"type\":\"step\",\"step\":39,\"of\"").unwrap();
    assert_eq!(read_events(&path).unwrap().len(), events.len());

    let mut log = JsonLog::resume(&path, 20).unwrap();
    let kept = read_events(&path).unwrap();
    let expected: Vec<Event> = events.iter().take_while(|e| e.step().is_none_or(|s| s <= 20)).cloned().collect();
    assert_eq!(kept, expected);
    assert!(matches!(kept.last(), Some(Event::CheckpointSaved { step: 20, .. })));

    log.event(&Event::RunStarted(RunStarted { resumed_at: Some(20), ..sample::started(38) })).unwrap();
    write_all(&mut log, &events[expected.len()..]);
    let whole = read_log(&path).unwrap();
    let straight = RunLog::from_events(events);
    assert_eq!(whole.losses[1], straight.losses[1]);
    assert_eq!((whole.resumed, whole.last_step, whole.map.points.len()), (1, 38, 9));
}

#[test]
fn resuming_keeps_a_whole_last_line_without_a_line_break() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let one = serde_json::to_string(&Event::Step(sample::step(1, 9))).unwrap();
    fs::write(&path, &one).unwrap();
    let mut log = JsonLog::resume(&path, 5).unwrap();
    log.event(&Event::Step(sample::step(2, 9))).unwrap();
    assert_eq!(read_events(&path).unwrap().len(), 2);
}

#[test]
fn a_broken_line_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let good = serde_json::to_string(&Event::Step(sample::step(1, 9))).unwrap();
    let deep = "[".repeat(100_000);
    for bad in ["{\"type\":\"unknown\"}", "nonsense", "{\"type\":\"step\"}", "[1,2]", &deep, "\u{0}\u{0}"] {
        fs::write(&path, format!("{good}\n\n{bad}\n{good}\n")).unwrap();
        let error = read_events(&path).unwrap_err().to_string();
        assert!(error.contains("log.jsonl:3:"), "{error}");
        assert!(JsonLog::resume(&path, 5).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 4, "a log that cannot be read is left alone");
    }
    let missing = read_events(folder.path().join("none.jsonl")).unwrap_err().to_string();
    assert!(missing.contains("none.jsonl"), "{missing}");
    fs::write(&path, "").unwrap();
    assert_eq!(read_log(&path).unwrap(), RunLog::from_events([]));
}

/// A writer whose text can be looked at afterwards.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn progress_without_a_terminal_is_a_few_lines() {
    let page = Page::default();
    let progress = Progress::lines(page.clone(), Duration::from_secs(3600));
    write_all(&mut Listeners(vec![Box::new(progress)]), &sample::events(200));
    let text = page.text();
    println!("{text}");
    for part in [
        "tiny on llvmpipe (Vulkan): 1.05M parameters, 18.4M float and 212M binary multiply-adds",
        "step 1/200 (0 %)  loss ",
        "(box ",
        "step 40/200 (20 %)  loss – (",
        "SKIPPED",
        "warning: step 40 skipped",
        "advice: channels are dead: 17 %",
        "step 25: mAP@0.5, every point 0.",
        "step 200/200 (100 %)",
        "images/s",
        "% waiting",
        "finished after step 200 in 4 min 12 s, mAP 0.7500",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let steps = text.lines().filter(|l| l.contains("%)  loss")).count();
    assert_eq!(steps, 3, "the first, the skipped and the last one");
}
