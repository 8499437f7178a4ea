//! A run as a stream: one follower a run reads its folder, and all who look are told the same.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::files::{Fact, facts};
use super::guard::refuse;
use super::history::{Curve, History, Message, State, Status};
use super::runs::{Runs, modified, open_log, seconds};
use super::tail::{Change, Line, Tail};

/// How often a run's folder is looked at.
const EVERY: Duration = Duration::from_millis(400);
/// Looks without anyone to tell before a follower ends: a page that is loaded again finds it still there.
const LINGER: u32 = 10;
/// A comment that keeps proxies from closing a connection without news.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Messages that may wait for a slow client; one that is further behind gets the whole anew.
const WAITING: usize = 32;

/// All runs that someone looks at.
pub(super) struct Live {
    runs: Arc<Runs>,
    followed: Mutex<HashMap<String, Arc<Followed>>>,
    clients: Arc<Semaphore>,
    most: usize,
}

/// A run that is followed.
struct Followed {
    reader: Mutex<Reader>,
    told: broadcast::Sender<Told>,
}

/// A message: its kind and its JSON.
type Told = (&'static str, Arc<str>);

/// What was read of a run so far.
struct Reader {
    runs: Arc<Runs>,
    name: String,
    tail: Tail,
    history: History,
    files: Vec<Fact>,
    /// The folder was looked at once.
    begun: bool,
    /// The whole as JSON, until something comes.
    whole: Option<Arc<str>>,
}

/// The whole of a run.
#[derive(Serialize)]
struct Whole<'a> {
    name: &'a str,
    /// When its log was last written.
    modified: f64,
    status: &'a Status,
    messages: &'a [Message],
    files: &'a [Fact],
    curves: Vec<Curve>,
}

/// What came since.
#[derive(Serialize)]
struct More<'a> {
    now: f64,
    modified: f64,
    status: &'a Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<&'a [Message]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<&'a [Fact]>,
    curves: Vec<Curve>,
}

fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic would leave is a history that lacks some points, not one that is unsound.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// Streams for up to `most` clients at once.
    pub fn new(runs: Arc<Runs>, most: usize) -> Live {
        Live { runs, followed: Mutex::default(), clients: Arc::new(Semaphore::new(most)), most }
    }

    /// A run's stream: `history` with everything so far, then `more` as it comes, and `history` again where what was told
    /// does not hold any more.
    pub fn stream(self: Arc<Self>, name: &str) -> Response {
        if !self.runs.may_have(name) {
            return refuse(StatusCode::NOT_FOUND, "There is no run of that name. /runs/ lists those that there are.");
        }
        let Ok(place) = self.clients.clone().try_acquire_owned() else {
            let most = self.most;
            let sentence = format!("Runs may be watched from {most} pages at a time here. Close one, then try again.");
            let mut answer = refuse(StatusCode::SERVICE_UNAVAILABLE, sentence);
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            return answer;
        };
        let client = Client { run: self.join(name), from: None, _place: place };
        Sse::new(stream::unfold(client, Client::next)).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response()
    }

    /// The run's follower; there is one from now on.
    fn join(self: Arc<Self>, name: &str) -> Arc<Followed> {
        let mut followed = held(&self.followed);
        if let Some(run) = followed.get(name) {
            return run.clone();
        }
        let reader = Reader {
            runs: self.runs.clone(),
            name: name.to_string(),
            tail: Tail::default(),
            history: History::default(),
            files: Vec::new(),
            begun: false,
            whole: None,
        };
        let run = Arc::new(Followed { reader: Mutex::new(reader), told: broadcast::channel(WAITING).0 });
        followed.insert(name.to_string(), run.clone());
        tokio::spawn(self.clone().follow(name.to_string(), run.clone()));
        run
    }

    /// Looks at a run's folder again and again, while anyone looks at the run.
    async fn follow(self: Arc<Self>, name: String, run: Arc<Followed>) {
        let mut alone = 0;
        loop {
            let this = run.clone();
            // It fails only where it panicked, which was told, or where the program ends.
            let _ = tokio::task::spawn_blocking(move || this.look()).await;
            tokio::time::sleep(EVERY).await;
            // The map and this task; everyone else is a client.
            alone = if Arc::strong_count(&run) > 2 { 0 } else { alone + 1 };
            if alone >= LINGER {
                let mut followed = held(&self.followed);
                // Under the lock nobody joins, so what is counted holds.
                if Arc::strong_count(&run) <= 2 {
                    followed.remove(&name);
                    return;
                }
            }
        }
    }
}

