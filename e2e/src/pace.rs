//! Small requests at a fixed rate, however slow their answers are, and the time that each took.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::Connection;

/// Requests under way. Bounded: they end by themselves after `limit`.
pub struct Pace {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Sample>>>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Sample {
    /// From its begin, with the connection where it is the first on it, to the end of its answer.
    pub took: Duration,
    /// How much later than planned it began.
    pub late: Duration,
    /// Status, or what went wrong.
    pub outcome: Result<u16, String>,
}

// === impl Pace ===

impl Pace {
    /// Starts `n_clients` with a kept connection each, which together send `rate` GETs a second.
    pub fn start<S: Read + Write>(
        n_clients: u32,
        rate: u32,
        limit: Duration,
        host: &str,
        connect: impl Fn() -> anyhow::Result<Connection<S>> + Send + Sync + 'static,
    ) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let connect = Arc::new(connect);
        let request = Arc::new(format!("GET /small HTTP/1.1\r\nhost: {host}\r\n\r\n"));
        let step = Duration::from_secs(1) / rate;
        let started = Instant::now();
        let threads = (0..n_clients)
            .map(|index| {
                let (is_over, connect, request) =
                    (Arc::clone(&is_over), Arc::clone(&connect), Arc::clone(&request));
                std::thread::spawn(move || {
                    let mut samples = Vec::new();
                    let mut kept = None;
                    let mut due = started + step * index;
                    while !is_over.load(Ordering::Relaxed) && due < started + limit {
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                        let begun = Instant::now();
                        let outcome = ask(&mut kept, &*connect, &request);
                        samples.push(Sample {
                            took: begun.elapsed(),
                            late: begun - due,
                            outcome: outcome.map_err(|error| format!("{error:#}")),
                        });
                        due += step * n_clients;
                    }
                    samples
                })
            })
            .collect();
        Self { is_over, threads }
    }

    /// Stops; every request.
    #[must_use]
    pub fn stop(self) -> Vec<Sample> {
        self.is_over.store(true, Ordering::Relaxed);
        self.finish()
    }

    /// Waits for the end; every request.
    #[must_use]
    pub fn finish(self) -> Vec<Sample> {
        self.threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    }
}

/// One request on the kept connection, or on a new one.
fn ask<S: Read + Write>(
    kept: &mut Option<Connection<S>>,
    connect: &impl Fn() -> anyhow::Result<Connection<S>>,
    request: &str,
) -> anyhow::Result<u16> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => connect()?,
    };
    connection.send(request.as_bytes())?;
    let answer = connection.read("GET")?;
    if answer.field("connection") != Some("close") {
        *kept = Some(connection);
    }
    Ok(answer.status)
}

/// The time within which so many percent of the samples ended.
#[must_use]
pub fn percentile<'s>(samples: impl IntoIterator<Item = &'s Sample>, percent: usize) -> Duration {
    let mut times: Vec<Duration> = samples.into_iter().map(|sample| sample.took).collect();
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100);
    times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}
