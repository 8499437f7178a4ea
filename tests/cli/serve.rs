//! `autobidet serve`, spoken to over plain sockets: what it gives, what it refuses, and what a stream tells of a run that
//! goes on, is resumed, replaced or removed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use autobidet::report::events::{Evaluated, Event, RunFinished, RunStarted, Step};
use serde_json::Value;

use super::{arg, fails, program};

/// A server; it ends with the value.
struct Server {
    child: Child,
    port: u16,
    said: String,
}

impl Server {
    fn start(args: &[&str]) -> Server {
        Server::start_in(Path::new("."), args)
    }

    fn start_in(folder: &Path, args: &[&str]) -> Server {
        let mut command = program(&["serve", "--port", "0"]);
        let mut child =
            command.current_dir(folder).args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut said).unwrap();
        out.read_line(&mut said).unwrap();
        let port = said.split_once("127.0.0.1:").unwrap().1.split('/').next().unwrap().parse().unwrap();
        Server { child, port, said }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// An answer to these bytes.
    fn raw(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        // It may answer before it has read all.
        let _ = stream.write_all(request.as_bytes());
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_string() }
    }

    /// HTTP/1.0 ends an answer with the connection, so that it is read as it is.
    fn ask(&self, method: &str, path: &str, more: &str) -> Answer {
        self.raw(&format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n{more}\r\n"))
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }

    fn watch(&self, run: &str) -> Watcher {
        let mut stream = self.connect();
        write!(stream, "GET /api/runs/{run}/events HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut lines = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head).unwrap() > 0 {}
        Watcher { lines, head: head.to_ascii_lowercase() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| l.strip_prefix(&format!("{name}: ")))
    }

    /// What every answer has.
    #[track_caller]
    fn is_safe(&self) -> &Answer {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "deny"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(self.header(name), Some(value), "{self:?}");
        }
        let policy = self.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("'unsafe-eval'"), "{policy}");
        self
    }
}

/// One who watches a run.
struct Watcher {
    lines: BufReader<TcpStream>,
    head: String,
}

impl Watcher {
    /// The next message: its kind and what it says.
    fn next(&mut self) -> (String, Value) {
        let (mut kind, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the stream ended");
            if let Some(k) = line.strip_prefix("event: ") {
                kind = k.trim().to_string();
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return (kind, serde_json::from_str(data).unwrap());
            }
        }
    }

    /// The first message for which something holds.
    fn until(&mut self, what: &str, holds: impl Fn(&str, &Value) -> bool) -> Value {
        let begin = Instant::now();
        let mut seen = Vec::new();
        while begin.elapsed() < Duration::from_secs(20) {
            let (kind, message) = self.next();
            if holds(&kind, &message) {
                return message;
            }
            seen.push((kind, message));
        }
        panic!("{what} was not told: {seen:?}")
    }
}

/// The points of a curve in a message.
fn points(message: &Value, name: &str) -> Vec<(u64, Option<f64>)> {
    let all = message["curves"].as_array().unwrap();
    let curve = all.iter().find(|c| c["name"] == name);
    curve.map(|c| serde_json::from_value(c["points"].clone()).unwrap()).unwrap_or_default()
}

fn line(event: &Event) -> String {
    format!("{}\n", serde_json::to_string(event).unwrap())
}

fn started() -> String {
    let config = serde_json::json!({"data": {"path": "scenes"}});
    let model = "tiny bidet-sc".to_string();
    line(&Event::RunStarted(RunStarted { config, model, batch: 4, steps: 5000, ..Default::default() }))
}

fn step(step: u64, loss: f64) -> String {
    let losses = [("total".to_string(), loss)].into();
    line(&Event::Step(Step { step, of: 5000, losses, images_per_second: 8.0, ..Default::default() }))
}

fn run(folder: &Path, name: &str, log: &str) -> PathBuf {
    let run = folder.join(name);
    std::fs::create_dir_all(&run).unwrap();
    std::fs::write(run.join("config.toml"), "[train]\nsteps = 5000\n").unwrap();
    std::fs::write(run.join("log.jsonl"), log).unwrap();
    run
}

