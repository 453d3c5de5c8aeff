//! Idle connections. The task of a connection has room for a request; before the first one, and when nothing has come for
//! a moment, the connection is in a task that has room for waiting alone.
//!
//! A connection that is asked again and again stays where it is, so that a request costs no allocation.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::Worker;
use super::client::Client;
use super::connection::serve_http1;
use super::timer::Tick;
use crate::shared::Admission;

/// A connection over HTTP/1 between two requests.
pub(crate) struct Idle {
    pub(crate) client: Client,
    pub(crate) port: usize,
    pub(crate) n_requests: u32,
    /// When it has waited long enough.
    pub(crate) until: Option<Tick>,
    pub(crate) admission: Admission,
}

/// Lets a connection wait for bytes, the end of patience or the end of the process; whoever serves it then sees which
/// it is.
pub(crate) fn park(worker: Rc<Worker>, idle: Idle) {
    // An `async fn` would hold what it is given twice.
    tokio::task::spawn_local(async move {
        idle.client.timer.set(idle.until);
        poll_fn(|cx| {
            let has_news = idle.client.stream.socket().poll_read_ready(cx).is_ready();
            match has_news || idle.client.timer.poll_expired(cx) || worker.is_stopping() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        tokio::task::spawn_local(serve_http1(worker, idle));
    });
}

/// Time without a byte after which a connection is parked.
pub(crate) const PARKED_AFTER: Duration = Duration::from_millis(100);
