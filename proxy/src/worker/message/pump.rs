//! Moves one exchange between its two sides, both ways at once, within its limits of time.

use std::task::{Context, Poll};
use std::time::Duration;

use super::{BodyPiece, ClientSide, Piece, ServerSide};
use crate::worker::Worker;
use crate::worker::exchange::{AttemptLimits, Failure, Progress};
use crate::worker::lane::{PIECE_BYTES, Turn};
use crate::worker::request::Request;
use crate::worker::timer::{Tick, Timer};

/// An attempt under way.
pub(crate) struct Pump<'a, C, S> {
    worker: &'a Worker,
    client: &'a mut C,
    server: S,
    request: &'a Request,
    timer: &'a Timer,
    limits: AttemptLimits<'a>,
    upload: Upload,
    /// Bytes of the body that the endpoint has not taken yet.
    unreleased: usize,
    is_answer_done: bool,
    turn: Turn,
    started: Tick,
    client_moved: Tick,
    server_moved: Tick,
    /// The client keeps the answer waiting.
    is_client_slow: bool,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Upload {
    Open,
    Done,
    /// The endpoint takes no more; its answer may still come.
    Refused,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Moved,
    Waiting,
    Done,
}

// === impl Pump ===

impl<'a, C: ClientSide, S: ServerSide> Pump<'a, C, S> {
    pub(crate) fn new(
        worker: &'a Worker,
        client: &'a mut C,
        server: S,
        request: &'a Request,
        timer: &'a Timer,
        limits: AttemptLimits<'a>,
    ) -> Self {
        let now = worker.wheel.now();
        let pump = Self {
            worker,
            client,
            server,
            request,
            timer,
            limits,
            upload: if request.has_whole_body() { Upload::Done } else { Upload::Open },
            unreleased: 0,
            is_answer_done: false,
            turn: Turn::default(),
            started: now,
            client_moved: now,
            server_moved: now,
            is_client_slow: false,
            progress: Progress::default(),
        };
        timer.set(pump.next_deadline());
        pump
    }

