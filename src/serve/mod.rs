//! The detector page and live dashboards of runs, over HTTP.
//!
//! A dashboard shows a run by reading its folder: `train` knows nothing of it, and runs of any machine whose folders are
//! here can be looked at. Nothing can be changed through it. docs/serve.md has the addresses and what keeps strangers out.
//!
//! - `router`: which address gives what; `guard`: what holds for every request and answer.
//! - `files`: what is given out of folders; `runs`: which runs there are.
//! - `live`: streams; `tail` follows a log, `history` and `thinned` keep what it says in bounded memory.

mod files;
mod guard;
mod history;
mod live;
mod router;
mod runs;
mod tail;
mod thinned;

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::{Error, Result};
use guard::Hosts;
use live::Live;
use router::Site;
use runs::Runs;

/// Connections at a time; more wait.
const CONNECTIONS: usize = 256;
/// How long a client may take for a request's head, and be silent between two.
const HEAD: Duration = Duration::from_secs(15);
/// What a request's head may have.
const HEAD_BYTES: usize = 16 << 10;

/// What is served, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folders of runs; they may come later.
    pub runs: Vec<PathBuf>,
    /// A folder that holds runs; it may come later, too.
    pub folder: Option<PathBuf>,
    /// The detector page's folder.
    pub page: PathBuf,
    /// The address to listen on, or a name of it.
    pub host: String,
    /// The port; 0 for any that is free.
    pub port: u16,
    /// How many may watch runs at once.
    pub watchers: usize,
}

/// Where a server listens.
#[derive(Debug, Clone)]
pub struct Listening {
    /// The address of its first page, with a slash at the end.
    pub url: String,
    /// The address of its dashboard: of the one run, or of their list.
    pub dashboard: String,
    /// Whether others than this machine can reach it.
    pub open: bool,
    /// Whether the detector page is there.
    pub page: bool,
}

/// Serves until Ctrl-C. `ready` is told once it listens.
///
/// # Errors
/// What is given as a run or folder and is none; an address that cannot be listened on.
pub fn serve(options: &Options, ready: impl FnOnce(&Listening)) -> Result<()> {
    let runs = Arc::new(Runs::new(&options.runs, options.folder.as_deref())?);
    let addresses = resolve(&options.host, options.port)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Error::io("start", "the threads of the server", e))?;
    let result = runtime.block_on(async {
        let listener = TcpListener::bind(&addresses[..]).await.map_err(|e| cannot_listen(options, &e))?;
        let at = listener.local_addr().map_err(|e| cannot_listen(options, &e))?;
        let hosts = Arc::new(Hosts::new(at, &options.host));
        let url = format!("http://{}/", SocketAddr::new(reachable(at.ip()), at.port()));
        let live = Arc::new(Live::new(runs.clone(), options.watchers));
        let page = options.page.clone();
        let dashboard = match runs.only() {
            Some(name) => format!("{url}runs/{}/", escaped(name)),
            None => format!("{url}runs/"),
        };
        let app = router::router(Site { runs, live, page: page.clone() }, hosts);
        let page = page.join("index.html").is_file();
        ready(&Listening { url, dashboard, open: !at.ip().is_loopback(), page });
        tokio::select! {
            () = accept(&listener, app) => Ok(()),
            stopped = tokio::signal::ctrl_c() => stopped.map_err(|e| Error::io("catch", "Ctrl-C", e)),
        }
    });
    // Streams have no end of their own.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

/// Takes connections, for ever.
async fn accept(listener: &TcpListener, app: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                // A client that went away at once, or no more file descriptors: later there may be some.
                tracing::debug!("a connection failed: {e}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Events are small and should not wait for more.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(app.clone());
        tokio::spawn(async move {
            let _place = place;
            let mut protocol = http1::Builder::new();
            protocol.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
            // A client that breaks off is none of our business.
            let _ = protocol.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let wrong = |problem: String| {
        let remedy =
            "Give an address or a name of this machine: 127.0.0.1 for this machine alone, 0.0.0.0 for everyone.";
        Error::config("--host", problem, remedy)
    };
    match (bare, port).to_socket_addrs() {
        Ok(found) => match found.collect::<Vec<_>>() {
            none if none.is_empty() => Err(wrong(format!("{host:?} has no address"))),
            some => Ok(some),
        },
        Err(e) => Err(wrong(format!("{host:?} is no address and no name that is known here ({e})"))),
    }
}

fn cannot_listen(options: &Options, e: &std::io::Error) -> Error {
    use std::io::ErrorKind as K;
    let Options { host, port, .. } = options;
    match e.kind() {
        K::AddrInUse => Error::config(
            "--port",
            format!("{port} on {host} is taken by another program, or by another `autobidet serve`"),
            "Give another one, or --port 0 for any that is free.",
        ),
        K::PermissionDenied => Error::config(
            "--port",
            format!("{port} on {host} is not for every user"),
            "Give one from 1024 on, or --port 0 for any that is free.",
        ),
        K::AddrNotAvailable => Error::config(
            "--host",
            format!("{host} is no address of this machine"),
            "Give one of its own: 127.0.0.1 for this machine alone, 0.0.0.0 for all of them.",
        ),
        _ => Error::config("--host", format!("{host}:{port} cannot be listened on ({e})"), "Give another address."),
    }
}

/// The address to type for one that is listened on.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(v6) if v6.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

/// A name as a part of an address.
fn escaped(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
