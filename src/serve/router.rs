//! Which address gives what.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use super::files::{facts, of_page, of_run};
use super::guard::{Hosts, guard, refuse};
use super::live::Live;
use super::runs::{Runs, glance};

/// The dashboard's own files: they are in the program.
const OWN: [(&str, &str, &str); 5] = [
    ("icon.svg", "image/svg+xml", include_str!("../../assets/dashboard/icon.svg")),
    ("dashboard.css", "text/css; charset=utf-8", include_str!("../../assets/dashboard/dashboard.css")),
    ("chart.js", "text/javascript; charset=utf-8", include_str!("../../assets/dashboard/chart.js")),
    ("run.js", "text/javascript; charset=utf-8", include_str!("../../assets/dashboard/run.js")),
    ("runs.js", "text/javascript; charset=utf-8", include_str!("../../assets/dashboard/runs.js")),
];
const RUNS: &str = include_str!("../../assets/dashboard/runs.html");
const RUN: &str = include_str!("../../assets/dashboard/run.html");
const NO_PAGE: &str = include_str!("../../assets/dashboard/no-page.html");

const NO_RUN: &str = "There is no run of that name. /runs/ lists those that there are.";

/// What every answer may need.
#[derive(Clone)]
pub(super) struct Site {
    pub runs: Arc<Runs>,
    pub live: Arc<Live>,
    /// The detector page's folder. It is looked at with every request: the page may be built while this runs.
    pub page: PathBuf,
}

/// All addresses behind the guard.
pub(super) fn router(site: Site, hosts: Arc<Hosts>) -> Router {
    Router::new()
        .route("/", get(start))
        .route("/{*path}", get(page))
        .route("/dashboard/{file}", get(own))
        .route("/runs", get(with_slash))
        .route("/runs/", get(async || html(RUNS)))
        .route("/runs/{name}", get(with_slash))
        .route("/runs/{name}/", get(dashboard))
        .route("/api/runs", get(list))
        .route("/api/runs/{name}", get(summary))
        .route("/api/runs/{name}/events", get(events))
        .route("/api/runs/{name}/files/{file}", get(file))
        .with_state(site)
        .layer(middleware::from_fn_with_state(hosts, guard))
}

fn text(kind: &'static str, text: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")];
    (headers, text).into_response()
}

fn html(page: &'static str) -> Response {
    text("text/html; charset=utf-8", page)
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(e) => refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("This cannot be written as JSON: {e}.")),
    }
}

/// Pages name what they need relative to a folder.
async fn with_slash(uri: Uri) -> Response {
    let to = HeaderValue::try_from(format!("{}/", uri.path()));
    match to {
        Ok(to) => (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, to)]).into_response(),
        Err(_) => refuse(StatusCode::NOT_FOUND, NO_RUN),
    }
}

async fn start(State(site): State<Site>, asked: HeaderMap) -> Response {
    let answer = of_page(site.page, "index.html", &asked).await;
    if answer.status() == StatusCode::NOT_FOUND { html(NO_PAGE) } else { answer }
}

async fn page(State(site): State<Site>, Path(path): Path<String>, asked: HeaderMap) -> Response {
    of_page(site.page, &path, &asked).await
}

async fn own(Path(name): Path<String>) -> Response {
    match OWN.iter().find(|(own, ..)| *own == name) {
        Some((_, kind, content)) => text(kind, content),
        None => refuse(StatusCode::NOT_FOUND, "The dashboard has no file of that name."),
    }
}

/// A run that may come has its page, too: one may look before training begins.
async fn dashboard(State(site): State<Site>, Path(name): Path<String>) -> Response {
    if site.runs.may_have(&name) { html(RUN) } else { refuse(StatusCode::NOT_FOUND, NO_RUN) }
}

async fn list(State(site): State<Site>) -> Response {
    match tokio::task::spawn_blocking(move || site.runs.list()).await {
        Ok(list) => json(&list),
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "The runs could not be listed."),
    }
}

async fn summary(State(site): State<Site>, Path(name): Path<String>) -> Response {
    let read = move || {
        let folder = site.runs.find(&name)?;
        let files = facts(&folder);
        Some(serde_json::json!({ "run": glance(name, Some(&folder)), "files": files }))
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(Some(summary)) => json(&summary),
        _ => refuse(StatusCode::NOT_FOUND, NO_RUN),
    }
}

async fn events(State(site): State<Site>, Path(name): Path<String>) -> Response {
    site.live.stream(&name)
}

async fn file(State(site): State<Site>, Path((name, file)): Path<(String, String)>, asked: HeaderMap) -> Response {
    let find = move || site.runs.find(&name);
    match tokio::task::spawn_blocking(find).await {
        Ok(Some(folder)) => of_run(folder, &file, &asked).await,
        _ => refuse(StatusCode::NOT_FOUND, NO_RUN),
    }
}
