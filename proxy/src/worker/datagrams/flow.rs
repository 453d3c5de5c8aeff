//! One flow: a client's address and port, and the endpoint that takes its datagrams until both are silent for long.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use igw_crds::snapshot::Settings;
use socket2::{Domain, Protocol, SockRef, Type};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use tracing::warn;

use super::allowance::Allowance;
use super::flows::Entry;
use super::socket::Socket;
use crate::metrics::datagrams::Dropped;
use crate::metrics::streams::{StreamResult, StreamSeries};
use crate::shared::Admission;
use crate::upstream::local::{LocalBackend, Picked, Ticket};
use crate::worker::Worker;
use crate::worker::forward::note_failure;
use crate::worker::relay::{Course, Passage};
use crate::worker::timer::{Tick, Timer};

/// A flow.
pub(super) struct Flow {
    worker: Rc<Worker>,
    id: u64,
    client: SocketAddr,
    /// The address that the client asked.
    asked: Cell<Option<IpAddr>>,
    socket: Rc<Socket>,
    endpoint: UdpSocket,
    local: Rc<LocalBackend>,
    picked: Picked,
    passage: Passage,
    settings: Arc<Settings>,
    series: Option<Arc<StreamSeries>>,
    /// Tables, endpoints and port by which the endpoint was judged last.
    judged: Cell<(u64, u64, usize)>,
    allowance: RefCell<Allowance>,
    was_used: Cell<bool>,
    last: Cell<Tick>,
    /// Nothing of the client waits for an answer.
    is_answered: Cell<bool>,
    started: Instant,
    n_in: Cell<u64>,
    n_out: Cell<u64>,
    end: Cell<(StreamResult, &'static str)>,
    task: RefCell<Option<AbortHandle>>,
    _ticket: Ticket,
    _admission: Admission,
}

/// What a flow begins with.
pub(super) struct Beginning {
    pub(super) worker: Rc<Worker>,
    pub(super) id: u64,
    pub(super) port: usize,
    pub(super) client: SocketAddr,
    pub(super) socket: Rc<Socket>,
    pub(super) local: Rc<LocalBackend>,
    pub(super) picked: Picked,
    pub(super) passage: Passage,
    pub(super) settings: Arc<Settings>,
    pub(super) series: Option<Arc<StreamSeries>>,
    pub(super) admission: Admission,
}

/// What became of a datagram for an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Done,
    /// The datagram is lost.
    Dropped,
    /// Nobody listens there.
    Refused,
}

// === impl Flow ===

impl Flow {
    /// # Errors
    /// The system's, if there is no socket for it.
    pub(super) fn open(beginning: Beginning, to: SocketAddr) -> io::Result<Self> {
        let Beginning {
            worker,
            id,
            port,
            client,
            socket,
            local,
            picked,
            passage,
            settings,
            series,
            admission,
        } = beginning;
        let kind = Type::DGRAM.nonblocking().cloexec();
        let endpoint = socket2::Socket::new(Domain::for_address(to), kind, Some(Protocol::UDP))?;
        endpoint.connect(&to.into())?;
        let endpoint = UdpSocket::from_std(endpoint.into())?;
        let judged = (worker.generation(), picked.set().generation, port);
        let ticket = local.ticket(picked.clone());
        if let Some(series) = &series {
            series.begin(worker.index);
        }
        Ok(Self {
            id,
            client,
            asked: Cell::new(None),
            socket,
            endpoint,
            local,
            picked,
            passage,
            settings,
            series,
            judged: Cell::new(judged),
            allowance: RefCell::default(),
            was_used: Cell::new(true),
            last: Cell::new(worker.wheel.now()),
            is_answered: Cell::new(true),
            started: crate::clock::now(),
            n_in: Cell::new(0),
            n_out: Cell::new(0),
            end: Cell::new((StreamResult::Drained, "drained")),
            task: RefCell::new(None),
            _ticket: ticket,
            _admission: admission,
            worker,
        })
    }

    pub(super) fn client(&self) -> SocketAddr {
        self.client
    }

    /// The task that passes answers on, to be ended with the flow.
    pub(super) fn belongs_to(&self, task: AbortHandle) {
        self.task.replace(Some(task));
    }

    /// Whether the endpoint is still one that the client's datagrams may go to. Looks only where something changed.
    pub(super) fn is_good(&self, port: usize) -> bool {
        let now = (self.worker.generation(), self.local.shared.generation(), port);
        if self.judged.get() == now {
            return true;
        }
        let leads_there = Passage::find(&self.worker, port, Vec::new(), PROTOCOL)
            .is_some_and(|passage| passage.leads_to(self.local.shared.id));
        let endpoint = self.picked.endpoint().id;
        let is_ready = self.local.set().shared.ready.iter().any(|ready| ready.id == endpoint);
        if leads_there && is_ready {
            self.judged.set(now);
        }
        leads_there && is_ready
    }

