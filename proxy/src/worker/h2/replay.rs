//! A client's stream as the library reads it: the first bytes were read already, and it is asked for more again and again.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::worker::client::ClientStream;

/// Gives the first bytes again, then the stream.
pub(crate) struct Replay {
    first: Vec<u8>,
    stream: ClientStream,
    dry: Dry,
}

/// Within this turn of its task the stream had nothing more, and the task is noted as one that waits: it is not asked
/// again. The library reads before it hands out each of the streams that came together.
#[derive(Clone, Default)]
pub(crate) struct Dry(Rc<Cell<bool>>);

// === impl Dry ===

impl Dry {
    /// A turn of the task begins.
    pub(crate) fn begin(&self) {
        self.0.set(false);
    }
}

// === impl Replay ===

impl Replay {
    pub(crate) fn new(first: Vec<u8>, stream: ClientStream, dry: Dry) -> Self {
        Self { first, stream, dry }
    }
}

impl AsyncRead for Replay {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.is_empty() {
            if this.dry.0.get() {
                return Poll::Pending;
            }
            let read = Pin::new(&mut this.stream).poll_read(cx, buf);
            this.dry.0.set(read.is_pending());
            return read;
        }
        let n_bytes = this.first.len().min(buf.remaining());
        buf.put_slice(&this.first[..n_bytes]);
        this.first.drain(..n_bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replay {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
