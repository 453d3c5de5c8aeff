//! One attempt: a request travels to an endpoint and its answer back, both at once.
//!
//! Both directions are pumped inside one poll of the connection's task. A direction reads only when what it
//! read before has left, so a slow side slows the other one and nothing piles up.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use igw_h1::{
    Body, ChunkEvent, ChunkedDecoder, Limits, Parsed, RequestKind, Version, encode, parse_trailers,
};
use tokio::io::AsyncWrite;

use super::Worker;
use super::client::Client;
use super::lane::{PIECE_BYTES, Turn};
use super::request::{Method, Request};
use super::request_head::field;
use super::response_head::{Framing, framing, write_interim, write_response};
use super::scratch::{InBuffer, OutBuffer, write_or_keep};
use super::stream::{Stream, poll_read_some};
use super::timer::Tick;

/// Time limits of an attempt; `None` = none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttemptLimits<'l> {
    pub(crate) answer: Option<Duration>,
    pub(crate) idle: Option<Duration>,
    pub(crate) client_stall: Option<Duration>,
    pub(crate) body_min_rate: u32,
    /// Statuses in place of which the request is tried again.
    pub(crate) unwanted: &'l [u16],
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The connection ended before a byte of answer.
    NoAnswer,
    /// The connection ended inside the answer.
    Truncated,
    /// The answer breaks HTTP.
    Protocol,
    /// The endpoint took too long.
    BackendTimeout,
    /// The rule's limit for the whole request has passed.
    RequestTimeout,
    /// The client sent its body too slowly.
    SlowBody,
    /// The client's body breaks HTTP.
    BadBody,
    /// The client took its answer too slowly.
    ClientStalled,
    /// The client is gone.
    ClientGone,
    /// The answer is to be dropped and the request tried again.
    Unwanted,
}

/// An attempt under way.
pub(crate) struct Exchange<'a> {
    worker: &'a Worker,
    client: &'a mut Client,
    stream: &'a mut Stream,
    request: &'a Request,
    limits: AttemptLimits<'a>,
    head_limits: &'a Limits,
    head_sent: usize,
    upload: Upload,
    /// The decoder left bytes and waits for those behind them.
    upload_is_starved: bool,
    to_upstream: OutBuffer,
    download: Download,
    framing: Framing,
    from_upstream: InBuffer,
    to_client: OutBuffer,
    /// What the client had not taken at the last look.
    n_client_left: usize,
    n_interim: u8,
    turn: Turn,
    started: Tick,
    client_moved: Tick,
    upstream_moved: Tick,
    keep_alive_wanted: bool,
    upstream_keeps: bool,
    /// What is known of the attempt, also after a failure.
    pub(crate) progress: Progress,
}

/// How far an attempt came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Bytes of the request left for the endpoint.
    pub(crate) is_sent: bool,
    /// Body bytes of the client were consumed that cannot be sent again.
    pub(crate) is_consumed: bool,
    /// The endpoint sent something.
    pub(crate) is_received: bool,
    /// The client got bytes of a final answer.
    pub(crate) is_answered: bool,
    pub(crate) status: u16,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) answered_ms: Option<u64>,
    pub(crate) client_reusable: bool,
    pub(crate) upstream_reusable: bool,
    /// The connection is a tunnel now.
    pub(crate) is_tunnel: bool,
}

enum Upload {
    Length(u64),
    Chunked(ChunkedDecoder),
    Done,
    /// The endpoint takes no more; its answer may still come.
    Refused,
}

/// What a round of one direction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Moved,
    Waiting,
    Done,
}

enum Download {
    Head,
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
    Done,
}

// === impl Progress ===

impl Progress {
    /// Body bytes of both directions.
    pub(crate) fn n_moved(&self) -> u64 {
        self.bytes_in + self.bytes_out
    }
}

// === impl Exchange ===