fn append(run: &Path, text: &str) {
    let mut log = std::fs::File::options().append(true).open(run.join("log.jsonl")).unwrap();
    log.write_all(text.as_bytes()).unwrap();
}

#[test]
fn pages_have_their_types_and_headers() {
    let dir = tempfile::tempdir().unwrap();
    let (runs, page) = (dir.path().join("runs"), dir.path().join("web"));
    let one = run(&runs, "one", &started());
    std::fs::write(one.join("report.html"), "<title>report</title>").unwrap();
    std::fs::write(one.join("latest.jpg"), "jpeg").unwrap();
    std::fs::write(one.join("best.safetensors"), "weights").unwrap();
    std::fs::create_dir_all(page.join("img")).unwrap();
    for (name, text) in [("index.html", "<title>detector</title>"), ("app.js", "1"), ("autobidet.wasm", "\0asm")] {
        std::fs::write(page.join(name), text).unwrap();
    }
    for name in ["style.css", "tiny.safetensors", "img/a.jpg", "notes.md", ".hidden.js"] {
        std::fs::write(page.join(name), "x").unwrap();
    }
    let server = Server::start(&["--folder", arg(&runs), "--page", arg(&page)]);
    assert!(server.said.contains("/runs/\n") && !server.said.contains("not built"), "{}", server.said);

    for (path, kind, text) in [
        ("/", "text/html; charset=utf-8", "<title>detector</title>"),
        ("/index.html", "text/html; charset=utf-8", "detector"),
        ("/app.js", "text/javascript; charset=utf-8", "1"),
        ("/autobidet.wasm", "application/wasm", "\0asm"),
        ("/style.css", "text/css; charset=utf-8", "x"),
        ("/tiny.safetensors", "application/octet-stream", "x"),
        ("/img/a.jpg", "image/jpeg", "x"),
        ("/runs/", "text/html; charset=utf-8", "/dashboard/runs.js"),
        ("/runs/one/", "text/html; charset=utf-8", "/dashboard/run.js"),
        // A run that may come.
        ("/runs/two/", "text/html; charset=utf-8", "/dashboard/run.js"),
        ("/dashboard/run.js", "text/javascript; charset=utf-8", "EventSource"),
        ("/dashboard/dashboard.css", "text/css; charset=utf-8", "prefers-color-scheme"),
        ("/api/runs", "application/json", "\"name\":\"one\""),
        ("/api/runs/one", "application/json", "latest.jpg"),
        ("/api/runs/one/files/report.html", "text/html; charset=utf-8", "<title>report"),
        ("/api/runs/one/files/latest.jpg", "image/jpeg", "jpeg"),
        ("/api/runs/one/files/config.toml", "text/plain; charset=utf-8", "steps = 5000"),
        ("/api/runs/one/files/log.jsonl", "text/plain; charset=utf-8", "run_started"),
    ] {
        let answer = server.get(path);
        assert!(answer.status == 200 && answer.body.contains(text), "{path}: {answer:?}");
        assert_eq!(answer.is_safe().header("content-type"), Some(kind), "{path}");
        let head = server.ask("HEAD", path, "");
        assert_eq!((head.status, &*head.body), (200, ""), "{path}");
        // The list has the time in it.
        if path != "/api/runs" {
            assert_eq!(head.is_safe().header("content-length"), answer.header("content-length"), "{path}");
        }
    }
    for path in
        ["/notes.md", "/.hidden.js", "/nothing.js", "/img", "/img/", "/runs/.one/", "/api/runs/two", "/dashboard/x"]
            .into_iter()
            .chain(["/api/runs/one/files/best.safetensors", "/api/runs/one/files/evaluation.json", "/api/runs/one/x"])
    {
        let answer = server.get(path);
        assert!(answer.status == 404 && answer.body.ends_with(".\n"), "{path}: {answer:?}");
        answer.is_safe();
    }
    // What each may do: the page runs WebAssembly, the dashboard nothing inline, a run's files nothing at all.
    let policy = |path: &str| server.get(path).header("content-security-policy").unwrap().to_string();
    assert!(policy("/").contains("'wasm-unsafe-eval'") && policy("/").contains("worker-src 'self' blob:"));
    assert!(!policy("/runs/one/").contains("unsafe") && policy("/runs/one/").contains("script-src 'self';"));
    let report = policy("/api/runs/one/files/report.html");
    assert!(report.contains("sandbox") && !report.contains("script-src"), "{report}");

    assert_eq!(server.get("/runs").header("location"), Some("/runs/"));
    assert_eq!(server.get("/runs/one").header("location"), Some("/runs/one/"));
    let tag = server.get("/app.js").header("etag").unwrap().to_string();
    let again = server.ask("GET", "/app.js", &format!("If-None-Match: \"x\", {tag}\r\n"));
    assert_eq!((again.status, &*again.body), (304, ""), "{again:?}");
    std::fs::write(page.join("app.js"), "changed").unwrap();
    assert_eq!(server.ask("GET", "/app.js", &format!("If-None-Match: {tag}\r\n")).body, "changed");
}

