//! One connection: it becomes ready, asks, and counts answers.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConfig;

use super::Shared;
use super::http1::Http1;
use super::http2::Http2;
use super::job::{Job, Pace, Protocol};
use super::wire::Wire;
use crate::sockets::EventFlags;

/// A connection.
pub struct Connection {
    place: usize,
    wire: Wire,
    dialog: Dialog,
    state: State,
    opened: Instant,
    /// Stream and beginning of each request without an answer.
    open: Vec<(u32, Instant)>,
    n_answers: u64,
    /// The proxy takes no more requests here.
    is_leaving: bool,
}

/// Why a connection is over.
#[derive(Debug)]
pub enum End {
    /// It was never there.
    Unconnected,
    /// The proxy closed it.
    Closed,
    /// It failed.
    Broken,
    /// The proxy said what nobody understands.
    Strange,
    /// It has served its purpose.
    Done,
}

/// An answer that is whole.
pub struct Answered {
    pub stream: u32,
    pub is_good: bool,
}

enum Dialog {
    Http1(Http1),
    Http2(Http2),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Handshaking,
    Ready,
}

// === impl Connection ===

impl Connection {
    /// On a socket that is about to be connected.
    ///
    /// # Errors
    /// Fails if TLS cannot begin.
    pub fn new(
        place: usize,
        socket: TcpStream,
        tls: Option<&Arc<ClientConfig>>,
        job: &Job,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            place,
            wire: Wire::new(socket, tls)?,
            dialog: match job.protocol {
                Protocol::Http1 => Dialog::Http1(Http1::default()),
                Protocol::Http2 => Dialog::Http2(Http2::default()),
            },
            state: State::Connecting,
            opened: Instant::now(),
            open: Vec::new(),
            n_answers: 0,
            is_leaving: false,
        })
    }

    /// Does what an event makes possible.
    ///
    /// # Errors
    /// Fails when the connection is over.
    pub fn step(&mut self, flags: EventFlags, shared: &mut Shared) -> Result<(), End> {
        if self.state == State::Connecting {
            let is_failed = flags.intersects(EventFlags::ERR | EventFlags::HUP);
            if is_failed || !matches!(self.wire.socket.take_error(), Ok(None)) {
                return Err(End::Unconnected);
            }
            if !flags.contains(EventFlags::OUT) {
                return Ok(());
            }
            self.state = State::Handshaking;
            shared.tally.n_opened += 1;
            self.begin(shared);
        }
        self.wire.flush()?;
        if !flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut shared.buffer);
        let end = self.read(flags.contains(EventFlags::RDHUP), &mut buffer, shared);
        shared.buffer = buffer;
        end
    }

    /// Sends a request whose time counts from `since`.
    pub fn ask(&mut self, since: Instant, shared: &mut Shared) {
        let request = &shared.requests[shared.n_sent % shared.requests.len()];
        shared.n_sent += 1;
        shared.tally.n_bytes += request.len() as u64;
        let stream = match &mut self.dialog {
            Dialog::Http1(_) => {
                self.wire.send(request);
                0
            }
            Dialog::Http2(dialog) => dialog.ask(request, self.wire.frames()),
        };
        self.open.push((stream, since));
    }

    /// Sends what the socket takes.
    ///
    /// # Errors
    /// Fails if the connection is broken.
    pub fn flush(&mut self) -> Result<(), End> {
        self.wire.flush()
    }

    /// Requests without an answer.
    pub fn n_open(&self) -> usize {
        self.open.len()
    }

    /// Whether nothing is under way.
    pub fn is_at_rest(&self) -> bool {
        self.state == State::Ready && self.open.is_empty()
    }

    /// Whether a request was answered.
    pub fn is_served(&self) -> bool {
        self.n_answers > 0
    }

    /// Whether one more request may be sent.
    pub fn has_room(&self, job: &Job) -> bool {
        self.state == State::Ready && !self.is_leaving && self.open.len() < job.n_streams
    }

    /// Sends the first requests once that is possible.
    fn begin(&mut self, shared: &mut Shared) {
        if self.state != State::Handshaking || !self.wire.is_ready() {
            return;
        }
        self.state = State::Ready;
        shared.tally.n_resumed += u64::from(self.wire.is_resumed());
        if let Dialog::Http2(dialog) = &mut self.dialog {
            dialog.greet(self.wire.frames());
        }
        match shared.job.pace {
            Pace::Rate(_) => shared.idle.extend(std::iter::repeat_n(self.place, shared.job.n_streams)),
            // The way there is part of it.
            Pace::Once => self.ask(self.opened, shared),
            Pace::Hold => self.ask(Instant::now(), shared),
            Pace::Closed => (0..shared.job.n_streams).for_each(|_| self.ask(Instant::now(), shared)),
        }
    }

    fn read(&mut self, is_ending: bool, buffer: &mut [u8], shared: &mut Shared) -> Result<(), End> {
        while let Some(n_bytes) = self.wire.read(buffer)? {
            if self.wire.is_sealed() {
                let mut plain = std::mem::take(&mut shared.plain);
                let end = self.take_sealed(&buffer[..n_bytes], &mut plain, shared);
                shared.plain = plain;
                end?;
            } else {
                self.take(&buffer[..n_bytes], shared)?;
            }
            self.wire.flush()?;
            // What did not fill the buffer was all, and more will be a new edge; an end that is there already will not.
            if n_bytes < buffer.len() && !is_ending {
                return Ok(());
            }
        }
        Ok(())
    }

    fn take_sealed(&mut self, mut sealed: &[u8], plain: &mut [u8], shared: &mut Shared) -> Result<(), End> {
        loop {
            let before = self.state;
            let n_bytes = self.wire.open(&mut sealed, plain)?;
            self.begin(shared);
            if n_bytes > 0 {
                self.take(&plain[..n_bytes], shared)?;
            } else if sealed.is_empty() && self.state == before {
                return Ok(());
            }
        }
    }

    fn take(&mut self, bytes: &[u8], shared: &mut Shared) -> Result<(), End> {
        shared.tally.n_bytes += bytes.len() as u64;
        match &mut self.dialog {
            Dialog::Http1(dialog) => {
                let answered = dialog.take(bytes)?;
                self.is_leaving |= dialog.is_last();
                answered.map_or(Ok(()), |answered| self.answered(&answered, shared))
            }
            Dialog::Http2(dialog) => {
                let mut all = dialog.take(bytes, self.wire.frames())?;
                self.is_leaving |= dialog.is_leaving();
                let end = all.drain(..).try_for_each(|answered| self.answered(&answered, shared));
                if self.is_leaving && self.open.is_empty() {
                    return Err(End::Done);
                }
                end
            }
        }
    }

    fn answered(&mut self, answered: &Answered, shared: &mut Shared) -> Result<(), End> {
        let (_, since) = match self.open.iter().position(|(stream, _)| *stream == answered.stream) {
            Some(place) => self.open.swap_remove(place),
            // A stream that is reset behind its answer.
            None if !answered.is_good => return Ok(()),
            None => return Err(End::Strange),
        };
        let now = Instant::now();
        shared.tally.answer(answered.is_good, now - since);
        self.n_answers += 1;
        if self.is_leaving {
            return if self.open.is_empty() { Err(End::Done) } else { Ok(()) };
        }
        match shared.job.pace {
            Pace::Closed => self.ask(now, shared),
            Pace::Once => return Err(End::Done),
            Pace::Rate(_) => match shared.due.pop_front() {
                Some(due) => self.ask(due, shared),
                None => shared.idle.push_back(self.place),
            },
            Pace::Hold => {}
        }
        Ok(())
    }
}
