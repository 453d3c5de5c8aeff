//! The control side of sync: hands the newest snapshot to the proxy and takes its reports.
//!
//! A request is answered at once where the proxy runs something else than the newest snapshot, else when a
//! newer one is there, else with 204 after the time it asked for. The snapshot is serialised once per
//! generation, whoever asks.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use igw_crds::sync::{Envelope, Hint, SYNC_PATH, SyncRequest};
use tokio::net::UnixListener;
use tokio::sync::watch;

use super::http::{Caller, Door, answer, serve};

/// A snapshot ready to be sent.
pub struct Sealed {
    /// Term of this control side.
    pub epoch: u64,
    /// Number of the snapshot in its epoch.
    pub generation: u64,
    /// Checksum of the snapshot.
    pub checksum: String,
    /// The envelope as JSON, private keys included: for proxies alone.
    pub bytes: Bytes,
    /// The same without private keys, to be stored.
    pub stored: Bytes,
}

/// The newest snapshot for some proxy.
pub type Newest = watch::Receiver<Option<Arc<Sealed>>>;

/// The newest hints for some proxy: those who ask at the moment get them.
pub type Hints = watch::Receiver<Vec<Hint>>;

/// Who decides what a proxy gets, and hears how it fares.
pub trait Board: Send + Sync + 'static {
    /// The snapshots for the proxy that asks.
    ///
    /// # Errors
    /// Says why it gets none.
    fn newest(&self, asked: &SyncRequest, caller: &Caller) -> Result<Newest, String>;

    /// The hints for the proxy that asks, if there ever are any.
    fn hints(&self, _asked: &SyncRequest) -> Option<Hints> {
        None
    }

    /// Takes the report of a proxy that gets snapshots.
    fn report(&self, asked: SyncRequest);
}

/// The server, one for all connections.
#[derive(Clone)]
pub struct SyncServer {
    board: Arc<dyn Board>,
}

// === impl Sealed ===

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("epoch", &self.epoch)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Sealed {
    /// Serialises an envelope.
    ///
    /// # Errors
    /// The encoder's; none is known.
    pub fn new(envelope: &Envelope, keys: BTreeMap<String, String>) -> Result<Self, serde_json::Error> {
        let encoded = |envelope: &Envelope| {
            let mut text = Vec::with_capacity(envelope.snapshot.get().len() + AROUND_SNAPSHOT);
            serde_json::to_writer(&mut text, envelope).map(|()| Bytes::from(text))
        };
        let stored = encoded(envelope)?;
        let bytes = match keys.is_empty() {
            true => stored.clone(),
            false => encoded(&Envelope { keys, ..envelope.clone() })?,
        };
        Ok(Self {
            epoch: envelope.epoch,
            generation: envelope.generation,
            checksum: envelope.checksum.clone(),
            bytes,
            stored,
        })
    }
}

// === impl SyncServer ===

impl SyncServer {
    /// A server that hands out what the board has.
    pub fn new(board: Arc<dyn Board>) -> Self {
        Self { board }
    }

    /// Opens the socket, mode 0600, in place of one that an earlier process left.
    ///
    /// # Errors
    /// The system's. The caller holds the lock of the state folder, so that nobody listens there.
    pub fn bind(socket: &Path) -> io::Result<Door> {
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(socket)?;
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
        Ok(Door::Unix(listener))
    }

    /// Serves until the future is dropped.
    pub async fn run(self, door: Door) {
        serve(door, move |request| self.clone().answer(request)).await;
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() != SYNC_PATH {
            return answer(StatusCode::NOT_FOUND, "text/plain", "only /v1/sync is here\n");
        }
        if request.method() != Method::POST {
            return answer(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only POST is understood\n");
        }
        let caller = request.extensions().get::<Caller>().cloned().unwrap_or_default();
        let Ok(body) = Limited::new(request.into_body(), MAX_REQUEST_BYTES).collect().await else {
            return answer(StatusCode::BAD_REQUEST, "text/plain", "the body is cut off or too large\n");
        };
        let asked: SyncRequest = match serde_json::from_slice(&body.to_bytes()) {
            Ok(asked) => asked,
            Err(error) => return answer(StatusCode::BAD_REQUEST, "text/plain", format!("{error}\n")),
        };
        let runs = (asked.epoch, asked.generation);
        let refused = asked.report.refused.is_some();
        let wait = Duration::from_secs(asked.wait_s.into()).min(MAX_WAIT);
        let mut newest = match self.board.newest(&asked, &caller) {
            Ok(newest) => newest,
            Err(reason) => return answer(StatusCode::FORBIDDEN, "text/plain", format!("{reason}\n")),
        };
        let mut hints = self.board.hints(&asked);
        if let Some(hints) = &mut hints {
            hints.mark_unchanged();
        }
        self.board.report(asked);
        let seen = newest.borrow_and_update().clone();
        if let Some(sealed) = &seen
            && !refused
            && (sealed.epoch, sealed.generation) > runs
        {
            return answer(StatusCode::OK, JSON, sealed.bytes.clone());
        }
        // What the proxy has refused is offered again only after a pause: it would be refused again.
        let pause = if refused { wait.min(REFUSED_PAUSE) } else { wait };
        let newer = newest.wait_for(|newest| {
            newest.as_ref().is_some_and(|sealed| {
                (sealed.epoch, sealed.generation) > runs
                    && (!refused || seen.as_ref().is_none_or(|seen| seen.checksum != sealed.checksum))
            })
        });
        let hinted = async {
            let Some(hints) = &mut hints else { return std::future::pending().await };
            match hints.changed().await {
                Ok(()) => hints.borrow_and_update().clone(),
                Err(_) => std::future::pending().await,
            }
        };
        // Arms: a newer snapshot; hints; the time the proxy asked for is over.
        let newer = tokio::select! {
            newer = newer => newer.ok().and_then(|newest| newest.clone()),
            hints = hinted => {
                let envelope = Envelope::of_hints(hints).and_then(|envelope| serde_json::to_vec(&envelope));
                return match envelope {
                    Ok(bytes) => answer(StatusCode::OK, JSON, bytes),
                    Err(_) => nothing(),
                };
            }
            () = tokio::time::sleep(pause) => None,
        };
        let offered = newer.or(seen.filter(|seen| refused && (seen.epoch, seen.generation) > runs));
        match offered {
            Some(sealed) => answer(StatusCode::OK, JSON, sealed.bytes.clone()),
            None => nothing(),
        }
    }
}

fn nothing() -> Response<Full<Bytes>> {
    let mut nothing = Response::new(Full::default());
    *nothing.status_mut() = StatusCode::NO_CONTENT;
    nothing
}

/// Longest wait of one request.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Pause before a refused snapshot is offered again.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// Largest request: a report of many thousand listeners.
const MAX_REQUEST_BYTES: usize = 16 << 20;
/// Bytes of an envelope around its snapshot.
const AROUND_SNAPSHOT: usize = 512;
/// Content type of an envelope.
const JSON: &str = "application/json";

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use igw_crds::snapshot::Snapshot;

