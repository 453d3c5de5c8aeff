//! An endpoint that speaks HTTP/2: one stream of a connection that other requests use too.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Request as HttpRequest, Uri, Version};
use igw_h1::{Known, Limits, Parsed};

use super::{BodyPiece, Piece, ServerSide, fields};
use crate::upstream::local::SharedLease;
use crate::upstream::shared_link::SharedLink;
use crate::worker::Worker;
use crate::worker::exchange::Failure;
use crate::worker::request::Request;
use crate::worker::response_head::response_fields;

/// One request on a shared connection.
pub(crate) struct Http2Server<'a> {
    worker: &'a Worker,
    request: &'a Request,
    link: Rc<SharedLink>,
    sender: SendRequest<Bytes>,
    /// Nothing before the head has left.
    send: Option<SendStream<Bytes>>,
    /// Given and not taken by flow control yet, and whether the request ends with it.
    waiting: Option<(Bytes, bool)>,
    answer: Option<ResponseFuture>,
    body: Option<RecvStream>,
    /// Bytes of the answer that the client has not taken yet.
    unreleased: usize,
    n_interim: u8,
    has_received: bool,
    /// The endpoint says that it did not look at the request.
    is_unprocessed: bool,
}

// === impl Http2Server ===

impl<'a> Http2Server<'a> {
    pub(crate) fn new(worker: &'a Worker, lease: &SharedLease, request: &'a Request) -> Self {
        Self {
            worker,
            request,
            link: Rc::clone(&lease.link),
            sender: lease.link.sender(),
            send: None,
            waiting: None,
            answer: None,
            body: None,
            unreleased: 0,
            n_interim: 0,
            has_received: false,
            is_unprocessed: false,
        }
    }

    /// The head for the endpoint, from the one form that all requests have, and the body that came with it.
    fn head(&self) -> Option<(HttpRequest<()>, Bytes)> {
        let text = &self.request.head;
        let mut head = self.worker.scratch.request();
        // It was within the limits before the gateway added its own.
        let limits = Limits { head_bytes: 0, head_fields: 0, line_bytes: 0 };
        let Ok(Parsed::Complete { len }) = head.parse(text, &limits) else { return None };
        let host = head.host.of(text);
        let path = head.target.path.of(text);
        let query = head.target.query.map(|query| query.of(text));
        let mut target = Vec::with_capacity(path.len() + query.map_or(0, |query| query.len() + 1));
        target.extend_from_slice(path);
        if let Some(query) = query {
            target.push(b'?');
            target.extend_from_slice(query);
        }
        let uri =
            Uri::builder().scheme(self.link.scheme()).authority(host).path_and_query(target).build().ok()?;
        let mut request = HttpRequest::new(());
        *request.method_mut() = Method::from_bytes(head.method.of(text)).ok()?;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        let map = request.headers_mut();
        let forwarded = head.fields.iter().filter(|field| {
            !field.hop_by_hop && !matches!(field.known, Known::Host | Known::Expect | Known::Upgrade)
        });
        for field in forwarded {
            fields::push(map, field.name.of(text), field.value.of(text));
        }
        if head.te_trailers {
            map.insert(http::header::TE, http::HeaderValue::from_static("trailers"));
        }
        let body = text.get(len..).unwrap_or_default();
        Some((request, Bytes::copy_from_slice(body)))
    }

