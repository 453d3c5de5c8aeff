//! A client that speaks HTTP/1, of an endpoint that speaks something else.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use igw_h1::{Body, ChunkedDecoder, Limits, Version, encode};

use super::{BodyPiece, ClientSide, Piece, chunks};
use crate::worker::Worker;
use crate::worker::client::ClientStream;
use crate::worker::exchange::Failure;
use crate::worker::request::{Method, Request};
use crate::worker::request_head::field;
use crate::worker::response_head::{Framing, connection, status_line};
use crate::worker::scratch::{InBuffer, OutBuffer};
use crate::worker::stream::poll_read_some;

/// One request of a connection.
pub(crate) struct Http1Client<'a> {
    worker: &'a Worker,
    stream: &'a mut ClientStream,
    unread: &'a mut InBuffer,
    request: &'a Request,
    limits: &'a Limits,
    upload: Upload,
    /// The decoder left bytes and waits for those behind them.
    is_starved: bool,
    framing: Framing,
    to_client: OutBuffer,
    has_failed: bool,
    keep_alive: bool,
    is_early: bool,
}

enum Upload {
    Length(u64),
    Chunked(ChunkedDecoder),
    /// They were read and wait to be taken.
    Trailers(HeaderMap),
    Done,
}

// === impl Http1Client ===

impl<'a> Http1Client<'a> {
    pub(crate) fn new(
        worker: &'a Worker,
        stream: &'a mut ClientStream,
        unread: &'a mut InBuffer,
        request: &'a Request,
        limits: &'a Limits,
    ) -> Self {
        let upload = match request.body {
            _ if request.is_complete => Upload::Done,
            Body::Length(length) => Upload::Length(length),
            Body::Chunked => Upload::Chunked(ChunkedDecoder::new(limits.clone())),
            Body::None | Body::UntilClose => Upload::Done,
        };
        Self {
            worker,
            stream,
            unread,
            request,
            limits,
            upload,
            is_starved: false,
            framing: Framing::Same,
            to_client: OutBuffer::default(),
            has_failed: false,
            keep_alive: request.keep_alive,
            is_early: false,
        }
    }

    /// Gives memory back; true if the client may send another request.
    pub(crate) fn close(mut self) -> bool {
        let is_reusable = self.keep_alive
            && !self.is_early
            && !self.has_failed
            && self.to_client.is_empty()
            && matches!(self.upload, Upload::Done);
        self.to_client.discard(&self.worker.scratch);
        is_reusable
    }

    fn send(&mut self, bytes: &[u8]) {
        // Sent by the next look for room, which comes before anything else is given.
        self.to_client.keep(&self.worker.scratch, bytes);
    }

    fn head(&mut self, status: u16, fields: &HeaderMap, is_end: bool) {
        let worker = self.worker;
        let has_length = fields.contains_key(http::header::CONTENT_LENGTH);
        let has_no_body = self.request.method == Method::Head || matches!(status, 204 | 304);
        self.framing = match (has_length || is_end || has_no_body, self.request.version) {
            (true, _) => Framing::Same,
            (false, Version::Http11) => Framing::Chunked,
            (false, Version::Http10) => Framing::UntilClose,
        };
        self.is_early = !matches!(self.upload, Upload::Done);
        self.keep_alive &= self.framing != Framing::UntilClose && !self.is_early && !worker.is_draining();
        let mut out = worker.scratch.take();
        status_line(&mut out, status, encode::reason(status).as_bytes());
        for (name, value) in fields {
            field(&mut out, name.as_str().as_bytes(), value.as_bytes());
        }
        if self.framing == Framing::Chunked {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        } else if is_end && !has_length && !has_no_body {
            out.extend_from_slice(b"content-length: 0\r\n");
        }
        connection(&mut out, self.request.version, self.keep_alive);
        out.extend_from_slice(b"\r\n");
        self.send(&out);
        worker.scratch.give(out);
    }

