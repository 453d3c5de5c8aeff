//! A client's stream of an HTTP/2 connection.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Response, StatusCode};

use super::{BodyPiece, ClientSide, Piece};
use crate::worker::exchange::Failure;

/// One request of a connection that others share.
pub(crate) struct Http2Client {
    /// Nothing once the stream is a tunnel.
    body: Option<RecvStream>,
    is_body_done: bool,
    respond: SendResponse<Bytes>,
    send: Option<SendStream<Bytes>>,
    /// Given and not taken by flow control yet, and whether the answer ends with it.
    waiting: Option<(Bytes, bool)>,
}

// === impl Http2Client ===

impl Http2Client {
    /// `is_body_done` if the stream ended with the head.
    pub(crate) fn new(body: RecvStream, is_body_done: bool, respond: SendResponse<Bytes>) -> Self {
        Self { is_body_done, body: Some(body), respond, send: None, waiting: None }
    }

    /// Ends the stream with an error.
    pub(crate) fn reset(&mut self, reason: Reason) {
        match &mut self.send {
            Some(send) => send.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }

    /// The halves of a stream that has become a tunnel.
    pub(crate) fn take_tunnel(&mut self) -> Option<(RecvStream, SendStream<Bytes>)> {
        self.is_body_done = true;
        Some((self.body.take()?, self.send.take()?))
    }

    fn data(&mut self, bytes: Bytes, is_end: bool) -> Result<(), Failure> {
        let send = self.send.as_mut().ok_or(Failure::ClientGone)?;
        if bytes.len() <= SMALL_BYTES {
            // The library keeps what flow control does not admit yet; so little may wait there.
            return send.send_data(bytes, is_end).map_err(|_| Failure::ClientGone);
        }
        send.reserve_capacity(bytes.len());
        self.waiting = Some((bytes, is_end));
        Ok(())
    }
}

impl ClientSide for Http2Client {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<BodyPiece, Failure>>> {
        if self.is_body_done {
            return Poll::Ready(None);
        }
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        if let Some(data) = ready!(body.poll_data(cx)) {
            return Poll::Ready(Some(data.map(BodyPiece::Data).map_err(|_| Failure::ClientGone)));
        }
        match ready!(body.poll_trailers(cx)) {
            Ok(trailers) => {
                self.is_body_done = true;
                Poll::Ready(trailers.map(|trailers| Ok(BodyPiece::Trailers(trailers))))
            }
            Err(_) => Poll::Ready(Some(Err(Failure::ClientGone))),
        }
    }

    fn release(&mut self, n_bytes: usize) {
        if let Some(body) = &mut self.body {
            // A stream that is gone needs no room.
            let _ = body.flow_control().release_capacity(n_bytes);
        }
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Some(send) = &mut self.send else { return Poll::Ready(Ok(())) };
        while let Some((mut bytes, is_end)) = self.waiting.take() {
            let capacity = match send.poll_capacity(cx) {
                Poll::Ready(Some(Ok(capacity))) => capacity,
                Poll::Ready(_) => return Poll::Ready(Err(Failure::ClientGone)),
                Poll::Pending => {
                    self.waiting = Some((bytes, is_end));
                    return Poll::Pending;
                }
            };
            let now = bytes.split_to(capacity.min(bytes.len()));
            let is_last = bytes.is_empty();
            send.send_data(now, is_last && is_end).map_err(|_| Failure::ClientGone)?;
            if !is_last {
                self.waiting = Some((bytes, is_end));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn give(&mut self, piece: Piece) -> Result<(), Failure> {
        let gone = |_| Failure::ClientGone;
        match piece {
            Piece::Interim(status, fields) => {
                let mut response = Response::new(());
                *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::CONTINUE);
                *response.headers_mut() = fields;
                self.respond.send_informational(response).map_err(gone)
            }
            Piece::Switch => {
                self.give(Piece::Head { status: 200, fields: http::HeaderMap::new(), is_end: false })
            }
            Piece::Head { status, fields, is_end } => {
                let mut response = Response::new(());
                *response.status_mut() = StatusCode::from_u16(status).map_err(|_| Failure::Protocol)?;
                *response.headers_mut() = fields;
                self.send = Some(self.respond.send_response(response, is_end).map_err(gone)?);
                Ok(())
            }
            Piece::Data { bytes, is_end } => self.data(bytes, is_end),
            Piece::Trailers(trailers) => {
                let send = self.send.as_mut().ok_or(Failure::ClientGone)?;
                send.send_trailers(trailers).map_err(gone)
            }
            Piece::End => self.data(Bytes::new(), true),
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.send {
            Some(send) => send.poll_reset(cx).map(|_| ()),
            None => self.respond.poll_reset(cx).map(|_| ()),
        }
    }
}

/// A piece up to this size is given to the library whole.
const SMALL_BYTES: usize = 16 * 1024;
