//! The tasks that serve the streams of a worker's HTTP/2 connections. A task that is done with one stream waits for another:
//! its memory is large, and making and moving it anew costs more than many a request.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;

use super::Http2Connection;
use super::stream::Begun;

/// A stream to serve.
pub(crate) struct Job {
    pub(super) connection: Rc<Http2Connection>,
    pub(super) request: http::Request<RecvStream>,
    pub(super) respond: SendResponse<Bytes>,
}

/// Tasks of one worker that wait for a stream.
#[derive(Default)]
pub(crate) struct StreamServers {
    idle: RefCell<Vec<Rc<Seat>>>,
    /// Fewest that were idle since the last look.
    n_unused: Cell<usize>,
}

/// What a waiting task is told.
#[derive(Default)]
struct Seat {
    order: Cell<Option<Order>>,
    waker: Cell<Option<Waker>>,
}

/// The next stream; none: end.
type Order = Option<Job>;

// === impl StreamServers ===

impl StreamServers {
    /// Has a stream served.
    pub(super) fn serve(&self, job: Job) {
        let mut idle = self.idle.borrow_mut();
        let seat = idle.pop();
        self.n_unused.set(self.n_unused.get().min(idle.len()));
        match seat {
            Some(seat) => seat.give(Some(job)),
            None => {
                tokio::task::spawn_local(run(job));
            }
        }
    }

    /// Ends tasks that no stream has needed since the last call.
    pub(crate) fn prune(&self) {
        let mut idle = self.idle.borrow_mut();
        let n_unused = self.n_unused.get().min(idle.len());
        for seat in idle.drain(..n_unused) {
            seat.give(None);
        }
        self.n_unused.set(idle.len());
    }

    /// Takes a task in that has nothing to do; false if there are enough.
    fn take_in(&self, seat: &Rc<Seat>) -> bool {
        let mut idle = self.idle.borrow_mut();
        let has_room = idle.len() < IDLE_MAX;
        if has_room {
            idle.push(Rc::clone(seat));
        }
        has_room
    }
}

/// Serves one stream after the other, all by one clock.
async fn run(first: Job) {
    let seat = Rc::new(Seat::default());
    let timer = first.connection.worker.wheel.timer();
    let mut job = first;
    loop {
        let worker = Rc::clone(&job.connection.worker);
        Begun::new(job, &timer).serve().await;
        if !worker.stream_servers.take_in(&seat) {
            return;
        }
        drop(worker);
        match poll_fn(|cx| seat.poll_order(cx)).await {
            Some(next) => job = next,
            None => return,
        }
    }
}

// === impl Seat ===

impl Seat {
    fn give(&self, order: Order) {
        self.order.set(Some(order));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll_order(&self, cx: &mut Context<'_>) -> Poll<Order> {
        match self.order.take() {
            Some(order) => Poll::Ready(order),
            None => {
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

/// Waiting tasks of one worker.
const IDLE_MAX: usize = 256;