    fn data(&mut self, bytes: &[u8], is_end: bool) {
        if self.framing != Framing::Chunked {
            return self.send(bytes);
        }
        let worker = self.worker;
        let mut out = worker.scratch.take();
        if !bytes.is_empty() {
            encode::chunk_size_line(&mut out, bytes.len());
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
        if is_end {
            out.extend_from_slice(b"0\r\n\r\n");
        }
        self.send(&out);
        worker.scratch.give(out);
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        if self.framing != Framing::Chunked {
            return;
        }
        let worker = self.worker;
        let mut out = worker.scratch.take();
        out.extend_from_slice(b"0\r\n");
        for (name, value) in trailers {
            field(&mut out, name.as_str().as_bytes(), value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        self.send(&out);
        worker.scratch.give(out);
    }
}

impl ClientSide for Http1Client<'_> {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<BodyPiece, Failure>>> {
        match &mut self.upload {
            Upload::Done => return Poll::Ready(None),
            Upload::Trailers(trailers) => {
                let trailers = std::mem::take(trailers);
                self.upload = Upload::Done;
                return Poll::Ready(Some(Ok(BodyPiece::Trailers(trailers))));
            }
            Upload::Length(_) | Upload::Chunked(_) => {}
        }
        let worker = self.worker;
        let mut input = worker.scratch.input();
        let mut n_input = self.unread.bytes().len().min(input.len());
        input[..n_input].copy_from_slice(&self.unread.bytes()[..n_input]);
        if n_input == 0 || self.is_starved {
            match poll_read_some(self.stream, cx, &mut input[n_input..]) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Some(Err(Failure::ClientGone))),
                Poll::Ready(Ok(n_more)) => n_input += n_more,
                Poll::Pending => return Poll::Pending,
            }
        }
        let bytes = &input[..n_input];
        let (n_taken, piece) = match &mut self.upload {
            Upload::Length(left) => {
                let n_body = usize::try_from(*left).unwrap_or(usize::MAX).min(n_input);
                *left -= n_body as u64;
                if *left == 0 {
                    self.upload = Upload::Done;
                }
                (n_body, BodyPiece::Data(Bytes::copy_from_slice(&bytes[..n_body])))
            }
            Upload::Chunked(decoder) => {
                let Ok(taken) = chunks::take(worker, decoder, bytes, self.limits) else {
                    return Poll::Ready(Some(Err(Failure::BadBody)));
                };
                self.is_starved = taken.end.is_none();
                if let Some(trailers) = taken.end {
                    self.upload = if trailers.is_empty() { Upload::Done } else { Upload::Trailers(trailers) };
                }
                (taken.n_bytes, BodyPiece::Data(taken.data))
            }
            Upload::Trailers(_) | Upload::Done => (0, BodyPiece::Data(Bytes::new())),
        };
        self.unread.set(&worker.scratch, &bytes[n_taken..]);
        Poll::Ready(Some(Ok(piece)))
    }

    fn release(&mut self, _: usize) {}

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.to_client.poll_flush(&self.worker.scratch, self.stream, cx).map_err(|_| {
            self.has_failed = true;
            Failure::ClientGone
        })
    }

    fn give(&mut self, piece: Piece) -> Result<(), Failure> {
        match piece {
            Piece::Interim(status, fields) => {
                if self.request.version == Version::Http11 {
                    let mut out = self.worker.scratch.take();
                    status_line(&mut out, status, encode::reason(status).as_bytes());
                    for (name, value) in &fields {
                        field(&mut out, name.as_str().as_bytes(), value.as_bytes());
                    }
                    out.extend_from_slice(b"\r\n");
                    self.send(&out);
                    self.worker.scratch.give(out);
                }
            }
            // An endpoint of a shared connection does not change protocols.
            Piece::Switch => return Err(Failure::Protocol),
            Piece::Head { status, fields, is_end } => self.head(status, &fields, is_end),
            Piece::Data { bytes, is_end } => self.data(&bytes, is_end),
            Piece::Trailers(trailers) => self.trailers(&trailers),
            Piece::End => self.data(&[], true),
        }
        Ok(())
    }

    /// A client may close its side while it waits for the answer (RFC 9112 9.6).
    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}
