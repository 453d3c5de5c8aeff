//! Load that costs little beside what it measures: one thread, one queue of events, one receive and one send for a small
//! exchange.
//!
//! In a closed loop each connection, or each stream, sends its next request when the answer to the one before is whole.
//! At a fixed rate requests become due by the clock, and the time of each counts from when it was due, so that a proxy
//! which stands still hides nothing.

mod connection;
mod http1;
mod http2;
mod job;
mod tally;
mod tickets;
mod wire;

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rustls::ClientConfig;

use crate::sockets::{EventFlags, Watch, connect, raise_descriptors};
use connection::{Connection, End};
pub use job::{Job, Pace, Protocol, Security, Upload};
pub use tally::Tally;
pub use wire::HOST;

/// All connections of a job.
struct Load {
    watch: Watch,
    connections: Vec<Option<Connection>>,
    /// Places of connections that are to be opened.
    closed: VecDeque<usize>,
    n_opened: u64,
    tls: Option<Arc<ClientConfig>>,
    shared: Shared,
}

/// What connections share.
struct Shared {
    job: Job,
    /// Requests in the order in which they are sent.
    requests: Vec<Rc<[u8]>>,
    n_sent: usize,
    /// Requests that are due, from when.
    due: VecDeque<Instant>,
    /// Connections that could send one, once for each request.
    idle: VecDeque<usize>,
    tally: Tally,
    buffer: Vec<u8>,
    plain: Vec<u8>,
}

/// Does a job.
///
/// # Errors
/// Fails if the target is not on this machine, or without descriptors.
pub fn run(job: &Job) -> anyhow::Result<Tally> {
    let n_descriptors = raise_descriptors();
    ensure!(
        (job.n_connections as u64) + 16 < n_descriptors,
        "{} connections need more than {n_descriptors} descriptors; raise ulimit -n",
        job.n_connections
    );
    Load::new(job)?.run()
}

// === impl Load ===

impl Load {
    fn new(job: &Job) -> anyhow::Result<Self> {
        Ok(Self {
            watch: Watch::new()?,
            connections: (0..job.n_connections).map(|_| None).collect(),
            closed: (0..job.n_connections).collect(),
            n_opened: 0,
            tls: job.tls()?,
            shared: Shared {
                requests: job.requests().into_iter().map(Rc::from).collect(),
                job: job.clone(),
                n_sent: 0,
                due: VecDeque::new(),
                idle: VecDeque::new(),
                tally: Tally::default(),
                buffer: vec![0; BUFFER],
                plain: vec![0; BUFFER],
            },
        })
    }

    fn run(mut self) -> anyhow::Result<Tally> {
        let started = Instant::now();
        let measured = started + Duration::from_secs_f64(self.shared.job.warmup);
        let end = measured + Duration::from_secs_f64(self.shared.job.seconds);
        let pause = match self.shared.job.pace {
            Pace::Rate(rate) => Some(Duration::from_secs(1) / rate.max(1)),
            Pace::Closed | Pace::Once | Pace::Hold => None,
        };
        let mut next_due = started;
        let mut is_warm = false;
        let mut events = Vec::new();
        loop {
            let now = Instant::now();
            if now >= end {
                break;
            }
            if !is_warm && now >= measured {
                is_warm = true;
                self.shared.tally.begin();
            }
            // In small numbers, so that no backlog overflows.
            for _ in 0..self.closed.len().min(64) {
                if let Some(place) = self.closed.pop_front() {
                    self.open(place)?;
                }
            }
            if self.shared.job.pace == Pace::Hold && self.is_held() {
                hold()?;
                break;
            }
            let mut limit = (end - now).min(Duration::from_millis(20));
            if !self.closed.is_empty() {
                limit = Duration::from_micros(200);
            }
            if let Some(pause) = pause {
                while next_due <= now {
                    self.shared.due.push_back(next_due);
                    next_due += pause;
                }
                limit = limit.min(next_due - now);
                self.dispatch();
            }
            self.watch.wait(Some(limit), &mut events)?;
            for (place, flags) in &events {
                self.on_event(*place, *flags);
            }
        }
        self.shared.tally.end((Instant::now() - measured).as_secs_f64());
        Ok(self.shared.tally)
    }

    fn open(&mut self, place: usize) -> anyhow::Result<()> {
        self.n_opened += 1;
        match connect(self.shared.job.target, self.n_opened) {
            Ok(socket) => {
                self.watch.add(&socket, place)?;
                self.connections[place] =
                    Some(Connection::new(place, socket, self.tls.as_ref(), &self.shared.job)?);
            }
            Err(_) => self.failed_to_connect(place),
        }
        Ok(())
    }

    fn on_event(&mut self, place: usize, flags: EventFlags) {
        let Some(connection) = self.connections[place].as_mut() else { return };
        let Err(end) = connection.step(flags, &mut self.shared) else { return };
        let tally = &mut self.shared.tally;
        let n_open = connection.n_open().max(1) as u64;
        match end {
            End::Unconnected => return self.failed_to_connect(place),
            End::Closed if connection.is_at_rest() => tally.n_closed += 1,
            End::Closed | End::Broken => tally.n_broken += n_open,
            End::Strange => tally.n_strange += n_open,
            End::Done => {}
        }
        self.connections[place] = None;
        self.closed.push_back(place);
    }

    fn failed_to_connect(&mut self, place: usize) {
        self.shared.tally.n_unconnected += 1;
        self.connections[place] = None;
        self.closed.push_back(place);
    }

    /// Sends requests that are due on connections that are idle.
    fn dispatch(&mut self) {
        while let Some(due) = self.shared.due.front().copied() {
            let Some(place) = self.shared.idle.pop_front() else { return };
            // A connection may have ended since it was noted.
            let Some(connection) =
                self.connections[place].as_mut().filter(|one| one.has_room(&self.shared.job))
            else {
                continue;
            };
            self.shared.due.pop_front();
            connection.ask(due, &mut self.shared);
            if connection.flush().is_err() {
                self.shared.tally.n_broken += connection.n_open() as u64;
                self.connections[place] = None;
                self.closed.push_back(place);
            }
        }
    }

    fn is_held(&self) -> bool {
        self.closed.is_empty()
            && self.connections.iter().flatten().filter(|one| one.is_served()).count()
                == self.connections.len()
    }
}

/// Says that all connections are idle, and keeps them until the other side ends the input.
fn hold() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{HELD}")?;
    out.flush()?;
    let mut input = std::io::stdin().lock();
    let _ = input.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Line that says that all connections are idle.
pub const HELD: &str = "held";
const BUFFER: usize = 256 * 1024;
