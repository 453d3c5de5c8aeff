//! Datagrams of UDPRoutes. A client's address and port keep their endpoint while either side speaks: a flow, with a
//! socket and a task of its own. The kernel gives all datagrams of one client to one worker.
//!
//! Senders can be forged. So flows are bounded for each source and in all, where the one that was silent for longest goes,
//! and a client that never went on after an answer is not sent much more than it sent ([`allowance`]).

mod allowance;
mod flow;
mod flows;
mod socket;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use igw_crds::snapshot::Transport;
use tracing::warn;

use self::flow::{Beginning, Flow, PROTOCOL, Sent};
use self::flows::{Entry as _, Flows};
use self::socket::Socket;
use super::Worker;
use super::relay::{Passage, leads_here};
use crate::metrics::datagrams::Dropped;
use crate::metrics::streams::StreamResult;
use crate::upstream::backend::Security;
use crate::upstream::endpoint::Address;
use crate::upstream::local::{LocalBackend, PickError, Picked};

pub(crate) use socket::Buffers;

/// One socket with its flows.
pub(crate) struct Station {
    worker: Rc<Worker>,
    port: Rc<Cell<usize>>,
    socket: Rc<Socket>,
    flows: Rc<RefCell<Flows<Flow>>>,
    n_flows: Cell<u64>,
}

// === impl Station ===

impl Station {
    /// # Errors
    /// Fails where the socket cannot be watched.
    pub(crate) fn open(
        worker: &Rc<Worker>,
        address: SocketAddr,
        socket: StdUdpSocket,
        port: Rc<Cell<usize>>,
    ) -> io::Result<Self> {
        Ok(Self {
            worker: Rc::clone(worker),
            port,
            socket: Rc::new(Socket::new(address, socket)?),
            flows: Rc::default(),
            n_flows: Cell::new(0),
        })
    }

    /// Takes datagrams until aborted. Flows live on: answers still come.
    pub(crate) async fn run(self) {
        loop {
            if let Err(error) = self.socket.readable().await {
                return warn!(%error, "no datagrams are received any more");
            }
            let received = self.socket.receive(&self.worker.datagrams, |datagram, client, asked| {
                self.take(datagram, client, asked);
            });
            match received {
                Ok(false) => {}
                // Answers have their turn.
                Ok(true) => tokio::task::yield_now().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    warn!(%error, "receiving datagrams failed");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn take(&self, datagram: &[u8], client: SocketAddr, asked: Option<IpAddr>) {
        let known = self.flows.borrow().get(client).cloned();
        let mut tried = None;
        if let Some(flow) = known {
            if flow.is_good(self.port.get()) {
                match flow.forward(datagram, asked) {
                    Sent::Done | Sent::Dropped => return,
                    Sent::Refused => {
                        flow.blame();
                        tried = Some(flow.endpoint_id());
                        self.close(&flow, StreamResult::Failed, "connect_refused");
                    }
                }
            } else {
                // It goes on with another endpoint.
                self.close(&flow, StreamResult::Done, "");
            }
        }
        if let Err(dropped) = self.begin(datagram, client, asked, tried) {
            self.worker.count_dropped(dropped);
        }
    }

    /// Begins a flow with its first datagram.
    fn begin(
        &self,
        datagram: &[u8],
        client: SocketAddr,
        asked: Option<IpAddr>,
        mut tried: Option<u64>,
    ) -> Result<(), Dropped> {
        let worker = &self.worker;
        for _ in 0..TRIES {
            let port = self.port.get();
            let passage = Passage::find(worker, port, Vec::new(), PROTOCOL).ok_or(Dropped::NoRoute)?;
            if !passage.has_route() {
                return Err(Dropped::NoRoute);
            }
            let settings = passage.port_tables().map(|port| Arc::clone(&port.settings));
            let settings = settings.unwrap_or_else(|| worker.default_settings());
            let candidate = passage.choose(worker).ok_or(Dropped::InvalidBackend)?;
            let local = passage.backend(worker, candidate).ok_or(Dropped::InvalidBackend)?;
            let series = passage.series(Some(candidate));
            let (picked, to) = self.pick(&local, asked, tried)?;
            let admission = match worker.shared.has_room() {
                true => worker.shared.admit(client.ip(), 0).ok_or(Dropped::Full)?,
                false => return Err(Dropped::Full),
            };
            let per_source = settings.udp_flows_per_source as usize;
            self.n_flows.set(self.n_flows.get() + 1);
            let beginning = Beginning {
                worker: Rc::clone(worker),
                id: self.n_flows.get(),
                port,
                client,
                socket: Rc::clone(&self.socket),
                local,
                picked,
                passage,
                settings,
                series,
                admission,
            };
            let flow = Rc::new(Flow::open(beginning, to).map_err(|_| Dropped::Full)?);
            match flow.forward(datagram, asked) {
                Sent::Done | Sent::Dropped => {
                    self.keep(&flow, per_source);
                    return Ok(());
                }
                Sent::Refused => {
                    flow.blame();
                    flow.finish(StreamResult::Failed, "connect_refused");
                    tried = Some(flow.endpoint_id());
                }
            }
        }
        Err(Dropped::NoEndpoint)
    }

    fn pick(
        &self,
        local: &LocalBackend,
        asked: Option<IpAddr>,
        tried: Option<u64>,
    ) -> Result<(Picked, SocketAddr), Dropped> {
        let picked = match local.pick(&self.worker.random, tried.as_slice()) {
            Ok(picked) => picked,
            Err(PickError::NoEndpoint | PickError::Saturated) => return Err(Dropped::NoEndpoint),
        };
        if !matches!(picked.set().tls, Security::Cleartext) {
            // What shall be secret is not sent in cleartext.
            return Err(Dropped::InvalidBackend);
        }
        let address = &picked.endpoint().address;
        if leads_here(&self.worker, Transport::Udp, address, || asked) {
            return Err(Dropped::Loop);
        }
        match *address {
            Address::Tcp(address) => Ok((picked, address)),
            Address::Unix(_) => Err(Dropped::InvalidBackend),
        }
    }

    /// Starts the way back of a flow, and makes room for it.
    fn keep(&self, flow: &Rc<Flow>, per_source: usize) {
        // The kernel spreads the ports of a source over the workers.
        let per_source = per_source.div_ceil(self.worker.shared.n_workers);
        let in_all = self.worker.shared.max_flows();
        let gone = self.flows.borrow_mut().insert(flow.client(), Rc::clone(flow), per_source, in_all);
        for flow in gone {
            flow.finish(StreamResult::Broken, "too_many_flows");
        }
        let (flows, running) = (Rc::clone(&self.flows), Rc::clone(flow));
        let task = tokio::task::spawn_local(async move {
            Rc::clone(&running).run().await;
            flows.borrow_mut().remove(running.client(), running.id());
        });
        flow.belongs_to(task.abort_handle());
    }

    fn close(&self, flow: &Rc<Flow>, result: StreamResult, cause: &'static str) {
        self.flows.borrow_mut().remove(flow.client(), flow.id());
        flow.finish(result, cause);
    }
}

/// Endpoints that a datagram is sent to until one listens.
const TRIES: usize = 3;
/// Pause after a failure to receive.
const PAUSE: Duration = Duration::from_millis(10);
