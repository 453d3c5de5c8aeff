//! An endpoint that speaks HTTP/1, for a client that speaks something else.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use igw_h1::{Body, ChunkedDecoder, Limits, Parsed, RequestKind};
use tokio::io::AsyncWrite as _;

use super::{BodyPiece, Piece, ServerSide, chunks, fields};
use crate::worker::Worker;
use crate::worker::exchange::Failure;
use crate::worker::request::{Method, Request};
use crate::worker::scratch::{InBuffer, OutBuffer, write_or_keep};
use crate::worker::stream::{Stream, poll_read_some};

/// One request on a connection of its own.
pub(crate) struct Http1Server<'a> {
    worker: &'a Worker,
    stream: &'a mut Stream,
    request: &'a Request,
    limits: &'a Limits,
    head_sent: usize,
    to_upstream: OutBuffer,
    download: Download,
    from_upstream: InBuffer,
    n_interim: u8,
    has_received: bool,
    keeps: bool,
}

enum Download {
    Head,
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
    /// The last piece was read and waits to be taken.
    Last(Piece),
    Done,
}

// === impl Http1Server ===

impl<'a> Http1Server<'a> {
    pub(crate) fn new(
        worker: &'a Worker,
        stream: &'a mut Stream,
        request: &'a Request,
        limits: &'a Limits,
    ) -> Self {
        Self {
            worker,
            stream,
            request,
            limits,
            head_sent: 0,
            to_upstream: OutBuffer::default(),
            download: Download::Head,
            from_upstream: InBuffer::default(),
            n_interim: 0,
            has_received: false,
            keeps: false,
        }
    }

    fn send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Result<(), ()> {
        if !self.to_upstream.is_empty() {
            self.to_upstream.keep(&self.worker.scratch, bytes);
            return Ok(());
        }
        write_or_keep(&self.worker.scratch, &mut self.to_upstream, self.stream, cx, bytes)
            .map(|_| ())
            .map_err(|_| ())
    }

    fn is_chunked(&self) -> bool {
        self.request.body == Body::Chunked
    }

    /// Reads a head; `None` if it is not complete.
    fn take_head(&mut self, bytes: &[u8]) -> Result<(usize, Option<Piece>), Failure> {
        let kind = if self.request.method == Method::Head { RequestKind::Head } else { RequestKind::Other };
        let mut head = self.worker.scratch.response();
        let n_head = match head.parse(bytes, self.limits, kind) {
            Ok(Parsed::Complete { len }) => len,
            Ok(Parsed::Partial) => return Ok((0, None)),
            Err(_) => return Err(Failure::Protocol),
        };
        match head.status {
            101 if self.request.upgrade && head.upgrade.is_some() => {
                self.download = Download::Done;
                return Ok((n_head, Some(Piece::Switch)));
            }
            101 => return Err(Failure::Protocol),
            status @ 100..=199 => {
                self.n_interim += 1;
                if self.n_interim > INTERIM_MAX {
                    return Err(Failure::Protocol);
                }
                return Ok((n_head, Some(Piece::Interim(status, fields::of_section(bytes, &head.fields)))));
            }
            _ => {}
        }
        self.keeps = head.keep_alive;
        let length = match head.body {
            Body::Length(length) => Some(length),
            _ => None,
        };
        let n_whole = length.and_then(|length| n_head.checked_add(usize::try_from(length).ok()?));
        // An answer that came whole lies in one piece of memory, its fields and its body.
        let n_shared = n_whole.filter(|n_whole| *n_whole <= bytes.len()).unwrap_or(n_head);
        let shared = Bytes::copy_from_slice(&bytes[..n_shared]);
        let fields = fields::of_response(self.worker, &shared, &head, self.request, length);
        let mut n_taken = n_head;
        self.download = match head.body {
            Body::None | Body::Length(0) => Download::Done,
            Body::Length(_) if n_shared > n_head => {
                n_taken = n_shared;
                Download::Last(Piece::Data { bytes: shared.slice(n_head..), is_end: true })
            }
            Body::Length(length) => Download::Length(length),
            Body::Chunked => Download::Chunked(ChunkedDecoder::new(self.limits.clone())),
            Body::UntilClose => Download::UntilClose,
        };
        let is_end = matches!(self.download, Download::Done);
        let is_whole = is_end || matches!(self.download, Download::Last(_));
        self.keeps &= !is_whole || n_taken == bytes.len();
        Ok((n_taken, Some(Piece::Head { status: head.status, fields, is_end })))
    }

