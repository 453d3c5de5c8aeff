//! Exchanges of messages whose two sides do not speak the same protocol, or share a connection with others: heads,
//! pieces of bodies and trailers, in memory of their own. Where both sides speak HTTP/1, [`super::exchange`] moves bytes.

pub(crate) mod attempt;
mod chunks;
pub(crate) mod fields;
pub(crate) mod http1_client;
pub(crate) mod http1_server;
pub(crate) mod http2_client;
pub(crate) mod http2_server;
pub(crate) mod pump;

use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;

use super::exchange::Failure;

/// A part of an answer.
pub(crate) enum Piece {
    /// An interim answer (1xx).
    Interim(u16, HeaderMap),
    /// The endpoint changes protocols: what follows is a tunnel.
    Switch,
    Head {
        status: u16,
        fields: HeaderMap,
        is_end: bool,
    },
    Data {
        bytes: Bytes,
        is_end: bool,
    },
    Trailers(HeaderMap),
    /// The end of a body that told nothing of its end before.
    End,
}

/// A part of a request's body.
pub(crate) enum BodyPiece {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// The client's side of one exchange.
pub(crate) trait ClientSide {
    /// The next part of the body; `None` at its end.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<BodyPiece, Failure>>>;

    /// So many bytes of the body are with the endpoint: the client may send as many more.
    fn release(&mut self, n_bytes: usize);

    /// Everything given was taken over; more may be given.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>>;

    /// Gives a part of the answer.
    ///
    /// # Errors
    /// Fails if the client is gone.
    fn give(&mut self, piece: Piece) -> Result<(), Failure>;

    /// The client has gone away.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// The endpoint's side of one exchange.
pub(crate) trait ServerSide {
    /// Everything given was sent; more may be given. An error means that the endpoint takes no more.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>>;

    /// Some of the request has left.
    fn has_sent(&self) -> bool;

    /// Gives a part of the body.
    fn give(&mut self, cx: &mut Context<'_>, piece: BodyPiece) -> Result<(), ()>;

    /// The body is complete.
    fn finish(&mut self, cx: &mut Context<'_>) -> Result<(), ()>;

    /// The next part of the answer.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Failure>>;

    /// Something of an answer has come.
    fn has_received(&self) -> bool;

    /// Gives memory back; true if the connection can serve another request, provided that this one was sent whole.
    fn close(self) -> bool;
}
