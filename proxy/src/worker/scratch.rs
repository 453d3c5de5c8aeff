//! Memory of one worker that all its connections share.
//!
//! A read, the parse, the rewrite and the write happen inside one poll, so idle connections own no buffer.
//! What must outlive a poll goes into a buffer taken from the pool and given back.

use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use igw_h1::{Field, RequestHead, ResponseHead};
use tokio::io::AsyncWrite;

use super::header_list::HeaderList;

/// Shared memory of one worker.
pub(crate) struct Scratch {
    input: RefCell<Box<[u8]>>,
    output: RefCell<Vec<u8>>,
    path: RefCell<Vec<u8>>,
    host: RefCell<Vec<u8>>,
    request: RefCell<RequestHead>,
    response: RefCell<ResponseHead>,
    trailers: RefCell<Vec<Field>>,
    headers: RefCell<HeaderList>,
    pool: RefCell<Vec<Vec<u8>>>,
    /// Capacity of what is in the pool.
    n_pooled: Cell<usize>,
    /// Bytes that rest with connections whose sockets did not take them.
    n_resting: Rc<Cell<usize>>,
}

/// Bytes on their way to a socket that did not take them at once.
#[derive(Default)]
pub(crate) struct OutBuffer {
    bytes: Vec<u8>,
    sent: usize,
    /// Everything was taken, and some of it waits below, as records that the socket did not take.
    is_flushing: bool,
    resting: Option<Resting>,
}

/// Bytes that rest with a connection, counted until dropped.
struct Resting {
    total: Rc<Cell<usize>>,
    n_bytes: usize,
}

/// Bytes received and not consumed yet.
#[derive(Default)]
pub(crate) struct InBuffer {
    bytes: Vec<u8>,
    taken: usize,
}

// === impl Scratch ===

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            input: RefCell::new(vec![0; INPUT_BYTES].into_boxed_slice()),
            output: RefCell::new(Vec::with_capacity(INPUT_BYTES + 16 * 1024)),
            path: RefCell::new(Vec::with_capacity(1024)),
            host: RefCell::new(Vec::with_capacity(256)),
            request: RefCell::new(RequestHead::new()),
            response: RefCell::new(ResponseHead::new()),
            trailers: RefCell::new(Vec::new()),
            headers: RefCell::new(HeaderList::default()),
            pool: RefCell::new(Vec::new()),
            n_pooled: Cell::new(0),
            n_resting: Rc::default(),
        }
    }

    /// How much a transfer may read at once. What its sink does not take has to rest here: all that rests together is
    /// bounded, and where it is much already each connection adds little.
    pub(crate) fn room(&self) -> usize {
        (RESTING_BYTES.saturating_sub(self.n_resting.get()) / 4).clamp(ROOM_MIN, INPUT_BYTES)
    }

    /// The receive buffer. Never held across a return to the runtime.
    pub(crate) fn input(&self) -> RefMut<'_, Box<[u8]>> {
        self.input.borrow_mut()
    }

    /// The send buffer, emptied.
    pub(crate) fn output(&self) -> RefMut<'_, Vec<u8>> {
        let mut output = self.output.borrow_mut();
        output.clear();
        output
    }

    pub(crate) fn path(&self) -> RefMut<'_, Vec<u8>> {
        self.path.borrow_mut()
    }

    pub(crate) fn host(&self) -> RefMut<'_, Vec<u8>> {
        self.host.borrow_mut()
    }

    pub(crate) fn request(&self) -> RefMut<'_, RequestHead> {
        self.request.borrow_mut()
    }

    pub(crate) fn response(&self) -> RefMut<'_, ResponseHead> {
        self.response.borrow_mut()
    }

    pub(crate) fn trailers(&self) -> RefMut<'_, Vec<Field>> {
        self.trailers.borrow_mut()
    }

    pub(crate) fn headers(&self) -> RefMut<'_, HeaderList> {
        self.headers.borrow_mut()
    }

    /// An empty buffer that outlives the poll.
    pub(crate) fn take(&self) -> Vec<u8> {
        match self.pool.borrow_mut().pop() {
            Some(buffer) => {
                self.n_pooled.set(self.n_pooled.get() - buffer.capacity());
                buffer
            }
            None => Vec::with_capacity(POOLED_BYTES),
        }
    }

    /// Gives a buffer back.
    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        let mut pool = self.pool.borrow_mut();
        let n_pooled = self.n_pooled.get() + buffer.capacity();
        if buffer.capacity() >= POOLED_BYTES && n_pooled <= POOL_BYTES && pool.len() < POOLED_BUFFERS {
            buffer.clear();
            self.n_pooled.set(n_pooled);
            pool.push(buffer);
        }
    }
}