#[test]
fn nothing_leads_out_of_its_folders() {
    let dir = tempfile::tempdir().unwrap();
    let (runs, page) = (dir.path().join("runs"), dir.path().join("web"));
    let one = run(&runs, "one", &started());
    std::fs::create_dir_all(page.join("sub")).unwrap();
    std::fs::write(page.join("index.html"), "x").unwrap();
    for place in [dir.path(), &runs] {
        for name in ["secret.txt", "secret.html", "report.html", "log.jsonl", "config.toml"] {
            std::fs::write(place.join(name), "SECRET").unwrap();
        }
    }
    #[cfg(unix)]
    {
        let link = |to: &Path, at: PathBuf| std::os::unix::fs::symlink(to, at).unwrap();
        let secret = dir.path().join("secret.html");
        link(&secret, page.join("leak.html"));
        link(dir.path(), page.join("up"));
        link(&secret, one.join("report.html"));
        link(dir.path(), runs.join("out"));
        std::fs::remove_file(one.join("config.toml")).unwrap();
        // Who opens a pipe waits for its other end.
        let made = std::process::Command::new("mkfifo").arg(one.join("config.toml")).status().unwrap();
        assert!(made.success());
    }
    // `--folder runs` is refused where it is a run itself.
    std::fs::remove_file(runs.join("log.jsonl")).unwrap();
    std::fs::remove_file(runs.join("config.toml")).unwrap();
    let server = Server::start(&["--folder", arg(&runs), "--page", arg(&page)]);
    let full = dir.path().join("secret.txt");
    let absolute = [format!("/{}", arg(&full)), format!("/api/runs/one/files/{}", arg(&full))];
    let long = format!("/{}", "../".repeat(300));
    let attempts = [
        "/../secret.txt",
        "/sub/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%2fsecret.txt",
        "/..%5csecret.txt",
        "/%252e%252e/secret.txt",
        "/....//secret.txt",
        "//secret.txt",
        "/./secret.txt",
        "/secret.txt%00.html",
        "/%00",
        "/%ff%fe.html",
        "/leak.html",
        "/up/secret.html",
        "/runs/../secret.txt",
        "/runs/%2e%2e/",
        "/api/runs/..",
        "/api/runs/%2e%2e/files/report.html",
        "/api/runs/%2e%2e/events",
        "/api/runs/../runs/one/../../secret.txt",
        "/api/runs/out/files/report.html",
        "/api/runs/out",
        "/api/runs/one%2f..%2f../files/report.html",
        "/api/runs/one/files/..%2freport.html",
        "/api/runs/one/files/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/api/runs/one/files/report.html",
        "/api/runs/one/files/config.toml",
        "/api/runs/one/files/report.html%00",
        "/dashboard/..%2f..%2fsecret.txt",
        &absolute[0],
        &absolute[1],
        &long,
    ];
    for path in attempts {
        let answer = server.get(path);
        assert!([400, 404].contains(&answer.status), "{path}: {answer:?}");
        assert!(!answer.body.contains("SECRET"), "{path}: {answer:?}");
        answer.is_safe();
    }
    let list = server.json("/api/runs");
    assert_eq!(list["runs"].as_array().unwrap().len(), 1, "the link is no run of this folder: {list}");
}

