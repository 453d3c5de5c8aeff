//! hyper: its server reads requests, its client responses, from memory and without a clock.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::rt::ReadBufCursor;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, Version};

use crate::{Content, Field, Message, Reading, Step, Target};

/// A connection whose other side has sent a stream and waits.
struct Memory<'s> {
    stream: &'s [u8],
    /// Whether the other side has closed after the stream.
    is_closed: bool,
    /// Whether the other side has sent already; it does once something is written to it.
    is_open: bool,
    reader: Option<Waker>,
}

/// Whether somebody asked to be polled again.
#[derive(Default)]
struct Woken(AtomicBool);

pub fn requests(stream: &[u8]) -> Reading {
    let steps = RefCell::new(Vec::new());
    let service = service_fn(|request: Request<Incoming>| {
        let steps = &steps;
        async move {
            let (head, body) = request.into_parts();
            let target = Target {
                authority: head.uri.authority().map(|authority| authority.as_str().into()),
                path: head.uri.path().into(),
                query: head.uri.query().map(Into::into),
            };
            let step = match collect(body).await {
                Ok(content) => Step::Taken(Message {
                    subject: head.method.as_str().into(),
                    target,
                    is_11: head.version == Version::HTTP_11,
                    fields: texts(&head.headers),
                    content: content.bytes,
                    trailers: content.trailers,
                }),
                Err(error) => Step::Refused(error),
            };
            steps.borrow_mut().push(step);
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let memory = Memory { stream, is_closed: false, is_open: true, reader: None };
    let connection =
        hyper::server::conn::http1::Builder::new().max_headers(N_FIELDS).serve_connection(memory, service);
    let ended = run(connection);
    let mut steps = steps.take();
    if !matches!(steps.last(), Some(Step::Refused(_))) {
        steps.push(match ended {
            None => Step::Waiting,
            Some(Ok(())) => Step::Closed,
            Some(Err(error)) => Step::Refused(format!("{error:?}")),
        });
    }
    Reading { steps, starts: Vec::new() }
}

/// Reads the responses to one request: those that inform, and the last. What follows it is no longer read.
pub fn responses(is_head: bool, stream: &[u8]) -> Reading {
    let memory = Memory { stream, is_closed: true, is_open: false, reader: None };
    let (informed, informing) = mpsc::channel();
    let exchange = async {
        let mut builder = hyper::client::conn::http1::Builder::new();
        let shaking = builder.max_headers(N_FIELDS).handshake(memory);
        let (mut sender, connection) = shaking.await.map_err(|error| format!("{error:?}"))?;
        let mut request = Request::new(Empty::<Bytes>::new());
        if is_head {
            *request.method_mut() = Method::HEAD;
        }
        hyper::ext::on_informational(&mut request, move |response| {
            let message = response_message(
                response.status().as_u16(),
                response.version(),
                response.headers(),
                Content { bytes: Vec::new(), trailers: Vec::new(), len: 0 },
            );
            // Nobody listens once the exchange is over.
            let _ = informed.send(message);
        });
        let mut connection = pin!(connection);
        let mut answer = pin!(async {
            let response = sender.send_request(request).await.map_err(|error| format!("{error:?}"))?;
            let (head, body) = response.into_parts();
            let content = collect(body).await?;
            Ok(response_message(head.status.as_u16(), head.version, &head.headers, content))
        });
        let mut is_running = true;
        std::future::poll_fn(|cx| {
            let polled = answer.as_mut().poll(cx);
            if polled.is_pending() && is_running {
                is_running = connection.as_mut().poll(cx).is_pending();
                return answer.as_mut().poll(cx);
            }
            polled
        })
        .await
    };
    let answer = run(exchange);
    let mut steps: Vec<Step> = informing.try_iter().map(Step::Taken).collect();
    steps.push(match answer {
        None => Step::Waiting,
        Some(Ok(message)) => Step::Taken(message),
        Some(Err(error)) => Step::Refused(error),
    });
    Reading { steps, starts: Vec::new() }
}

fn response_message(status: u16, version: Version, headers: &HeaderMap, content: Content) -> Message {
    Message {
        subject: status.to_string().into_bytes(),
        target: Target::default(),
        is_11: version == Version::HTTP_11,
        fields: texts(headers),
        content: content.bytes,
        trailers: content.trailers,
    }
}

/// The whole content. Where its coded form ends shows in what is read next.
async fn collect(mut body: Incoming) -> Result<Content, String> {
    let mut content = Content { bytes: Vec::new(), trailers: Vec::new(), len: 0 };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("{error:?}"))?;
        match frame.into_data() {
            Ok(data) => content.bytes.extend_from_slice(&data),
            Err(frame) => content.trailers = frame.trailers_ref().map(texts).unwrap_or_default(),
        }
    }
    Ok(content)
}

fn texts(headers: &HeaderMap) -> Vec<Field> {
    Field::sorted(headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())))
}

/// Polls until it is done or waits for what will never come.
fn run<F: Future>(future: F) -> Option<F::Output> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        woken.0.store(false, Ordering::Relaxed);
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        if !woken.0.load(Ordering::Relaxed) {
            return None;
        }
    }
}

// === impl Woken ===

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

// === impl Memory ===

impl hyper::rt::Read for Memory<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_open || (self.stream.is_empty() && !self.is_closed) {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (now, later) = self.stream.split_at(self.stream.len().min(into.remaining()));
        into.put_slice(now);
        self.stream = later;
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Memory<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.is_open {
            self.is_open = true;
            self.reader.take().inspect(Waker::wake_by_ref);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// As many fields as we take.
const N_FIELDS: usize = 128;