    /// Sends the head once the connection has room for a stream.
    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        if self.send.is_some() {
            return Poll::Ready(Ok(()));
        }
        if let Err(error) = ready!(self.sender.poll_ready(cx)) {
            self.note(&error);
            self.is_unprocessed = true;
            return Poll::Ready(Err(()));
        }
        let Some((head, body)) = self.head() else { return Poll::Ready(Err(())) };
        let is_end = body.is_empty() && self.request.is_complete;
        match self.sender.send_request(head, is_end) {
            Ok((answer, send)) => {
                self.answer = Some(answer);
                let send = self.send.insert(send);
                if !body.is_empty() {
                    send.reserve_capacity(body.len());
                    self.waiting = Some((body, self.request.is_complete));
                }
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                self.note(&error);
                self.is_unprocessed = true;
                Poll::Ready(Err(()))
            }
        }
    }

    /// What an error says of the connection and of the request.
    fn note(&mut self, error: &h2::Error) {
        if !error.is_reset() {
            // The connection as a whole: others find another one.
            self.link.retire();
        }
        let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        let has_gone = error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
        self.is_unprocessed |= is_refused || has_gone;
    }

    fn broken(&mut self, error: &h2::Error) -> Failure {
        self.note(error);
        let is_protocol = error.reason() == Some(Reason::PROTOCOL_ERROR) && !error.is_remote();
        match self.has_received {
            _ if is_protocol => Failure::Protocol,
            true => Failure::Truncated,
            false => Failure::NoAnswer,
        }
    }

    fn interim(&mut self, answer: http::Response<()>) -> Result<Piece, Failure> {
        self.n_interim += 1;
        let status = answer.status().as_u16();
        if self.n_interim > INTERIM_MAX || status == 101 {
            return Err(Failure::Protocol);
        }
        Ok(Piece::Interim(status, answer.into_parts().0.headers))
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Failure>> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(Err(Failure::NoAnswer)) };
        // Interim answers are told apart from the last one by the library, and not in order with it.
        if let Poll::Ready(Some(Ok(interim))) = answer.poll_informational(cx) {
            self.has_received = true;
            return Poll::Ready(self.interim(interim));
        }
        match ready!(Pin::new(answer).poll(cx)) {
            Ok(response) => {
                self.has_received = true;
                self.answer = None;
                let (parts, body) = response.into_parts();
                let is_end = body.is_end_stream();
                self.body = Some(body);
                let mut map = HeaderMap::with_capacity(parts.headers.len());
                let entries = parts.headers.iter().map(|(name, value)| {
                    let known = Known::of(name.as_str().as_bytes());
                    (name.as_str().as_bytes(), value.as_bytes(), known, known.is_hop_by_hop())
                });
                response_fields(self.worker, entries, self.request, true, |name, value| {
                    fields::push(&mut map, name, value);
                });
                Poll::Ready(Ok(Piece::Head { status: parts.status.as_u16(), fields: map, is_end }))
            }
            Err(error) => Poll::Ready(Err(self.broken(&error))),
        }
    }
}

impl ServerSide for Http2Server<'_> {
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        ready!(self.poll_begin(cx))?;
        let Some(send) = &mut self.send else { return Poll::Ready(Err(())) };
        while let Some((mut bytes, is_end)) = self.waiting.take() {
            let capacity = match send.poll_capacity(cx) {
                Poll::Ready(Some(Ok(capacity))) => capacity,
                Poll::Ready(_) => return Poll::Ready(Err(())),
                Poll::Pending => {
                    self.waiting = Some((bytes, is_end));
                    return Poll::Pending;
                }
            };
            let now = bytes.split_to(capacity.min(bytes.len()));
            let is_last = bytes.is_empty();
            send.send_data(now, is_last && is_end).map_err(|_| ())?;
            if !is_last {
                self.waiting = Some((bytes, is_end));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn has_sent(&self) -> bool {
        self.send.is_some() && !self.is_unprocessed
    }

    fn give(&mut self, _: &mut Context<'_>, piece: BodyPiece) -> Result<(), ()> {
        let send = self.send.as_mut().ok_or(())?;
        match piece {
            BodyPiece::Data(bytes) if bytes.is_empty() => Ok(()),
            BodyPiece::Data(bytes) => {
                send.reserve_capacity(bytes.len());
                self.waiting = Some((bytes, false));
                Ok(())
            }
            BodyPiece::Trailers(trailers) => send.send_trailers(trailers).map_err(|_| ()),
        }
    }

    fn finish(&mut self, _: &mut Context<'_>) -> Result<(), ()> {
        let send = self.send.as_mut().ok_or(())?;
        send.send_data(Bytes::new(), true).map_err(|_| ())
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Failure>> {
        let Some(body) = &mut self.body else {
            return self.poll_head(cx);
        };
        if self.unreleased > 0 {
            // A stream that is gone needs no room.
            let _ = body.flow_control().release_capacity(std::mem::take(&mut self.unreleased));
        }
        match ready!(body.poll_data(cx)) {
            Some(Ok(bytes)) => {
                self.unreleased = bytes.len();
                let is_end = body.is_end_stream();
                Poll::Ready(Ok(Piece::Data { bytes, is_end }))
            }
            // An endpoint that needs no more of the request may say so behind its answer (RFC 9113 8.1).
            Some(Err(error)) if error.is_reset() && error.reason() == Some(Reason::NO_ERROR) => {
                Poll::Ready(Ok(Piece::End))
            }
            Some(Err(error)) => Poll::Ready(Err(self.broken(&error))),
            None => match ready!(body.poll_trailers(cx)) {
                Ok(Some(trailers)) => Poll::Ready(Ok(Piece::Trailers(trailers))),
                Ok(None) => Poll::Ready(Ok(Piece::End)),
                Err(error) => Poll::Ready(Err(self.broken(&error))),
            },
        }
    }

    fn has_received(&self) -> bool {
        self.has_received
    }

    /// The connection is everybody's: there is nothing to give back.
    fn close(self) -> bool {
        false
    }
}

/// Largest number of interim answers to one request.
const INTERIM_MAX: u8 = 16;
