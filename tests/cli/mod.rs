//! The command as a user runs it: what it prints, what it leaves, and what it says to everything that may be wrong.

mod bad_input;
mod bench;
mod detect;
mod disk;
mod eval;
mod export;
mod images;
mod import;
mod kill;
mod reproduce;
mod run;
mod serve;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_autobidet");

/// The program with arguments; on the CPU twins where it matters.
pub fn program(args: &[&str]) -> Command {
    let mut c = Command::new(PROGRAM);
    c.args(args);
    c
}

/// What a call printed.
#[derive(Debug)]
pub struct Printed {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Printed {
    fn from(o: Output) -> Printed {
        let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
        Printed { code: o.status.code(), out: text(o.stdout), err: text(o.stderr) }
    }
}

pub fn call(args: &[&str]) -> Printed {
    program(args).output().unwrap().into()
}

/// A call that must work: what it printed.
#[track_caller]
pub fn works(args: &[&str]) -> Printed {
    let p = call(args);
    assert_eq!(p.code, Some(0), "{args:?}: {p:?}");
    assert!(!p.err.contains("panicked"), "{p:?}");
    p
}

/// A call that must fail: with this code, with one line of error at the end that holds all of `parts`, and nothing on
/// stdout.
#[track_caller]
pub fn fails(args: &[&str], code: i32, parts: &[&str]) -> Printed {
    let p = call(args);
    is_failure(&p, code, parts);
    p
}

#[track_caller]
pub fn is_failure(p: &Printed, code: i32, parts: &[&str]) {
    assert_eq!(p.code, Some(code), "{p:?}");
    assert!(!p.err.contains("panicked") && p.out.is_empty(), "{p:?}");
    let last = p.err.lines().last().unwrap_or_default();
    // A driver may say something of its own that begins so; ours is the last line.
    assert!(last.starts_with("error: "), "{p:?}");
    for part in parts {
        assert!(last.contains(part), "`{part}` is not in: {last}");
    }
}

/// A path as an argument.
pub fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A configuration of six training images in batches of two and three test images, as a file in `dir`.
pub fn small(dir: &Path, more: &str) -> PathBuf {
    let path = dir.join("small.toml");
    let text = format!("[data]\nscenes_train = 6\nscenes_test = 3\n\n[train]\nbatch = 2\neval_every = 2\n{more}\n");
    std::fs::write(&path, text).unwrap();
    path
}

/// A run of two steps on the scenes, made once; it stays, so that it is only looked at.
pub fn trained() -> &'static Path {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    RUN.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli");
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let (config, run) = (small(&dir, ""), dir.join("run"));
        let args = ["train", "--config", arg(&config), "--steps", "2", "--out", arg(&run), "--device", "cpu"];
        let p = works(&args);
        assert!(p.out.contains("best.safetensors") && p.out.contains("report.html"), "{p:?}");
        run
    })
}

/// The embedded scenes as a VOC folder, made once: four training and three test images.
pub fn scenes() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-scenes");
        let _ = std::fs::remove_dir_all(&dir);
        works(&["scenes", "--out", arg(&dir), "--train", "4", "--test", "3"]);
        dir
    })
}
