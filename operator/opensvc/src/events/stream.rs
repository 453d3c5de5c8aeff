//! A stream that stays: it reconnects, notices silence, and says when everything must be read again.
//!
//! Guarantees: after each connection and each loss of events a [`Signal::Relist`] comes before any later event; the
//! daemon's side is read at once whatever the consumer does; a daemon that is down sees few connections, and a local
//! one that comes back is noticed by its socket file without any.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use rand::RngExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use super::event::Received;
use super::filter::Subscription;
use super::sse::{Parsed, SseParser};
use crate::client::Client;
use crate::error::Error;
use crate::request::Request;

/// What a stream tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Signal {
    /// Read everything again: events before this one may be missing.
    Relist(Cause),
    /// Something happened.
    Event(Box<Received>),
    /// The stream broke and is being opened again.
    Down(String),
}

/// Why everything must be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The stream has just been opened.
    Connected,
    /// The consumer was too slow, and events were dropped.
    Overflow,
    /// An event could not be read.
    Unreadable,
}

/// Times and sizes of a stream.
#[derive(Debug, Clone)]
pub struct Patience {
    /// A stream without a byte for so long is opened again. The daemon sends no keep-alive, so an idle cluster is
    /// silent too. Default 2 minutes.
    pub stall: Duration,
    /// Wait before the first try to open it again; doubles with each failure. Default 500 ms.
    pub first_pause: Duration,
    /// Longest wait between two tries. Default 20 s.
    pub longest_pause: Duration,
    /// Signals that wait for the consumer before events are dropped. Default 4096.
    pub queue: usize,
}

/// The consumer's end. Dropping it closes the stream.
#[derive(Debug)]
pub struct EventStream {
    signals: mpsc::Receiver<Signal>,
    connected: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

/// Where streams come from.
trait Source: Send + Sync + 'static {
    /// The bytes of an open stream.
    type Body: Stream<Item = Result<Bytes, String>> + Send + Unpin;

    /// Opens a stream.
    fn open(&mut self) -> impl Future<Output = Result<Self::Body, Error>> + Send;

    /// Changes when the other side starts anew, as far as that shows without asking it.
    fn sign(&self) -> impl Future<Output = Option<Sign>> + Send;
}

/// Device, number and time of a socket file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sign(u64, u64, i64);

/// Streams of a daemon.
struct Daemon {
    client: Client,
    request: Request,
}

/// The state of one task.
struct Follower<S> {
    source: S,
    subscription: Subscription,
    patience: Patience,
    signals: mpsc::Sender<Signal>,
    connected: Arc<AtomicBool>,
    /// A relist that the consumer has not been told of. Until then events are dropped: the relist covers them.
    owed: Option<Cause>,
    /// The stream that is open, or was, has brought something.
    has_brought: bool,
}

// === impl Client ===

impl Client {
    /// Follows the events of the daemon, through all its restarts. Must be called within a runtime.
    pub fn events(&self, subscription: Subscription) -> EventStream {
        self.events_with(subscription, Patience::default())
    }

    /// As [`Client::events`], with times of one's own.
    pub fn events_with(&self, subscription: Subscription, patience: Patience) -> EventStream {
        let source = Daemon { client: self.clone(), request: subscription.request() };
        EventStream::spawn(source, subscription, patience)
    }

    /// Opens a stream once and closes it, to learn whether the daemon takes the subscription.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a filter or selector that the daemon refuses; see [`Error`].
    pub async fn try_events(&self, subscription: &Subscription) -> Result<(), Error> {
        self.open(&subscription.request()).await.map(|_| ())
    }
}

// === impl EventStream ===

impl EventStream {
    /// The next signal. Cancel safe. `None` only if the task was ended from outside.
    pub async fn next(&mut self) -> Option<Signal> {
        self.signals.recv().await
    }

    /// Whether the stream is open now.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    fn spawn<S: Source>(source: S, subscription: Subscription, patience: Patience) -> Self {
        let (sender, signals) = mpsc::channel(patience.queue.max(2));
        let connected = Arc::new(AtomicBool::new(false));
        let follower = Follower {
            source,
            subscription,
            patience,
            signals: sender,
            connected: Arc::clone(&connected),
            owed: None,
            has_brought: false,
        };
        Self { signals, connected, task: tokio::spawn(follower.run()) }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Patience ===

impl Default for Patience {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(120),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(20),
            queue: 4096,
        }
    }
}

// === impl Daemon ===

impl Source for Daemon {
    type Body = Pin<Box<dyn Stream<Item = Result<Bytes, String>> + Send>>;

    async fn open(&mut self) -> Result<Self::Body, Error> {
        let response = self.client.open(&self.request).await?;
        Ok(Box::pin(
            response.bytes_stream().map(|chunk| chunk.map_err(|error| error.without_url().to_string())),
        ))
    }

