//! The client of a question: its body came with it, and it keeps the answer.

use std::task::{Context, Poll};

use http::HeaderMap;
use igw_h1::Limits;

use crate::upstream::local::Leased;
use crate::worker::Worker;
use crate::worker::client::Peer;
use crate::worker::exchange::{AttemptLimits, Failure, Progress};
use crate::worker::forward::Downstream;
use crate::worker::message::{BodyPiece, ClientSide, Piece, attempt};
use crate::worker::request::Request;
use crate::worker::timer::Timer;

/// One question under way.
pub(in crate::worker) struct Inquiry {
    pub(in crate::worker) answer: Heard,
    timer: Timer,
    peer: Peer,
}

/// An answer.
#[derive(Default)]
pub(in crate::worker) struct Heard {
    pub(in crate::worker) status: u16,
    pub(in crate::worker) fields: HeaderMap,
    pub(in crate::worker) body: Vec<u8>,
    pub(in crate::worker) trailers: HeaderMap,
}

// === impl Inquiry ===

impl Inquiry {
    pub(in crate::worker) fn new(worker: &Worker, client: &Peer) -> Self {
        Self {
            answer: Heard::default(),
            timer: worker.wheel.timer(),
            peer: Peer::new(client.address, client.destination),
        }
    }
}

impl Downstream for Inquiry {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }

    async fn attempt(
        &mut self,
        worker: &Worker,
        request: &Request,
        leased: &mut Leased,
        limits: AttemptLimits<'_>,
        head_limits: &Limits,
    ) -> (Result<(), Failure>, Progress) {
        self.answer = Heard::default();
        let ended =
            attempt::run(worker, &mut self.answer, request, &self.timer, leased, limits, head_limits).await;
        (ended.outcome, ended.progress)
    }
}

impl ClientSide for Heard {
    fn poll_body(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<BodyPiece, Failure>>> {
        Poll::Ready(None)
    }

    fn release(&mut self, _: usize) {}

    fn poll_room(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn give(&mut self, piece: Piece) -> Result<(), Failure> {
        match piece {
            Piece::Head { status, fields, .. } => (self.status, self.fields) = (status, fields),
            Piece::Data { bytes, .. } => {
                if self.body.len() + bytes.len() > BODY_BYTES {
                    return Err(Failure::ClientGone);
                }
                self.body.extend_from_slice(&bytes);
            }
            Piece::Trailers(trailers) => self.trailers = trailers,
            // A service that changes protocols has not said yes.
            Piece::Switch => return Err(Failure::ClientGone),
            Piece::Interim(..) | Piece::End => {}
        }
        Ok(())
    }

    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        // The request waits for the answer, within its own time.
        Poll::Pending
    }
}

/// Largest body of an answer.
const BODY_BYTES: usize = 64 * 1024;
