//! Load at a fixed rate that counts every failure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::Connection;

/// A load under way. Bounded: it ends by itself after `limit`.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What a load saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Answers 200.
    pub n_good: u64,
    /// Everything else.
    pub n_failed: u64,
    /// Kept connections that ended.
    pub n_closed: u64,
    /// The first failures.
    pub failures: Vec<Failure>,
}

/// A request that was not answered as it should.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When it was known.
    pub at: Instant,
    /// Method of the request.
    pub method: &'static str,
    /// Status and cause, where an answer came.
    pub answer: Option<NotGood>,
    /// All of it in words.
    pub text: String,
}

/// An answer other than 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotGood {
    /// Its status.
    pub status: u16,
    /// What the gateway calls the reason; empty if the answer is none of its own.
    pub cause: String,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    n_good: AtomicU64,
    n_failed: AtomicU64,
    n_closed: AtomicU64,
    failures: std::sync::Mutex<Vec<Failure>>,
}

// === impl Load ===

impl Load {
    /// Starts `n_threads` clients that together send `rate` requests a second to `address`. Of four requests
    /// one goes on a new connection and one is a POST.
    #[must_use]
    pub fn start(address: SocketAddr, host: &str, rate: u64, n_threads: u64, limit: Duration) -> Self {
        let shared = Arc::new(Shared::default());
        let threads = (0..n_threads)
            .map(|index| {
                let shared = Arc::clone(&shared);
                let host = host.to_owned();
                let pause = Duration::from_nanos(1_000_000_000 * n_threads / rate.max(1));
                std::thread::spawn(move || shared.run(address, &host, pause, limit, index))
            })
            .collect();
        Self { shared, threads }
    }

    /// Stops and tells.
    #[must_use]
    pub fn stop(self) -> Seen {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
        Seen {
            n_good: self.shared.n_good.load(Ordering::Relaxed),
            n_failed: self.shared.n_failed.load(Ordering::Relaxed),
            n_closed: self.shared.n_closed.load(Ordering::Relaxed),
            failures: self.shared.failures.lock().map(|failures| failures.clone()).unwrap_or_default(),
        }
    }
}

// === impl Shared ===

impl Shared {
    fn run(&self, address: SocketAddr, host: &str, pause: Duration, limit: Duration, index: u64) {
        let started = Instant::now();
        let mut due = started + pause.mul_f64(index as f64 / 8.0);
        let mut kept: Option<Connection> = None;
        let mut n_requests = index;
        while !self.is_over.load(Ordering::Relaxed) && started.elapsed() < limit {
            if let Some(wait) = due.checked_duration_since(Instant::now()) {
                std::thread::sleep(wait);
            }
            due += pause;
            n_requests += 1;
            let is_new = n_requests.is_multiple_of(4);
            let outcome = match (is_new, kept.take()) {
                (true, before) => {
                    kept = before;
                    Connection::open(address)
                        .and_then(|mut connection| ask(&mut connection, host, n_requests))
                }
                (false, before) => {
                    let was_kept = before.is_some();
                    let opened = before.map_or_else(|| Connection::open(address), Ok);
                    opened.and_then(|mut connection| {
                        let outcome = ask(&mut connection, host, n_requests);
                        match &outcome {
                            Ok(is_open) if *is_open => kept = Some(connection),
                            _ if was_kept => {
                                self.n_closed.fetch_add(1, Ordering::Relaxed);
                            }
                            _ => {}
                        }
                        outcome
                    })
                }
            };
            match outcome {
                Ok(_) => {
                    self.n_good.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    self.n_failed.fetch_add(1, Ordering::Relaxed);
                    if let Ok(mut failures) = self.failures.lock()
                        && failures.len() < FAILURES_MAX
                    {
                        failures.push(Failure {
                            at: Instant::now(),
                            method: if is_post(n_requests) { "POST" } else { "GET" },
                            answer: error.downcast_ref().cloned(),
                            text: format!("after {:?}: {error:#}", started.elapsed()),
                        });
                    }
                }
            }
        }
    }
}

// === impl NotGood ===

impl std::fmt::Display for NotGood {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {} {:?}", self.status, self.cause)
    }
}

impl std::error::Error for NotGood {}

/// Whether a client's request number `n` is a POST.
fn is_post(n: u64) -> bool {
    n.is_multiple_of(3)
}

/// One request; true if the connection stays open.
fn ask(connection: &mut Connection, host: &str, n: u64) -> anyhow::Result<bool> {
    let answer = if is_post(n) {
        let body = format!("body {n}");
        connection.send(
            format!("POST /post HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                .as_bytes(),
        )?;
        let answer = connection.read("POST")?;
        if answer.status == 200 {
            let report = answer.report()?;
            anyhow::ensure!(report["body_bytes"] == body.len(), "the back end got another body: {report}");
        }
        answer
    } else {
        connection.get(host, "/get")?
    };
    if answer.status != 200 {
        let cause = answer.field("igw-cause").unwrap_or_default().to_owned();
        return Err(NotGood { status: answer.status, cause }.into());
    }
    Ok(answer.field("connection") != Some("close"))
}

/// Failures that are remembered one by one.
const FAILURES_MAX: usize = 10_000;