    use super::*;

    struct OneBoard {
        newest: Newest,
        reports: Mutex<Vec<SyncRequest>>,
    }

    impl Board for OneBoard {
        fn newest(&self, asked: &SyncRequest, _: &Caller) -> Result<Newest, String> {
            match asked.gateway.as_deref() {
                Some("foreign/a") => Err("not yours".to_owned()),
                _ => Ok(self.newest.clone()),
            }
        }

        fn report(&self, asked: SyncRequest) {
            self.reports.lock().unwrap().push(asked);
        }
    }

    /// Posts `body` to a fresh server that holds `newest`, and returns status, body and the first report.
    fn check(newest: Option<(u64, u64)>, body: &str) -> (u16, String, Option<SyncRequest>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let scratch = tempfile::tempdir().unwrap();
            let socket = scratch.path().join("sync.sock");
            let sealed = newest.map(|(epoch, generation)| {
                let envelope = Envelope::seal(epoch, generation, &Snapshot::default()).unwrap();
                Arc::new(Sealed::new(&envelope, BTreeMap::new()).unwrap())
            });
            let (_sender, receiver) = watch::channel(sealed);
            let board = Arc::new(OneBoard { newest: receiver, reports: Mutex::default() });
            let server = SyncServer::new(board.clone()).run(SyncServer::bind(&socket).unwrap());
            let text = format!(
                "POST {SYNC_PATH} HTTP/1.0\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let client = tokio::task::spawn_blocking(move || {
                use std::io::{Read, Write};
                let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
                stream.write_all(text.as_bytes()).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                answer
            });
            let answer = tokio::select! {
                () = server => unreachable!("the server ends only with its future"),
                answer = client => answer.unwrap(),
            };
            let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
            let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
            let report = board.reports.lock().unwrap().pop();
            (status, body, report)
        })
    }

    #[test]
    fn answers_by_what_the_proxy_runs() {
        let cases = [
            (Some((7, 3)), r#"{"epoch":0,"generation":0,"wait_s":9}"#, 200),
            (Some((7, 3)), r#"{"epoch":7,"generation":2,"wait_s":9}"#, 200),
            (Some((7, 3)), r#"{"epoch":6,"generation":9,"wait_s":9}"#, 200),
            (Some((7, 3)), r#"{"epoch":7,"generation":3,"wait_s":0}"#, 204),
            (Some((7, 3)), r#"{"epoch":8,"generation":1,"wait_s":0}"#, 204),
            (None, r#"{"epoch":0,"generation":0,"wait_s":0}"#, 204),
            (Some((7, 3)), "not json", 400),
            (Some((7, 3)), r#"{"gateway":"foreign/a"}"#, 403),
        ];
        for (newest, body, want) in cases {
            let (status, text, report) = check(newest, body);
            assert_eq!(status, want, "{newest:?} {body}: {text}");
            if status == 200 {
                let envelope: Envelope = serde_json::from_str(&text).unwrap();
                assert_eq!(Some((envelope.epoch, envelope.generation)), newest);
                assert_eq!(envelope.open().unwrap(), Snapshot::default());
            }
            assert_eq!(report.is_some(), want < 400, "{body}");
        }
    }

    #[test]
    fn a_refused_snapshot_is_not_offered_at_once() {
        let body = r#"{"epoch":7,"generation":2,"wait_s":0,"report":{"refused":"format"}}"#;
        let (status, _, report) = check(Some((7, 3)), body);
        assert_eq!(status, 200, "after the pause it is offered again");
        assert_eq!(report.unwrap().report.refused.as_deref(), Some("format"));
    }
}