impl<'a> Exchange<'a> {
    pub(crate) fn new(
        worker: &'a Worker,
        client: &'a mut Client,
        stream: &'a mut Stream,
        request: &'a Request,
        limits: AttemptLimits<'a>,
        head_limits: &'a Limits,
    ) -> Self {
        let upload = match request.body {
            _ if request.is_complete => Upload::Done,
            Body::Length(length) => Upload::Length(length),
            Body::Chunked => Upload::Chunked(ChunkedDecoder::new(head_limits.clone())),
            Body::None | Body::UntilClose => Upload::Done,
        };
        let now = worker.wheel.now();
        let exchange = Self {
            worker,
            client,
            stream,
            request,
            limits,
            head_limits,
            head_sent: 0,
            upload,
            upload_is_starved: false,
            to_upstream: OutBuffer::default(),
            download: Download::Head,
            framing: Framing::Same,
            from_upstream: InBuffer::default(),
            to_client: OutBuffer::default(),
            n_client_left: 0,
            n_interim: 0,
            turn: Turn::default(),
            started: now,
            client_moved: now,
            upstream_moved: now,
            keep_alive_wanted: request.keep_alive,
            upstream_keeps: false,
            progress: Progress::default(),
        };
        exchange.client.timer.set(exchange.next_deadline());
        exchange
    }

