//! Files that are given out: which, from where, how large, and as what.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::io::AsyncReadExt;

use super::guard::{Policy, refuse};
use crate::train::RunFolder;

/// Bytes that are in memory of a file that is being sent.
const PIECE: usize = 64 << 10;
/// Largest file of a run that is given out.
const RUN_FILE: u64 = 64 << 20;
/// Largest file of the page: programs and weights.
const PAGE_FILE: u64 = 512 << 20;
/// Folders below the page's.
const DEPTH: usize = 4;

/// What the page's folder may give, by the end of its name.
const PAGE_TYPES: [(&str, &str); 17] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("json", "application/json"),
    ("webmanifest", "application/manifest+json"),
    ("safetensors", "application/octet-stream"),
    ("txt", "text/plain; charset=utf-8"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("svg", "image/svg+xml"),
    ("ico", "image/x-icon"),
    ("woff2", "font/woff2"),
];

/// The files of a run that are given out, each by its one name; weights are not among them.
fn run_files(folder: &RunFolder) -> [(PathBuf, &'static str); 6] {
    let text = "text/plain; charset=utf-8";
    [
        (folder.report(), "text/html; charset=utf-8"),
        (folder.latest(), "image/jpeg"),
        (folder.reconstructions(), "image/png"),
        (folder.config(), text),
        (folder.evaluation(), "application/json"),
        (folder.log(), text),
    ]
}

/// Whether a name is one part of a path and nothing else, on every system. Hidden files have none.
pub(super) fn is_plain(name: &str) -> bool {
    let odd = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':' | '"' | '*' | '?' | '<' | '>' | '|');
    !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && !name.ends_with(['.', ' '])
        && !name.contains(odd)
}

/// The place of a regular file inside `folder`, with links followed; none where it is not one, or leads out of the folder.
pub(super) fn inside(folder: &Path, name: &Path) -> Option<(PathBuf, Metadata)> {
    let root = std::fs::canonicalize(folder).ok()?;
    let path = std::fs::canonicalize(root.join(name)).ok()?;
    // What is no regular file (a pipe, a device) would block whoever opens it.
    let facts = std::fs::metadata(&path).ok()?;
    (path.starts_with(&root) && facts.is_file()).then_some((path, facts))
}

/// A file of a run, as a list names it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Fact {
    name: String,
    bytes: u64,
    /// Changes when the file does.
    version: String,
}

/// The files of a run that are there.
pub(super) fn facts(folder: &Path) -> Vec<Fact> {
    let all = run_files(&RunFolder(PathBuf::new()));
    // The log changes with every step and has a stream of its own.
    let all = all.iter().filter_map(|(name, _)| name.to_str()).filter(|n| *n != "log.jsonl");
    all.filter_map(|name| {
        let (_, facts) = inside(folder, name.as_ref())?;
        Some(Fact { name: name.to_string(), bytes: facts.len(), version: version(&facts) })
    })
    .collect()
}

fn version(facts: &Metadata) -> String {
    let at = facts.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    format!("{:x}-{:x}", facts.len(), at.map_or(0, |d| d.as_nanos()))
}

/// A file of the run in `folder`.
pub(super) async fn of_run(folder: PathBuf, name: &str, asked: &HeaderMap) -> Response {
    let all = run_files(&RunFolder(PathBuf::new()));
    let Some((name, kind)) = all.into_iter().find(|(own, _)| own.to_str() == Some(name)) else {
        return refuse(StatusCode::NOT_FOUND, "A run has no file of that name that is given out.");
    };
    // A report is made of a run's own text and pictures: it needs its inline style and no rights.
    let policy = Policy::RunFile;
    let missing = "The run has not written this file yet.";
    give(folder, name, kind, RUN_FILE, policy, missing, asked).await
}

/// A file of the page in `folder`; `path` has its names apart by slashes.
pub(super) async fn of_page(folder: PathBuf, path: &str, asked: &HeaderMap) -> Response {
    let missing = "There is nothing at this address. The page is at /, the dashboard at /runs/.";
    let names: Vec<&str> = path.split('/').collect();
    let end = path.rsplit_once('.').map_or("", |(_, end)| end).to_ascii_lowercase();
    let kind = PAGE_TYPES.iter().find(|t| t.0 == end);
    let (Some((_, kind)), true) = (kind, names.len() <= DEPTH && names.iter().all(|n| is_plain(n))) else {
        return refuse(StatusCode::NOT_FOUND, missing);
    };
    give(folder, names.iter().collect(), kind, PAGE_FILE, Policy::Page, missing, asked).await
}

async fn give(
    folder: PathBuf,
    name: PathBuf,
    kind: &'static str,
    limit: u64,
    policy: Policy,
    missing: &'static str,
    asked: &HeaderMap,
) -> Response {
    let open = move || {
        let (path, _) = inside(&folder, &name)?;
        let file = std::fs::File::open(path).ok()?;
        let facts = file.metadata().ok().filter(Metadata::is_file)?;
        Some((file, facts))
    };
    let Ok(Some((file, facts))) = tokio::task::spawn_blocking(open).await else {
        return refuse(StatusCode::NOT_FOUND, missing);
    };
    if facts.len() > limit {
        let sentence = format!("The file has {} bytes; up to {limit} are given out. Copy it by hand.", facts.len());
        return refuse(StatusCode::FORBIDDEN, sentence);
    }
    let tag = format!("\"{}\"", version(&facts));
    let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    let fresh = known.flat_map(|v| v.split(',')).any(|t| t.trim() == tag);
    let mut answer = match fresh {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Body::from_stream(pieces(file, facts.len())).into_response(),
    };
    let headers = answer.headers_mut();
    if !fresh {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CONTENT_LENGTH, facts.len().into());
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = tag.try_into() {
        headers.insert(header::ETAG, tag);
    }
    policy.set(headers);
    answer
}

/// As many bytes of a file as were promised: it may grow while it is sent. Where it shrinks, the connection breaks, so
/// that nobody takes the part for the whole.
fn pieces(file: std::fs::File, length: u64) -> impl stream::Stream<Item = std::io::Result<Vec<u8>>> {
    let file = tokio::fs::File::from_std(file);
    stream::try_unfold((file, length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; left.min(PIECE as u64) as usize];
        file.read_exact(&mut piece).await?;
        let left = left - piece.len() as u64;
        Ok(Some((piece, (file, left))))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_of_a_path() {
        for good in ["a", "quickstart-1", "bireal+aic-seed2", "Läufe 3", "a..b"] {
            assert!(is_plain(good), "{good}");
        }
        let long = "x".repeat(201);
        for bad in ["", ".", "..", ".git", "a/b", "a\\b", "C:", "a\0", "a\n", "a.", "a ", "a:stream", &long] {
            assert!(!is_plain(bad), "{bad:?}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn nothing_leads_out_of_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, outside) = (dir.path().join("in"), dir.path().join("out.txt"));
        std::fs::create_dir_all(folder.join("deep")).unwrap();
        std::fs::write(&outside, "secret").unwrap();
        std::fs::write(folder.join("own.txt"), "own").unwrap();
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, folder.join(name)).unwrap();
        link(&outside, "leak.txt");
        link(&folder.join("own.txt"), "alias.txt");
        link(dir.path(), "up");
        let found = |name: &str| inside(&folder, name.as_ref()).is_some();
        assert!(found("own.txt") && found("alias.txt"));
        for bad in ["leak.txt", "up/out.txt", "deep", "../out.txt", "missing.txt", outside.to_str().unwrap()] {
            assert!(!found(bad), "{bad}");
        }
    }
}
