//! What holds for every request and every answer: which names this server goes by, which methods there are, how large a
//! request may be, and the headers that keep pages apart.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Longest address that is read.
const ADDRESS: usize = 1024;

/// What an answer may do in a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// The dashboard: its own files, and nothing inline.
    Dashboard,
    /// The detector page: WebAssembly, workers, pictures and films that the user gives it.
    Page,
    /// A file of a run. A report has its style and pictures inside; it may run nothing and send nothing.
    RunFile,
}

impl Policy {
    fn text(self) -> &'static str {
        match self {
            Policy::Dashboard => {
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                 base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            }
            Policy::Page => {
                "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self'; \
                 img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self'; manifest-src 'self'; \
                 connect-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            }
            Policy::RunFile => {
                "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; \
                 frame-ancestors 'none'; sandbox"
            }
        }
    }

    /// Puts it into an answer's headers.
    pub fn set(self, headers: &mut HeaderMap) {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(self.text()));
    }
}

/// An answer that says why there is no other.
pub(super) fn refuse(status: StatusCode, sentence: impl Into<String>) -> Response {
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))];
    (status, kind, format!("{}\n", sentence.into())).into_response()
}

/// The names that this server goes by. A page of another site can point a name of its own at this machine ("DNS
/// rebinding"), and would then be let in as if it were ours; so other names are refused.
#[derive(Debug)]
pub(super) struct Hosts {
    names: Vec<String>,
    /// It listens on every address of this machine. An address as a name cannot be pointed elsewhere, so all are good.
    any_address: bool,
}

impl Hosts {
    /// For a server at `address` that was asked to listen on `host`.
    pub fn new(address: SocketAddr, host: &str) -> Hosts {
        let ip = address.ip();
        let mut names = vec![bare(host), ip.to_string()];
        if ip.is_loopback() || ip.is_unspecified() {
            names.extend(["localhost", "127.0.0.1", "::1"].map(String::from));
        }
        Hosts { names, any_address: ip.is_unspecified() }
    }

    /// Whether a request with this `Host` is for this server. Any port is good: a tunnel has another.
    fn has(&self, host: &str) -> bool {
        let (name, port) = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
            Some((name, "")) => (name, None),
            Some((name, rest)) => (name, Some(rest.strip_prefix(':').unwrap_or("?"))),
            None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
        };
        let name = bare(name);
        port.is_none_or(|p| p.parse::<u16>().is_ok())
            && (self.names.contains(&name) || (self.any_address && name.parse::<IpAddr>().is_ok()))
    }
}

fn bare(name: &str) -> String {
    name.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

/// Lets a request through, or says why not; then adds the headers that every answer has.
pub(super) async fn guard(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let mut answer = match check(&hosts, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => *refusal,
    };
    let headers = answer.headers_mut();
    let always = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        Policy::Dashboard.set(headers);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    answer
}

fn check(hosts: &Hosts, request: &Request) -> Result<(), Box<Response>> {
    let no = |status, sentence: &str| Err(Box::new(refuse(status, sentence)));
    let (headers, uri) = (request.headers(), request.uri());
    let mut named = headers.get_all(header::HOST).iter();
    let host = match (named.next(), named.next()) {
        (Some(one), None) => one.to_str().unwrap_or_default(),
        (None, _) => return no(StatusCode::BAD_REQUEST, "The request names no host."),
        _ => return no(StatusCode::BAD_REQUEST, "The request names several hosts."),
    };
    if !hosts.has(host) || uri.authority().is_some_and(|a| !hosts.has(a.as_str())) {
        let sentence = "This server does not go by that name. Use the address that it printed when it began, or start it \
                        with --host and the name.";
        return no(StatusCode::MISDIRECTED_REQUEST, sentence);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = refuse(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD: nothing can be changed here.");
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Err(Box::new(answer));
    }
    let body = headers.get(header::CONTENT_LENGTH).is_some_and(|l| l.as_bytes() != b"0");
    if body || headers.contains_key(header::TRANSFER_ENCODING) {
        return no(StatusCode::PAYLOAD_TOO_LARGE, "A request to this server has no body.");
    }
    if uri.path_and_query().is_some_and(|p| p.as_str().len() > ADDRESS) {
        return no(StatusCode::URI_TOO_LONG, "The address is longer than any that there is here.");
    }
    // A page of another site cannot read these answers, but could use up the connections.
    let from = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if uri.path().starts_with("/api/") && from.is_some_and(|f| f != b"same-origin" && f != b"none") {
        return no(StatusCode::FORBIDDEN, "Only this server's own pages may ask for this.");
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_names_are_let_in() {
        let local = Hosts::new("127.0.0.1:80".parse().unwrap(), "127.0.0.1");
        for good in ["localhost", "LOCALHOST:8080", "127.0.0.1:9", "[::1]", "[::1]:80", "localhost."] {
            assert!(local.has(good), "{good}");
        }
        for bad in
            ["", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "localhost:x", "10.0.0.1", "[::1]x"]
        {
            assert!(!local.has(bad), "{bad}");
        }
        let open = Hosts::new("0.0.0.0:80".parse().unwrap(), "0.0.0.0");
        assert!(open.has("192.168.1.7:80") && open.has("[fe80::1]:80") && !open.has("evil.example"));
        let named = Hosts::new("10.0.0.1:80".parse().unwrap(), "Box.lan");
        assert!(named.has("box.lan:80") && named.has("10.0.0.1") && !named.has("localhost"));
    }
}