    /// Pumps both directions until the answer is with the client.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.turn.poll(&self.worker.lane, cx).is_pending() {
            return Poll::Pending;
        }
        let n_before = self.progress.n_moved();
        for _ in 0..ROUNDS_PER_POLL {
            if self.progress.n_moved() - n_before >= PIECE_BYTES {
                break;
            }
            let upload = self.poll_upload(cx)?;
            let download = self.poll_download(cx)?;
            match (upload, download) {
                (_, Step::Done) => {
                    self.progress.client_reusable = self.keep_alive_wanted
                        && matches!(self.upload, Upload::Done)
                        && self.to_upstream.is_empty();
                    self.progress.upstream_reusable = self.upstream_keeps
                        && matches!(self.upload, Upload::Done)
                        && self.head_sent == self.request.head.len()
                        && self.to_upstream.is_empty();
                    return Poll::Ready(Ok(()));
                }
                (Step::Waiting | Step::Done, Step::Waiting) => {
                    if !self.client.timer.poll_expired(cx) {
                        self.turn.moved(&self.worker.lane, self.progress.n_moved() - n_before);
                        return Poll::Pending;
                    }
                    match self.overdue() {
                        Some(failure) => return Poll::Ready(Err(failure)),
                        None => self.client.timer.set(self.next_deadline()),
                    }
                }
                (Step::Moved, _) | (_, Step::Moved) => {}
            }
        }
        self.turn.pause(&self.worker.lane, cx, self.progress.n_moved() - n_before);
        Poll::Pending
    }

    /// How much may be read at once.
    fn room(&self) -> usize {
        let worker = self.worker;
        self.turn.room(&worker.lane, worker.wheel.now(), worker.scratch.room())
    }

    /// Gives buffers back. Called once, after the last poll.
    pub(crate) fn close(mut self) -> Progress {
        let scratch = &self.worker.scratch;
        self.to_upstream.discard(scratch);
        self.to_client.discard(scratch);
        self.from_upstream.discard(scratch);
        self.progress
    }

    /// One round of the way to the endpoint.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<Step, Failure> {
        let worker = self.worker;
        while let Some(rest) = self.request.head.get(self.head_sent..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut *self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(written)) if written > 0 => {
                    self.head_sent += written;
                    self.progress.is_sent = true;
                }
                Poll::Ready(_) => return Ok(self.refuse_upload()),
                Poll::Pending => return Ok(Step::Waiting),
            }
        }
        if self.to_upstream.is_empty() && matches!(self.upload, Upload::Done | Upload::Refused) {
            return Ok(Step::Done);
        }
        match self.to_upstream.poll_flush(&worker.scratch, self.stream, cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Ok(self.refuse_upload()),
            Poll::Pending => return Ok(Step::Waiting),
        }
        self.upstream_moved = worker.wheel.now();
        if matches!(self.upload, Upload::Done | Upload::Refused) {
            return Ok(Step::Done);
        }
        let mut input = worker.scratch.input();
        let n_unread = self.client.unread.bytes().len().min(input.len());
        input[..n_unread].copy_from_slice(&self.client.unread.bytes()[..n_unread]);
        let mut n_input = n_unread;
        if n_unread == 0 || self.upload_is_starved {
            let n_end = (n_unread + self.room()).min(input.len());
            match poll_read_some(&mut self.client.stream, cx, &mut input[n_unread..n_end]) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(Failure::ClientGone),
                Poll::Ready(Ok(n_more)) => n_input += n_more,
                Poll::Pending => return Ok(Step::Waiting),
            }
        }
        self.client_moved = worker.wheel.now();
        self.progress.is_consumed = true;
        let bytes = &input[..n_input];
        let n_taken = match &mut self.upload {
            Upload::Length(left) => {
                let n_body = usize::try_from(*left).unwrap_or(usize::MAX).min(n_input);
                *left -= n_body as u64;
                if *left == 0 {
                    self.upload = Upload::Done;
                }
                self.progress.bytes_in += n_body as u64;
                if let Some(mirrors) = &self.request.mirrors {
                    mirrors.data(&bytes[..n_body]);
                }
                self.send_upstream(cx, &bytes[..n_body]);
                n_body
            }
            Upload::Chunked(decoder) => {
                let mut out = worker.scratch.output();
                let tell = |data: &[u8]| {
                    if let Some(mirrors) = &self.request.mirrors {
                        mirrors.data(data);
                    }
                };
                let (n_taken, n_body, is_done) =
                    recode(worker, decoder, bytes, &mut out, Framing::Chunked, self.head_limits, tell)
                        .map_err(|()| Failure::BadBody)?;
                self.progress.bytes_in += n_body;
                self.upload_is_starved = !is_done;
                if is_done {
                    self.upload = Upload::Done;
                }
                self.send_upstream(cx, &out);
                n_taken
            }
            Upload::Done | Upload::Refused => 0,
        };
        if let Some(mirrors) = self.request.mirrors.as_ref().filter(|_| matches!(self.upload, Upload::Done)) {
            mirrors.finish();
        }
        self.client.unread.set(&worker.scratch, &bytes[n_taken..]);
        Ok(Step::Moved)
    }

    fn send_upstream(&mut self, cx: &mut Context<'_>, bytes: &[u8]) {
        if write_or_keep(&self.worker.scratch, &mut self.to_upstream, self.stream, cx, bytes).is_err() {
            self.refuse_upload();
        }
    }

    /// The endpoint takes no more of the request. It may have answered already, so reading goes on.
    fn refuse_upload(&mut self) -> Step {
        self.head_sent = self.request.head.len();
        self.upload = Upload::Refused;
        self.to_upstream.discard(&self.worker.scratch);
        Step::Done
    }

    /// One round of the way to the client.
    fn poll_download(&mut self, cx: &mut Context<'_>) -> Result<Step, Failure> {
        let worker = self.worker;
        match self.to_client.poll_flush(&worker.scratch, &mut self.client.stream, cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Err(Failure::ClientGone),
            Poll::Pending => {
                // Whoever takes a little now and then is slow and has not stopped.
                let n_left = self.to_client.n_left() + self.client.stream.n_unsent();
                if n_left < self.n_client_left {
                    self.client_moved = worker.wheel.now();
                }
                self.n_client_left = n_left;
                // Sooner than the deadline of an endpoint that is read from.
                self.client.timer.set(self.next_deadline());
                return Ok(Step::Waiting);
            }
        }
        if matches!(self.download, Download::Done) {
            return Ok(Step::Done);
        }
        let mut input = worker.scratch.input();
        let n_kept = self.from_upstream.bytes().len().min(input.len());
        input[..n_kept].copy_from_slice(&self.from_upstream.bytes()[..n_kept]);
        let n_end = (n_kept + self.room()).min(input.len());
        let n_read = match poll_read_some(self.stream, cx, &mut input[n_kept..n_end]) {
            Poll::Ready(Ok(n_read)) => n_read,
            Poll::Ready(Err(_)) => return Err(self.broken()),
            Poll::Pending => return Ok(Step::Waiting),
        };
        if n_read == 0 {
            return self.end_of_answer(cx);
        }
        self.upstream_moved = worker.wheel.now();
        self.progress.is_received = true;
        let bytes = &input[..n_kept + n_read];
        if matches!(self.download, Download::Length(_)) {
            return self.pass_on(cx, bytes);
        }
        let mut out = worker.scratch.output();
        let n_taken = match self.download {
            Download::Head => self.take_head(bytes, &mut out)?,
            _ => self.take_body(bytes, &mut out)?,
        };
        if matches!(self.download, Download::Done) {
            // Bytes behind a complete answer belong to nobody: the connection is not used again.
            self.upstream_keeps &= n_taken == bytes.len() && !self.progress.is_tunnel;
            if self.progress.is_tunnel {
                out.extend_from_slice(&bytes[n_taken..]);
            }
            self.from_upstream.discard(&worker.scratch);
        } else if matches!(self.download, Download::Length(_)) {
            self.from_upstream.discard(&worker.scratch);
            self.send_client(cx, &out)?;
            return self.pass_on(cx, &bytes[n_taken..]);
        } else {
            self.from_upstream.set(&worker.scratch, &bytes[n_taken..]);
        }
        self.send_client(cx, &out)
    }

    /// Passes a body of known length straight from the receive buffer to the client.
    fn pass_on(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Result<Step, Failure> {
        if let Download::Length(left) = &mut self.download {
            let n_body = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
            *left -= n_body as u64;
            if *left == 0 {
                self.download = Download::Done;
                self.upstream_keeps &= n_body == bytes.len();
            }
            return self.send_client(cx, &bytes[..n_body]);
        }
        Ok(Step::Moved)
    }

    fn send_client(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Result<Step, Failure> {
        self.progress.bytes_out += bytes.len() as u64;
        let scratch = &self.worker.scratch;
        if self.to_client.is_empty() {
            write_or_keep(scratch, &mut self.to_client, &mut self.client.stream, cx, bytes)
                .map_err(|_| Failure::ClientGone)?;
        } else {
            self.to_client.keep(scratch, bytes);
        }
        self.client_moved = self.worker.wheel.now();
        let is_done = matches!(self.download, Download::Done) && self.to_client.is_empty();
        Ok(if is_done { Step::Done } else { Step::Moved })
    }

    /// Reads the head of the answer, interim ones included, and as much of the body as came with it.
    fn take_head(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Failure> {
        let worker = self.worker;
        let kind = if self.request.method == Method::Head { RequestKind::Head } else { RequestKind::Other };
        let mut n_taken = 0;
        loop {
            let rest = &bytes[n_taken..];
            let mut head = worker.scratch.response();
            let n_head = match head.parse(rest, self.head_limits, kind) {
                Ok(Parsed::Complete { len }) => len,
                Ok(Parsed::Partial) => return Ok(n_taken),
                Err(_) => return Err(Failure::Protocol),
            };
            n_taken += n_head;
            match head.status {
                101 if self.request.upgrade && head.upgrade.is_some() => {
                    write_interim(out, rest, &head);
                    self.answered(101);
                    self.progress.is_tunnel = true;
                    self.download = Download::Done;
                    return Ok(n_taken);
                }
                101 => return Err(Failure::Protocol),
                100..=199 => {
                    self.n_interim += 1;
                    if self.n_interim > INTERIM_MAX {
                        return Err(Failure::Protocol);
                    }
                    if self.request.version == Version::Http11 {
                        write_interim(out, rest, &head);
                    }
                    continue;
                }
                _ => {}
            }
            if self.limits.unwanted.contains(&head.status) && !self.progress.is_consumed {
                return Err(Failure::Unwanted);
            }
            self.framing = framing(head.body, self.request.version);
            // An answer that comes before the request is complete ends the connection: what the client
            // still sends of its body could be taken for a request.
            let is_early = !matches!(self.upload, Upload::Done) || !self.to_upstream.is_empty();
            self.keep_alive_wanted &=
                self.framing != Framing::UntilClose && !is_early && !worker.is_draining();
            self.upstream_keeps = head.keep_alive;
            write_response(worker, out, rest, &head, self.request, self.keep_alive_wanted);
            self.answered(head.status);
            self.download = match head.body {
                Body::None | Body::Length(0) => Download::Done,
                Body::Length(length) => Download::Length(length),
                Body::Chunked => Download::Chunked(ChunkedDecoder::new(self.head_limits.clone())),
                Body::UntilClose => Download::UntilClose,
            };
            drop(head);
            if !matches!(self.download, Download::Done) {
                self.client.timer.set(self.next_deadline());
                let rest = &bytes[n_taken..];
                let n_first = match self.download {
                    // A little travels with the head; more is not worth a copy.
                    Download::Length(_) => rest.len().min(WITH_HEAD_BYTES),
                    _ => rest.len(),
                };
                n_taken += self.take_body(&rest[..n_first], out)?;
            }
            return Ok(n_taken);
        }
    }

    fn answered(&mut self, status: u16) {
        self.progress.is_answered = true;
        self.progress.status = status;
        if self.request.log.is_some() {
            let waited = crate::clock::now().saturating_duration_since(self.request.started);
            self.progress.answered_ms = u64::try_from(waited.as_millis()).ok();
        }
    }

    /// Appends body bytes in the client's framing; returns how many bytes of the answer were taken.
    fn take_body(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Failure> {
        match &mut self.download {
            Download::Length(left) => {
                let n_body = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= n_body as u64;
                out.extend_from_slice(&bytes[..n_body]);
                if *left == 0 {
                    self.download = Download::Done;
                }
                Ok(n_body)
            }
            Download::Chunked(decoder) => {
                let (n_taken, _, is_done) =
                    recode(self.worker, decoder, bytes, out, self.framing, self.head_limits, |_| {})
                        .map_err(|()| Failure::Protocol)?;
                if is_done {
                    self.download = Download::Done;
                }
                Ok(n_taken)
            }
            Download::UntilClose => {
                push_chunk(out, bytes, self.framing);
                Ok(bytes.len())
            }
            Download::Head | Download::Done => Ok(0),
        }
    }

    /// The endpoint closed its side.
    fn end_of_answer(&mut self, cx: &mut Context<'_>) -> Result<Step, Failure> {
        if !matches!(self.download, Download::UntilClose) {
            return Err(self.broken());
        }
        self.download = Download::Done;
        self.upstream_keeps = false;
        match self.framing {
            Framing::Chunked => self.send_client(cx, LAST_CHUNK),
            Framing::Same | Framing::UntilClose => Ok(Step::Done),
        }
    }

    fn broken(&self) -> Failure {
        if self.progress.is_received { Failure::Truncated } else { Failure::NoAnswer }
    }

    /// The limit that has passed, if one has.
    fn overdue(&self) -> Option<Failure> {
        let now = self.worker.wheel.now();
        let has_passed = |tick: Option<Tick>| tick.is_some_and(|tick| tick <= now);
        if has_passed(self.request.deadline) {
            return Some(Failure::RequestTimeout);
        }
        if has_passed(self.upload_deadline()) {
            return Some(if self.to_upstream.is_empty() {
                Failure::SlowBody
            } else {
                Failure::BackendTimeout
            });
        }
        if has_passed(self.download_deadline()) {
            return Some(if self.to_client.is_empty() {
                Failure::BackendTimeout
            } else {
                Failure::ClientStalled
            });
        }
        None
    }

    fn next_deadline(&self) -> Option<Tick> {
        let transfer = Tick::earlier(self.upload_deadline(), self.download_deadline());
        Tick::earlier(self.request.deadline, transfer)
    }

    /// When the upload is too slow: by the endpoint's stall or by the client's lowest rate.
    fn upload_deadline(&self) -> Option<Tick> {
        if matches!(self.upload, Upload::Done | Upload::Refused) && self.to_upstream.is_empty() {
            return None;
        }
        if !self.to_upstream.is_empty() {
            return self.limits.idle.map(|idle| self.upstream_moved.plus(idle));
        }
        // The client must have sent `rate * time` bytes at any time after the grace.
        let grace = self.limits.client_stall?;
        let rate = u64::from(self.limits.body_min_rate);
        let earned_ms = (self.progress.bytes_in * 1_000).checked_div(rate)?;
        Some(self.started.plus(Duration::from_millis(earned_ms).max(grace)))
    }

    /// When the download is too slow: the head, the body, or the client that takes it.
    fn download_deadline(&self) -> Option<Tick> {
        if !self.to_client.is_empty() {
            return self.limits.client_stall.map(|stall| self.client_moved.plus(stall));
        }
        match self.download {
            Download::Done => None,
            // The clock of the answer starts when the request is complete.
            Download::Head => {
                let is_sent = matches!(self.upload, Upload::Done | Upload::Refused);
                self.limits.answer.filter(|_| is_sent).map(|answer| self.upstream_moved.plus(answer))
            }
            _ => self.limits.idle.map(|idle| self.upstream_moved.plus(idle)),
        }
    }
}

/// Decodes chunks and writes them in the framing wanted; tells what was in them. Returns bytes taken, body bytes among
/// them, and whether the body is complete.
fn recode(
    worker: &Worker,
    decoder: &mut ChunkedDecoder,
    bytes: &[u8],
    out: &mut Vec<u8>,
    framing: Framing,
    limits: &Limits,
    mut tell: impl FnMut(&[u8]),
) -> Result<(usize, u64, bool), ()> {
    let mut n_taken = 0;
    let mut n_body = 0;
    loop {
        let rest = bytes.get(n_taken..).unwrap_or_default();
        let decoded = decoder.decode(rest).map_err(|_| ())?;
        n_taken += decoded.consumed;
        match decoded.event {
            ChunkEvent::NeedMore => return Ok((n_taken, n_body, false)),
            ChunkEvent::Data { start, end } => {
                let data = rest.get(start..end).unwrap_or_default();
                n_body += data.len() as u64;
                tell(data);
                push_chunk(out, data, framing);
            }
            ChunkEvent::Trailers { start, end } => {
                if framing == Framing::Chunked {
                    out.extend_from_slice(b"0\r\n");
                    let section = rest.get(start..end).unwrap_or_default();
                    if !section.is_empty() {
                        let mut trailers = worker.scratch.trailers();
                        trailers.clear();
                        parse_trailers(section, &mut trailers, limits).map_err(|_| ())?;
                        for trailer in trailers.iter().filter(|trailer| !trailer.hop_by_hop) {
                            field(out, trailer.name.of(section), trailer.value.of(section));
                        }
                    }
                    out.extend_from_slice(b"\r\n");
                }
                return Ok((n_taken, n_body, true));
            }
        }
    }
}

fn push_chunk(out: &mut Vec<u8>, data: &[u8], framing: Framing) {
    if data.is_empty() {
        return;
    }
    if framing == Framing::Chunked {
        encode::chunk_size_line(out, data.len());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    } else {
        out.extend_from_slice(data);
    }
}

/// Bytes of a body of known length that are sent in one piece with their head.
const WITH_HEAD_BYTES: usize = 32 * 1024;
/// Largest number of interim answers to one request.
const INTERIM_MAX: u8 = 16;
/// Rounds in one poll before other connections get their turn, however little they move.
const ROUNDS_PER_POLL: usize = 4;
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