#[test]
fn strangers_and_odd_requests_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&["--folder", arg(dir.path())]);
    let ask = |host: &str| server.raw(&format!("GET /api/runs HTTP/1.1\r\n{host}Connection: close\r\n\r\n"));
    for good in ["localhost", "LocalHost:1", "127.0.0.1", "127.0.0.1:9999", "[::1]:80"] {
        assert_eq!(ask(&format!("Host: {good}\r\n")).status, 200, "{good}");
    }
    for bad in ["evil.example", "evil.example:80", "localhost.evil.example", "192.168.0.1", "127.0.0.1.evil.example"] {
        let answer = ask(&format!("Host: {bad}\r\n"));
        assert!(answer.status == 421 && answer.body.contains("does not go by that name"), "{bad}: {answer:?}");
        answer.is_safe();
    }
    assert_eq!(ask("").is_safe().status, 400);
    assert_eq!(ask("Host: localhost\r\nHost: evil.example\r\n").status, 400);
    let proxy = server.raw("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(proxy.status, 421, "{proxy:?}");

    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE"] {
        let answer = server.ask(method, "/runs/", "");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("get, head")), "{method}: {answer:?}");
        answer.is_safe();
    }
    assert_eq!(server.ask("GET", "/runs/", "Content-Length: 5\r\n\r\nhello").status, 413);
    assert_eq!(server.ask("GET", &format!("/{}", "a".repeat(2000)), "").is_safe().status, 414);
    let flood = format!("X: {}\r\n", "x".repeat(60_000));
    assert!([0, 431].contains(&server.ask("GET", "/runs/", &flood).status));
    assert_eq!(server.raw("nonsense\r\n\r\n").status, 400);
    // A page of another site can neither read nor use up streams; its links work.
    let from = |site: &str, path| server.ask("GET", path, &format!("Sec-Fetch-Site: {site}\r\n")).status;
    assert_eq!((from("cross-site", "/api/runs"), from("same-site", "/api/runs/x/events")), (403, 403));
    assert_eq!((from("same-origin", "/api/runs"), from("cross-site", "/runs/")), (200, 200));
}