impl Followed {
    /// Reads what came, and tells it.
    fn look(&self) {
        let mut reader = held(&self.reader);
        if let Some(told) = reader.look() {
            // Without a client there is nobody to tell.
            let _ = self.told.send(told);
        }
    }

    /// Everything so far, and all that comes after.
    fn catch_up(&self) -> (String, broadcast::Receiver<Told>) {
        let mut reader = held(&self.reader);
        if !reader.begun
            && let Some(told) = reader.look()
        {
            let _ = self.told.send(told);
        }
        (reader.timed_whole(), self.told.subscribe())
    }
}

impl Reader {
    /// Reads what came. The value is what to tell of it.
    fn look(&mut self) -> Option<Told> {
        let folder = self.runs.find(&self.name);
        let before = (self.history.status.state, self.begun);
        let change = self.read(folder.as_ref());
        let files = folder.as_ref().map(|f| facts(f)).unwrap_or_default();
        let new_files = files != self.files;
        self.files = files;
        self.begun = true;
        let changed = change != Change::None || new_files || before != (self.history.status.state, true);
        if !changed {
            return None;
        }
        self.whole = None;
        if change == Change::Anew || self.history.rewritten || !before.1 {
            let whole = self.timed_whole().into();
            self.history.all_is_told();
            return Some(("history", whole));
        }
        let modified = folder.as_ref().map_or(0.0, |f| modified(f));
        let curves = self.history.fresh();
        let fresh = self.history.fresh_messages().map(<[Message]>::to_vec);
        let more = More {
            now: seconds(SystemTime::now()),
            modified,
            status: &self.history.status,
            messages: fresh.as_deref(),
            files: new_files.then_some(&self.files[..]),
            curves,
        };
        Some(("more", serde_json::to_string(&more).unwrap_or_default().into()))
    }

    fn read(&mut self, folder: Option<&PathBuf>) -> Change {
        let log = folder.and_then(|f| open_log(f));
        let Some(log) = log else {
            let was = self.history.status.state;
            let now = if folder.is_some() { State::Waiting } else { State::Missing };
            if was == now {
                return Change::None;
            }
            (self.tail, self.history) = (Tail::default(), History::default());
            self.history.status.state = now;
            return Change::Anew;
        };
        let history = &mut self.history;
        if history.status.state == State::Missing {
            history.status.state = State::Waiting;
        }
        let read = self.tail.read(log, |line| match line {
            Line::Anew => {
                *history = History::default();
                history.status.state = State::Waiting;
            }
            Line::Event(event) => history.take(*event),
            Line::Unreadable(n) => {
                history.status.unreadable += 1;
                history.status.first_unreadable.get_or_insert(n);
            }
        });
        // A file that cannot be read in this instant is looked at again in the next.
        read.unwrap_or(Change::None)
    }

    /// The whole as JSON, with the time at which it is sent.
    fn timed_whole(&mut self) -> String {
        let whole = match &self.whole {
            Some(whole) => whole.clone(),
            None => {
                let curves = self.history.whole();
                let whole = Whole {
                    name: &self.name,
                    modified: self.runs.find(&self.name).map_or(0.0, |f| modified(&f)),
                    status: &self.history.status,
                    messages: self.history.messages(),
                    files: &self.files,
                    curves,
                };
                let text: Arc<str> = serde_json::to_string(&whole).unwrap_or_default().into();
                self.whole.insert(text).clone()
            }
        };
        format!("{{\"now\":{},{}", seconds(SystemTime::now()), whole.strip_prefix('{').unwrap_or("}"))
    }
}

/// One who looks at a run.
struct Client {
    run: Arc<Followed>,
    /// Where its messages come from, once it has the whole.
    from: Option<broadcast::Receiver<Told>>,
    _place: OwnedSemaphorePermit,
}

impl Client {
    async fn next(mut self) -> Option<(Result<sse::Event, Infallible>, Client)> {
        loop {
            let Some(from) = &mut self.from else {
                let run = self.run.clone();
                let (whole, from) = tokio::task::spawn_blocking(move || run.catch_up()).await.ok()?;
                self.from = Some(from);
                let event = sse::Event::default().event("history").retry(Duration::from_secs(2)).data(whole);
                return Some((Ok(event), self));
            };
            match from.recv().await {
                Ok((kind, data)) => return Some((Ok(sse::Event::default().event(kind).data(&data)), self)),
                // Too slow: what was missed is in the whole.
                Err(RecvError::Lagged(_)) => self.from = None,
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