    async fn sign(&self) -> Option<Sign> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = tokio::fs::metadata(self.client.link().socket()?).await.ok()?;
        let nanoseconds = metadata.ctime().wrapping_mul(1_000_000_000).wrapping_add(metadata.ctime_nsec());
        Some(Sign(metadata.dev(), metadata.ino(), nanoseconds))
    }
}

// === impl Follower ===

impl<S: Source> Follower<S> {
    async fn run(mut self) {
        let mut pause = self.patience.first_pause;
        while !self.signals.is_closed() {
            let sign = self.source.sign().await;
            let why = match self.source.open().await {
                Ok(body) => {
                    self.connected.store(true, Ordering::Relaxed);
                    self.owed = Some(Cause::Connected);
                    self.has_brought = false;
                    let opened_at = Instant::now();
                    let why = self.follow(body).await;
                    self.connected.store(false, Ordering::Relaxed);
                    pause = if opened_at.elapsed() >= STEADY {
                        self.patience.first_pause
                    } else if self.has_brought {
                        // A daemon that tells of events is not one that is down: what broke is the stream.
                        pause.min(AFTER_BREAK)
                    } else {
                        pause
                    };
                    why
                }
                Err(error) => error.to_string(),
            };
            debug!(%why, ?pause, "event stream is down");
            // A consumer that is too slow to hear of it hears the relist that follows.
            let _ = self.signals.try_send(Signal::Down(why));
            pause = if self.wait(pause, sign).await {
                self.patience.first_pause
            } else {
                (pause * 2).min(self.patience.longest_pause)
            };
        }
    }

    /// Follows one stream to its end, and says why it ended.
    async fn follow(&mut self, mut body: S::Body) -> String {
        let signals = self.signals.clone();
        let mut parser = SseParser::new();
        let mut quiet_since = Instant::now();
        loop {
            self.pay();
            let is_owed = self.owed.is_some();
            let stalled_at = quiet_since + self.patience.stall;
            // Bytes arrive; the stream has been silent for too long; the queue has room for a relist that is owed;
            // the consumer is gone.
            tokio::select! {
                chunk = body.next() => match chunk {
                    Some(Ok(chunk)) => {
                        quiet_since = Instant::now();
                        self.has_brought = true;
                        for parsed in parser.push(&chunk) {
                            self.tell(parsed);
                        }
                    }
                    Some(Err(error)) => return error,
                    None => return "closed by the daemon".to_owned(),
                },
                () = sleep_until(stalled_at) => return format!("silent for {:?}", self.patience.stall),
                permit = signals.reserve(), if is_owed => match (permit, self.owed.take()) {
                    (Ok(permit), Some(cause)) => permit.send(Signal::Relist(cause)),
                    _ => return "no consumer".to_owned(),
                },
                () = signals.closed() => return "no consumer".to_owned(),
            }
        }
    }

    /// Tells of a relist that is owed, if there is room.
    fn pay(&mut self) {
        if let Some(cause) = self.owed
            && self.signals.try_send(Signal::Relist(cause)).is_ok()
        {
            self.owed = None;
        }
    }

    fn tell(&mut self, parsed: Parsed) {
        self.pay();
        if self.owed.is_some() {
            return;
        }
        let received = match &parsed {
            Parsed::Frame(frame) => Received::parse(frame),
            Parsed::Oversized => None,
        };
        let Some(received) = received else {
            self.owed = Some(Cause::Unreadable);
            return;
        };
        if !self.subscription.admits(&received) {
            return;
        }
        let sent = self.signals.try_send(Signal::Event(Box::new(received)));
        if matches!(sent, Err(mpsc::error::TrySendError::Full(_))) {
            self.owed = Some(Cause::Overflow);
        }
    }

    /// Waits, shorter if the other side starts anew meanwhile, and says whether it did.
    async fn wait(&self, pause: Duration, sign: Option<Sign>) -> bool {
        let spread = rand::rng().random_range(SPREAD);
        let until = Instant::now() + pause.mul_f64(spread);
        while !self.signals.is_closed() && Instant::now() < until {
            sleep((until - Instant::now()).min(LOOK)).await;
            let now = self.source.sign().await;
            if now.is_some() && now != sign {
                return true;
            }
        }
        false
    }
}

/// A stream that lived so long was a good one.
const STEADY: Duration = Duration::from_secs(10);
/// Longest pause after a stream that brought something, however short it was.
const AFTER_BREAK: Duration = Duration::from_millis(1_500);
/// Between two looks at a socket file.
const LOOK: Duration = Duration::from_millis(500);
/// Pauses are spread, so that clients of one daemon do not come at once.
const SPREAD: std::ops::Range<f64> = 0.8..1.2;

#[cfg(test)]
mod tests;