#[test]
fn a_stream_follows_a_run_through_everything() {
    let dir = tempfile::tempdir().unwrap();
    let early: String = (1..=3000).map(|s| step(s, if s == 1234 { 99.0 } else { 2.0 })).collect();
    let one = run(dir.path(), "one", &[started(), early].concat());
    let server = Server::start(&["--folder", arg(dir.path())]);
    let mut watcher = server.watch("one");
    assert!(watcher.head.contains("200 ok") && watcher.head.contains("text/event-stream"), "{}", watcher.head);
    let (kind, all) = watcher.next();
    assert_eq!((&*kind, &all["status"]["state"]), ("history", &"running".into()));
    assert_eq!((&all["status"]["step"], &all["status"]["of"]), (&3000.into(), &5000.into()));
    // 2000 steps at 8 images a second, 4 a step.
    assert_eq!(all["status"]["left"], 1000.0);
    let total = points(&all, "total");
    assert!(total.len() <= 2000 && total.contains(&(1234, Some(99.0))), "{} points", total.len());
    assert_eq!(total.last(), Some(&(3000, Some(2.0))));

    // A line comes when it is whole, and a number that is not finite is a gap.
    let next = step(3001, f64::NAN);
    append(&one, &next[..40]);
    std::thread::sleep(Duration::from_millis(900));
    append(&one, &next[40..]);
    let (kind, more) = watcher.next();
    assert_eq!((&*kind, points(&more, "total")), ("more", vec![(3001, None)]), "{more}");
    append(&one, "no event\n");
    append(&one, &line(&Event::Warning { message: "odd </script>".into() }));
    let more = watcher.until("the warning", |_, m| m["messages"].is_array());
    assert_eq!(more["messages"][0]["text"], "odd </script>");
    assert_eq!((&more["status"]["unreadable"], &more["status"]["first_unreadable"]), (&1.into(), &3003.into()));

    // A picture appears; an evaluation is told.
    std::fs::write(one.join("latest.jpg"), "jpeg").unwrap();
    let map = |step, map| line(&Event::Evaluated(Evaluated { step, map, ..Default::default() }));
    append(&one, &[map(3001, 0.5), map(3002, 0.25)].concat());
    watcher.until("the picture", |_, m| {
        m["files"].as_array().is_some_and(|f| f.iter().any(|f| f["name"] == "latest.jpg"))
    });
    // Whoever comes now is told the same, whatever came first.
    let (_, now) = server.watch("one").next();
    assert_eq!((&now["status"]["map"], &now["status"]["best"]), (&0.25.into(), &serde_json::json!([3001, 0.5])));

    // Resumed: cut, and on from there, perhaps over the old length before anyone looks.
    let kept = [started(), step(1, 7.0), step(2, 7.0)].concat();
    let again = line(&Event::RunStarted(RunStarted { resumed_at: Some(2), steps: 5000, ..Default::default() }));
    std::fs::write(one.join("log.jsonl"), [kept, again, step(3, 6.0)].concat()).unwrap();
    let all = watcher.until("the cut", |kind, m| kind == "history" && m["status"]["step"] == 3);
    assert_eq!(points(&all, "total"), [(1, Some(7.0)), (2, Some(7.0)), (3, Some(6.0))]);
    assert_eq!((&all["status"]["resumed"], &all["status"]["unreadable"]), (&1.into(), &0.into()));

    let end = RunFinished { step: 3, stopped: Some("interrupted".into()), ..Default::default() };
    append(&one, &line(&Event::RunFinished(end)));
    let more = watcher.until("the end", |_, m| m["status"]["state"] == "stopped");
    assert_eq!(more["status"]["stopped"], "interrupted");

    // Removed, and another of the same name.
    std::fs::remove_dir_all(&one).unwrap();
    let gone = watcher.until("the end of the folder", |_, m| m["status"]["state"] == "missing");
    assert_eq!(points(&gone, "total"), []);
    run(dir.path(), "one", &[started(), step(1, 1.0)].concat());
    let back = watcher.until("the new run", |_, m| m["status"]["step"] == 1);
    assert_eq!(points(&back, "total"), [(1, Some(1.0))]);
}