    /// Moves both ways until the answer is with the client.
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
                (_, Step::Done) => return Poll::Ready(Ok(())),
                (Step::Waiting | Step::Done, Step::Waiting) => {
                    if self.client.poll_gone(cx).is_ready() {
                        return Poll::Ready(Err(Failure::ClientGone));
                    }
                    if !self.timer.poll_expired(cx) {
                        self.turn.moved(&self.worker.lane, self.progress.n_moved() - n_before);
                        return Poll::Pending;
                    }
                    match self.overdue() {
                        Some(failure) => return Poll::Ready(Err(failure)),
                        None => self.timer.set(self.next_deadline()),
                    }
                }
                _ => {}
            }
        }
        self.turn.pause(&self.worker.lane, cx, self.progress.n_moved() - n_before);
        Poll::Pending
    }

    /// Gives memory back and tells how far it came. Called once, after the last poll.
    pub(crate) fn close(self) -> (Progress, S) {
        let mut progress = self.progress;
        progress.is_sent |= self.server.has_sent();
        progress.is_received |= self.server.has_received();
        progress.upstream_reusable =
            self.is_answer_done && self.upload == Upload::Done && self.unreleased == 0;
        (progress, self.server)
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<Step, Failure> {
        if self.upload == Upload::Refused {
            return Ok(Step::Done);
        }
        match self.server.poll_sent(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(())) => {
                self.upload = Upload::Refused;
                return Ok(Step::Done);
            }
            Poll::Pending => return Ok(Step::Waiting),
        }
        if self.unreleased > 0 {
            self.client.release(self.unreleased);
            self.unreleased = 0;
            self.server_moved = self.worker.wheel.now();
        }
        if self.upload == Upload::Done {
            return Ok(Step::Done);
        }
        let given = match self.client.poll_body(cx) {
            Poll::Pending => return Ok(Step::Waiting),
            Poll::Ready(Some(Ok(piece))) => {
                self.progress.is_consumed = true;
                self.client_moved = self.worker.wheel.now();
                let mirrors = self.request.mirrors.as_deref();
                match &piece {
                    BodyPiece::Data(bytes) => {
                        self.progress.bytes_in += bytes.len() as u64;
                        self.unreleased = bytes.len();
                        mirrors.inspect(|mirrors| mirrors.shared_data(bytes));
                    }
                    BodyPiece::Trailers(trailers) => {
                        self.upload = Upload::Done;
                        mirrors.inspect(|mirrors| mirrors.trailers(trailers));
                    }
                }
                self.server.give(cx, piece)
            }
            Poll::Ready(Some(Err(failure))) => return Err(failure),
            Poll::Ready(None) => {
                self.upload = Upload::Done;
                self.request.mirrors.as_ref().inspect(|mirrors| mirrors.finish());
                self.server.finish(cx)
            }
        };
        if given.is_err() {
            self.upload = Upload::Refused;
            return Ok(Step::Done);
        }
        Ok(Step::Moved)
    }

    fn poll_download(&mut self, cx: &mut Context<'_>) -> Result<Step, Failure> {
        self.is_client_slow = false;
        match self.client.poll_room(cx) {
            Poll::Ready(room) => room?,
            Poll::Pending => {
                self.is_client_slow = true;
                // Sooner than the deadline of an endpoint that is read from.
                self.timer.set(self.next_deadline());
                return Ok(Step::Waiting);
            }
        }
        if self.is_answer_done {
            return Ok(Step::Done);
        }
        let piece = match self.server.poll_piece(cx) {
            Poll::Ready(piece) => piece?,
            Poll::Pending => return Ok(Step::Waiting),
        };
        let now = self.worker.wheel.now();
        self.server_moved = now;
        self.client_moved = now;
        self.progress.is_received = true;
        match &piece {
            Piece::Interim(..) => {}
            Piece::Switch => {
                self.answered(101);
                self.progress.is_tunnel = true;
                self.is_answer_done = true;
            }
            Piece::Head { status, .. }
                if self.limits.unwanted.contains(status) && !self.progress.is_consumed =>
            {
                return Err(Failure::Unwanted);
            }
            Piece::Head { status, is_end, .. } => {
                self.answered(*status);
                self.is_answer_done = *is_end;
                self.timer.set(self.next_deadline());
            }
            Piece::Data { bytes, is_end } => {
                self.progress.bytes_out += bytes.len() as u64;
                self.is_answer_done = *is_end;
            }
            Piece::Trailers(_) | Piece::End => self.is_answer_done = true,
        }
        self.client.give(piece)?;
        Ok(Step::Moved)
    }

    fn answered(&mut self, status: u16) {
        self.progress.is_answered = true;
        self.progress.status = status;
        if self.request.log.is_some() {
            self.progress.answered_ms = Some(crate::worker::forward::elapsed_ms(self.request));
        }
    }

    fn overdue(&self) -> Option<Failure> {
        let now = self.worker.wheel.now();
        let has_passed = |tick: Option<Tick>| tick.is_some_and(|tick| tick <= now);
        if has_passed(self.request.deadline) {
            return Some(Failure::RequestTimeout);
        }
        if has_passed(self.upload_deadline()) {
            return Some(if self.unreleased == 0 { Failure::SlowBody } else { Failure::BackendTimeout });
        }
        if has_passed(self.download_deadline()) {
            return Some(if self.is_client_slow { Failure::ClientStalled } else { Failure::BackendTimeout });
        }
        None
    }

    fn next_deadline(&self) -> Option<Tick> {
        Tick::earlier(self.request.deadline, Tick::earlier(self.upload_deadline(), self.download_deadline()))
    }

    fn upload_deadline(&self) -> Option<Tick> {
        if self.upload != Upload::Open && self.unreleased == 0 {
            return None;
        }
        if self.unreleased > 0 {
            return self.limits.idle.map(|idle| self.server_moved.plus(idle));
        }
        // A stream that carries messages both ways may be silent one way for as long as it speaks the other way.
        let grace = self.limits.client_stall?;
        if self.progress.is_answered {
            return self.limits.idle.map(|idle| self.server_moved.plus(idle.max(grace)));
        }
        let rate = u64::from(self.limits.body_min_rate);
        let earned_ms = (self.progress.bytes_in * 1_000).checked_div(rate)?;
        Some(self.started.plus(Duration::from_millis(earned_ms).max(grace)))
    }

    fn download_deadline(&self) -> Option<Tick> {
        if self.is_client_slow {
            return self.limits.client_stall.map(|stall| self.client_moved.plus(stall));
        }
        if self.is_answer_done {
            return None;
        }
        if !self.progress.is_answered {
            let is_sent = self.upload != Upload::Open;
            return self.limits.answer.filter(|_| is_sent).map(|answer| self.server_moved.plus(answer));
        }
        self.limits.idle.map(|idle| self.server_moved.plus(idle))
    }
}

/// Pieces moved in one poll before other streams get their turn.
const ROUNDS_PER_POLL: usize = 16;
