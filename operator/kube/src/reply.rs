//! Answers and their bodies: whole ones, and streams.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream::Stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::failure::Failure;

/// Body of an answer.
pub struct Body(UnsyncBoxBody<Bytes, Infallible>);

// === impl Body ===

impl Body {
    /// A whole body.
    #[must_use]
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Full::new(bytes.into()).boxed_unsync())
    }

    /// A body that comes piece by piece. Each piece is asked for when the client has room for it.
    #[must_use]
    pub fn stream(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        use futures::StreamExt as _;
        Self(StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece)))).boxed_unsync())
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.0.size_hint()
    }
}

/// An answer of a type.
pub(crate) fn reply(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, content: &impl Serialize) -> Response<Body> {
    json_as(status, JSON, content)
}

/// An answer in JSON under another type.
pub(crate) fn json_as(
    status: StatusCode,
    content_type: &'static str,
    content: &impl Serialize,
) -> Response<Body> {
    match serde_json::to_vec(content) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            reply(status, content_type, Body::whole(bytes))
        }
        // Trees and maps with string keys always encode.
        Err(error) => reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, Body::whole(error.to_string())),
    }
}

/// A refusal.
pub(crate) fn refusal(failure: &Failure) -> Response<Body> {
    let status = StatusCode::from_u16(failure.reason.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(status, &failure.to_value())
}

/// Adds warnings, which kubectl prints.
pub(crate) fn warn(mut response: Response<Body>, warnings: &[String]) -> Response<Body> {
    for text in warnings {
        let plain: String = text.chars().filter(|c| !c.is_control()).collect();
        let quoted = plain.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(HeaderName::from_static("warning"), value);
        }
    }
    response
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