#[test]
fn many_watch_one_run_and_no_more_than_may() {
    let dir = tempfile::tempdir().unwrap();
    let one = run(dir.path(), "one", &[started(), step(1, 1.0)].concat());
    let server = Server::start(&[arg(&one), "--watchers", "40"]);
    assert!(server.said.contains("/runs/one/\n"), "{}", server.said);
    let mut watchers: Vec<Watcher> = (0..40).map(|_| server.watch("one")).collect();
    for w in &mut watchers {
        assert_eq!(w.next().1["status"]["step"], 1);
    }
    let refused = server.get("/api/runs/one/events");
    assert!(refused.status == 503 && refused.body.contains("from 40 pages at a time"), "{refused:?}");
    assert!(refused.is_safe().header("retry-after").is_some());
    // Pages are given all the same.
    assert_eq!(server.get("/runs/one/").status, 200);
    append(&one, &step(2, 0.5));
    for w in &mut watchers {
        let more = w.until("the step", |_, m| m["status"]["step"] == 2);
        assert_eq!(points(&more, "total"), [(2, Some(0.5))]);
    }
    // Who leaves makes room.
    watchers.truncate(30);
    let begin = Instant::now();
    while server.watch("one").head.contains("503") {
        assert!(begin.elapsed() < Duration::from_secs(10), "no room was made");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn runs_without_a_log_or_with_a_broken_one_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("later");
    // From a folder without a built page.
    let server = Server::start_in(dir.path(), &["--folder", arg(&empty)]);
    assert!(server.said.contains("bash assets/web/build"), "{}", server.said);
    assert!(server.get("/").body.contains("The detector page is not built yet"));
    let list = server.json("/api/runs");
    assert_eq!((&list["runs"], &list["more"]), (&serde_json::json!([]), &0.into()));
    // One may look before there is anything.
    let mut watcher = server.watch("broken");
    assert_eq!(watcher.next().1["status"]["state"], "missing");

    let finished = RunFinished { step: 5000, map: Some(0.75), ..Default::default() };
    let middle: String = (1..=4000).map(|s| step(s, 1.0)).collect();
    run(&empty, "whole", &[started(), middle, line(&Event::RunFinished(finished))].concat());
    let map = line(&Event::Evaluated(Evaluated { step: 1, map: 0.125, ..Default::default() }));
    let steps: String = (2..=2000).map(|s| step(s, 1.0)).collect();
    run(&empty, "going", &[started(), map, steps].concat());
    run(&empty, "broken", "{\"type\":\n\u{0}\u{0}\n[1,2]\n");
    run(&empty, "fresh", "");
    let bare = run(&empty, "bare", "");
    std::fs::remove_file(bare.join("log.jsonl")).unwrap();
    std::fs::write(bare.join("config.toml"), "= nonsense").unwrap();
    std::fs::create_dir(empty.join("no run")).unwrap();
    let list = server.json("/api/runs");
    let of = |name: &str| list["runs"].as_array().unwrap().iter().find(|r| r["name"] == name).unwrap().clone();
    assert_eq!(list["runs"].as_array().unwrap().len(), 5, "{list}");
    let going = of("going");
    assert_eq!((&going["state"], &going["step"], &going["map"]), (&"running".into(), &2000.into(), &0.125.into()));
    let whole = of("whole");
    assert_eq!((&whole["state"], &whole["step"], &whole["of"]), (&"finished".into(), &5000.into(), &5000.into()));
    assert_eq!((&whole["map"], &whole["model"]), (&0.75.into(), &"tiny bidet-sc".into()));
    assert_eq!(of("broken")["problem"], "its log holds no training events");
    for name in ["fresh", "bare"] {
        assert_eq!((&of(name)["state"], &of(name)["problem"]), (&"waiting".into(), &Value::Null), "{name}");
    }
    let told = watcher.until("the broken log", |_, m| m["status"]["unreadable"] == 3);
    assert_eq!((&told["status"]["state"], points(&told, "total")), (&"waiting".into(), vec![]));
    assert_eq!(server.json("/api/runs/bare")["files"][0]["name"], "config.toml");
}

#[test]
fn what_cannot_be_served_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (file, other, one) = (dir.path().join("file"), dir.path().join("other"), run(dir.path(), "one", ""));
    std::fs::write(&file, "x").unwrap();
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("x"), "x").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    fails(&["serve", "--port", &port], 2, &["--port: ", &port, "is taken", "--port 0"]);
    fails(&["serve", "--folder", arg(&file)], 2, &["--folder: ", "is a file, expected a folder of runs"]);
    fails(&["serve", "--folder", arg(&one)], 2, &["--folder: ", "is a run itself", "without --folder"]);
    fails(&["serve", arg(&file)], 2, &["is a file, not the folder of a run"]);
    fails(&["serve", arg(&other)], 2, &["is not a run: it has no config.toml", "--folder"]);
    fails(&["serve", "--page", arg(&other)], 2, &["--page: ", "has no index.html", "assets/web/build"]);
    fails(&["serve", "--host", "no such host"], 2, &["--host: ", "is no address", "127.0.0.1"]);
    fails(&["serve", "--host", "192.0.2.1", "--port", "0"], 2, &["--host: ", "no address of this machine"]);
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_it_although_someone_watches() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(&["--folder", arg(dir.path())]);
    let mut watcher = server.watch("one");
    watcher.next();
    let kill = std::process::Command::new("kill").args(["-INT", &server.child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let begin = Instant::now();
    let code = loop {
        match server.child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None if begin.elapsed() > Duration::from_secs(10) => panic!("it goes on"),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert_eq!(code, Some(0));
}
