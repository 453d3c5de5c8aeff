//! An HTTP/2 connection to an endpoint that requests of one worker share (RFC 9113).

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use h2::client::SendRequest;

use super::secure::Identity;
use crate::worker::stream::Stream;
use crate::worker::timer::Tick;

/// A connection that takes several requests at a time.
pub(crate) struct SharedLink {
    sender: SendRequest<Bytes>,
    identity: Identity,
    n_active: Cell<u32>,
    last_used: Cell<Tick>,
    is_gone: Rc<Cell<bool>>,
}

// === impl SharedLink ===

impl SharedLink {
    /// Begins HTTP/2 on a fresh connection. A task of this thread moves its frames until it ends.
    ///
    /// # Errors
    /// Fails if the endpoint does not take the preface.
    pub(crate) async fn open(stream: Stream, identity: Identity, now: Tick) -> io::Result<Rc<Self>> {
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME_MAX)
            .max_header_list_size(HEADER_LIST_MAX)
            .max_send_buffer_size(SEND_BUFFER_MAX)
            .initial_max_send_streams(STREAMS_MAX as usize);
        let (sender, connection) = builder.handshake::<_, Bytes>(stream).await.map_err(io::Error::other)?;
        let is_gone = Rc::new(Cell::new(false));
        let ending = Rc::clone(&is_gone);
        tokio::task::spawn_local(async move {
            // Whatever ended it, requests on it are told by their own streams.
            let _ = connection.await;
            ending.set(true);
        });
        Ok(Rc::new(Self { sender, identity, n_active: Cell::new(0), last_used: Cell::new(now), is_gone }))
    }

    /// A handle to send one request with.
    pub(crate) fn sender(&self) -> SendRequest<Bytes> {
        self.sender.clone()
    }

    /// `https` or `http`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.identity == Identity::default() { "http" } else { "https" }
    }

    /// It takes one more request of this identity.
    pub(crate) fn takes(&self, identity: Identity) -> bool {
        let limit = u32::try_from(self.sender.current_max_send_streams()).unwrap_or(u32::MAX);
        !self.is_gone.get() && self.identity == identity && self.n_active.get() < limit.min(STREAMS_MAX)
    }

    /// Nobody used it for so long, in milliseconds, or nobody can.
    pub(crate) fn is_idle(&self, now: Tick, idle_ms: u64) -> bool {
        let idle =
            self.n_active.get() == 0 && now.since(self.last_used.get()).as_millis() > u128::from(idle_ms);
        idle || self.is_gone.get()
    }

    /// One request begins.
    pub(crate) fn begin(&self) {
        self.n_active.set(self.n_active.get() + 1);
    }

    /// One request ended.
    pub(crate) fn end(&self, now: Tick) {
        self.n_active.set(self.n_active.get().saturating_sub(1));
        self.last_used.set(now);
    }

    /// No new requests: something on it went wrong.
    pub(crate) fn retire(&self) {
        self.is_gone.set(true);
    }
}

/// Requests on one connection at a time, even if the endpoint takes more: beyond that another one is opened.
const STREAMS_MAX: u32 = 100;
/// Bytes of one answer under way.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Bytes of all answers of a connection under way.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
const FRAME_MAX: u32 = 16 * 1024;
/// Bytes of the fields of an answer.
const HEADER_LIST_MAX: u32 = 64 * 1024;
/// Bytes of one request that wait to be sent.
const SEND_BUFFER_MAX: usize = 256 * 1024;