    /// Passes a datagram of the client on.
    pub(super) fn forward(&self, datagram: &[u8], asked: Option<IpAddr>) -> Sent {
        self.asked.set(asked);
        self.was_used.set(true);
        self.last.set(self.worker.wheel.now());
        self.allowance.borrow_mut().receive(datagram.len());
        // The runtime knows nothing of a new socket yet; the kernel does.
        match SockRef::from(&self.endpoint).send(datagram) {
            Ok(_) => {
                self.is_answered.set(false);
                self.moved(datagram.len(), 0);
                Sent::Done
            }
            Err(error) if is_refused(&error) => Sent::Refused,
            Err(_) => {
                self.worker.count_dropped(Dropped::NotSent);
                Sent::Dropped
            }
        }
    }

    /// Passes answers on until the flow ends.
    pub(super) async fn run(self: Rc<Self>) {
        let timer = self.worker.wheel.timer();
        let (result, cause) = std::future::poll_fn(|cx| self.poll(&timer, cx)).await;
        if cause == REFUSED {
            self.blame();
        }
        self.end.set((result, cause));
    }

    /// Ends the flow now.
    pub(super) fn finish(&self, result: StreamResult, cause: &'static str) {
        self.end.set((result, cause));
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    /// The endpoint does not listen.
    pub(super) fn blame(&self) {
        note_failure(&self.worker, &self.local, &self.picked);
    }

    pub(super) fn endpoint_id(&self) -> u64 {
        self.picked.endpoint().id
    }

    fn poll(&self, timer: &Timer, cx: &mut Context<'_>) -> Poll<(StreamResult, &'static str)> {
        let mut n_passed = 0;
        while let Poll::Ready(ready) = self.endpoint.poll_recv_ready(cx) {
            let mut answer = self.worker.datagrams.answer();
            match ready.and_then(|()| self.endpoint.try_recv(&mut answer)) {
                Ok(n_bytes) => self.answer(answer.get(..n_bytes).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) if is_refused(&error) => return Poll::Ready((StreamResult::Failed, REFUSED)),
                Err(_) => return Poll::Ready((StreamResult::Failed, "upstream_reset")),
            }
            n_passed += 1;
            if n_passed == TURN {
                // Others have something to say too.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let is_over = self.worker.is_stopping() || (self.worker.is_draining() && self.is_answered.get());
        if is_over {
            return Poll::Ready((StreamResult::Drained, "drained"));
        }
        let idle = Duration::from_millis(self.settings.udp_idle_ms.max(1));
        timer.set(Some(self.last.get().plus(idle)));
        match timer.poll_expired(cx) {
            true => Poll::Ready((StreamResult::Idle, "")),
            false => Poll::Pending,
        }
    }

    fn answer(&self, datagram: &[u8]) {
        let factor = self.settings.udp_reply_factor;
        if !self.allowance.borrow_mut().send(datagram.len(), factor) {
            self.worker.count_dropped(Dropped::Unasked);
            if self.local.may_tell(self.worker.wheel.now()) {
                warn!(
                    backend = &*self.local.shared.key,
                    n_bytes = datagram.len(),
                    "an answer is much larger than its request and is dropped, as the client's address may be forged; \
                     if it is meant, raise limits.udpReplyFactor in the GatewayConfig"
                );
            }
            return;
        }
        self.last.set(self.worker.wheel.now());
        self.is_answered.set(true);
        self.picked.endpoint().succeeded();
        match self.socket.send(datagram, self.client, self.asked.get()) {
            Ok(()) => self.moved(0, datagram.len()),
            Err(_) => self.worker.count_dropped(Dropped::NotSent),
        }
    }

    fn moved(&self, n_in: usize, n_out: usize) {
        let (n_in, n_out) = (n_in as u64, n_out as u64);
        self.n_in.set(self.n_in.get() + n_in);
        self.n_out.set(self.n_out.get() + n_out);
        if let Some(series) = &self.series {
            series.moved(self.worker.index, n_in, n_out);
        }
    }
}

impl Entry for Flow {
    fn id(&self) -> u64 {
        self.id
    }

    fn was_used(&self) -> bool {
        self.was_used.take()
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        let (result, cause) = self.end.get();
        if let Some(series) = &self.series {
            series.finish(self.worker.index, result);
        }
        let mut course = Course::new(result, cause);
        course.picked = Some(self.picked.clone());
        (course.n_in, course.n_out) = (self.n_in.get(), self.n_out.get());
        let client = SocketAddr::new(self.client.ip().to_canonical(), self.client.port()).to_string();
        self.passage.log(&self.worker, &client, self.started, &self.local.shared.key, &course);
    }
}

/// The endpoint said with ICMP that nobody listens there.
fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// What stands for the protocol in logs.
pub(super) const PROTOCOL: &str = "UDP";
const REFUSED: &str = "connect_refused";
/// Answers of one flow that are passed on before others have their turn.
const TURN: u32 = 32;