// === impl OutBuffer ===

impl OutBuffer {
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len() && !self.is_flushing
    }

    /// Bytes that no stream has taken.
    pub(crate) fn n_left(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Keeps what a write left over.
    pub(crate) fn keep(&mut self, scratch: &Scratch, rest: &[u8]) {
        if rest.is_empty() {
            return;
        }
        if self.bytes.capacity() == 0 {
            self.bytes = scratch.take();
        }
        self.bytes.extend_from_slice(rest);
        self.count(scratch, rest.len());
    }

    fn count(&mut self, scratch: &Scratch, n_bytes: usize) {
        match &mut self.resting {
            Some(resting) => resting.add(n_bytes),
            None => {
                let mut resting = Resting { total: Rc::clone(&scratch.n_resting), n_bytes: 0 };
                resting.add(n_bytes);
                self.resting = Some(resting);
            }
        }
    }

    /// Writes until everything is sent; gives the memory back then.
    pub(crate) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        scratch: &Scratch,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self.bytes.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
            self.is_flushing = true;
        }
        if self.is_flushing {
            ready!(Pin::new(stream).poll_flush(cx))?;
        }
        self.discard(scratch);
        Poll::Ready(Ok(()))
    }

    /// Drops the content and gives the memory back.
    pub(crate) fn discard(&mut self, scratch: &Scratch) {
        if self.bytes.capacity() > 0 {
            scratch.give(std::mem::take(&mut self.bytes));
        }
        self.sent = 0;
        self.is_flushing = false;
        self.resting = None;
    }
}

// === impl Resting ===

impl Resting {
    fn add(&mut self, n_bytes: usize) {
        self.n_bytes += n_bytes;
        self.total.set(self.total.get() + n_bytes);
    }
}

impl Drop for Resting {
    fn drop(&mut self) {
        self.total.set(self.total.get().saturating_sub(self.n_bytes));
    }
}

/// Writes `bytes` at once as far as the socket takes them and keeps the rest. Only called while `pending` is
/// empty; returns how many bytes left at once.
pub(crate) fn write_or_keep<S: AsyncWrite + Unpin>(
    scratch: &Scratch,
    pending: &mut OutBuffer,
    stream: &mut S,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> io::Result<usize> {
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        match Pin::new(&mut *stream).poll_write(cx, rest) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(written)) => sent += written,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => {
                pending.keep(scratch, rest);
                return Ok(sent);
            }
        }
    }
    // A stream that encrypts takes bytes before they are sent.
    match Pin::new(stream).poll_flush(cx) {
        Poll::Ready(Ok(())) => {}
        Poll::Ready(Err(error)) => return Err(error),
        Poll::Pending => {
            pending.is_flushing = true;
            pending.count(scratch, sent);
        }
    }
    Ok(sent)
}

// === impl InBuffer ===

impl InBuffer {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    /// Marks bytes as consumed; gives the memory back when none is left.
    pub(crate) fn consume(&mut self, scratch: &Scratch, n_bytes: usize) {
        self.taken = (self.taken + n_bytes).min(self.bytes.len());
        if self.is_empty() {
            self.discard(scratch);
        }
    }

    /// Replaces the content.
    pub(crate) fn set(&mut self, scratch: &Scratch, bytes: &[u8]) {
        if bytes.is_empty() {
            self.discard(scratch);
            return;
        }
        if self.bytes.capacity() == 0 {
            self.bytes = scratch.take();
        }
        self.bytes.clear();
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Drops the content and gives the memory back.
    pub(crate) fn discard(&mut self, scratch: &Scratch) {
        if self.bytes.capacity() > 0 {
            scratch.give(std::mem::take(&mut self.bytes));
        }
        self.taken = 0;
    }
}

/// Size of the receive buffer: large, because it decides the cost of bulk transfer and costs nothing per connection.
pub(crate) const INPUT_BYTES: usize = 512 * 1024;
const POOLED_BYTES: usize = 2 * 1024;
const POOLED_BUFFERS: usize = 512;
/// Capacity of all buffers in the pool.
const POOL_BYTES: usize = 4 * 1024 * 1024;
/// Bytes that may rest with all connections before each of them may add [`ROOM_MIN`] and no more.
const RESTING_BYTES: usize = 2 * 1024 * 1024;
/// What is read at once for the slowest sinks, in bytes.
pub(crate) const ROOM_MIN: usize = 16 * 1024;