    /// Reads of a body what is there; nothing if there is nothing of it.
    fn take_body(&mut self, bytes: &[u8]) -> Result<(usize, Option<Piece>), Failure> {
        match &mut self.download {
            Download::Length(left) => {
                let n_body = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= n_body as u64;
                let is_end = *left == 0;
                if is_end {
                    self.download = Download::Done;
                    self.keeps &= n_body == bytes.len();
                }
                Ok((n_body, Some(Piece::Data { bytes: Bytes::copy_from_slice(&bytes[..n_body]), is_end })))
            }
            Download::Chunked(decoder) => {
                let taken =
                    chunks::take(self.worker, decoder, bytes, self.limits).map_err(|()| Failure::Protocol)?;
                if let Some(trailers) = taken.end {
                    self.keeps &= taken.n_bytes == bytes.len();
                    self.download = match trailers.is_empty() {
                        true => Download::Done,
                        false => Download::Last(Piece::Trailers(trailers)),
                    };
                }
                let is_end = matches!(self.download, Download::Done);
                let piece = match (taken.data.is_empty(), is_end) {
                    (true, true) => Some(Piece::End),
                    (true, false) => None,
                    _ => Some(Piece::Data { bytes: taken.data, is_end }),
                };
                Ok((taken.n_bytes, piece))
            }
            Download::UntilClose => {
                Ok((bytes.len(), Some(Piece::Data { bytes: Bytes::copy_from_slice(bytes), is_end: false })))
            }
            Download::Head | Download::Last(_) | Download::Done => Ok((0, None)),
        }
    }
}

impl ServerSide for Http1Server<'_> {
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        while let Some(rest) = self.request.head.get(self.head_sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut *self.stream).poll_write(cx, rest)) {
                Ok(written) if written > 0 => self.head_sent += written,
                _ => return Poll::Ready(Err(())),
            }
        }
        self.to_upstream.poll_flush(&self.worker.scratch, self.stream, cx).map_err(|_| ())
    }

    fn has_sent(&self) -> bool {
        self.head_sent > 0
    }

    fn give(&mut self, cx: &mut Context<'_>, piece: BodyPiece) -> Result<(), ()> {
        match piece {
            BodyPiece::Data(bytes) if bytes.is_empty() => Ok(()),
            BodyPiece::Data(bytes) if self.is_chunked() => {
                let worker = self.worker;
                let mut out = worker.scratch.output();
                igw_h1::encode::chunk_size_line(&mut out, bytes.len());
                out.extend_from_slice(&bytes);
                out.extend_from_slice(b"\r\n");
                self.send(cx, &out)
            }
            BodyPiece::Data(bytes) => self.send(cx, &bytes),
            BodyPiece::Trailers(trailers) if self.is_chunked() => {
                let mut out = b"0\r\n".to_vec();
                for (name, value) in &trailers {
                    // Writing to a vector cannot fail.
                    let _ = write!(out, "{name}: ");
                    out.extend_from_slice(value.as_bytes());
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"\r\n");
                self.send(cx, &out)
            }
            BodyPiece::Trailers(_) => Ok(()),
        }
    }

    fn finish(&mut self, cx: &mut Context<'_>) -> Result<(), ()> {
        if self.is_chunked() { self.send(cx, b"0\r\n\r\n") } else { Ok(()) }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Failure>> {
        if let Some(piece) = self.last() {
            return Poll::Ready(Ok(piece));
        }
        let worker = self.worker;
        let mut input = worker.scratch.input();
        let n_kept = self.from_upstream.bytes().len().min(input.len());
        input[..n_kept].copy_from_slice(&self.from_upstream.bytes()[..n_kept]);
        let mut n_input = n_kept;
        let mut wants_bytes = n_kept == 0;
        loop {
            if wants_bytes {
                let n_read = match poll_read_some(self.stream, cx, &mut input[n_input..]) {
                    Poll::Ready(Ok(n_read)) => n_read,
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(self.broken())),
                    Poll::Pending => {
                        self.from_upstream.set(&worker.scratch, &input[..n_input]);
                        return Poll::Pending;
                    }
                };
                if n_read == 0 {
                    if matches!(self.download, Download::UntilClose) {
                        self.download = Download::Done;
                        return Poll::Ready(Ok(Piece::End));
                    }
                    return Poll::Ready(Err(self.broken()));
                }
                self.has_received = true;
                n_input += n_read;
            }
            wants_bytes = true;
            let bytes = &input[..n_input];
            let (n_taken, piece) = match self.download {
                Download::Head => self.take_head(bytes)?,
                _ => self.take_body(bytes)?,
            };
            input.copy_within(n_taken..n_input, 0);
            n_input -= n_taken;
            if let Some(piece) = piece {
                self.from_upstream.set(&worker.scratch, &input[..n_input]);
                return Poll::Ready(Ok(piece));
            }
            if let Some(piece) = self.last() {
                return Poll::Ready(Ok(piece));
            }
        }
    }

    fn has_received(&self) -> bool {
        self.has_received
    }

    fn close(mut self) -> bool {
        self.to_upstream.discard(&self.worker.scratch);
        self.from_upstream.discard(&self.worker.scratch);
        self.keeps && self.head_sent == self.request.head.len() && matches!(self.download, Download::Done)
    }
}

impl Http1Server<'_> {
    /// The last piece, if it is there.
    fn last(&mut self) -> Option<Piece> {
        match std::mem::replace(&mut self.download, Download::Done) {
            Download::Last(piece) => Some(piece),
            other => {
                self.download = other;
                None
            }
        }
    }

    fn broken(&self) -> Failure {
        if self.has_received { Failure::Truncated } else { Failure::NoAnswer }
    }

    /// What came behind the answer that switched protocols.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.from_upstream.bytes().to_vec();
        self.from_upstream.discard(&self.worker.scratch);
        rest
    }
}

/// Largest number of interim answers to one request.
const INTERIM_MAX: u8 = 16;
