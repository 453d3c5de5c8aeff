//! The thread of a worker: its runtime, its listeners, its clock.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, LocalSet};
use tracing::{error, warn};

use super::datagrams::Station;
use super::timer::TICK;
use super::{Worker, connection, lane};
use crate::log::LogSink;
use crate::place::Place;
use crate::shared::{Phase, Shared};

/// What the control thread tells a worker.
pub(crate) enum Command {
    /// Take what comes to this socket for the port number.
    Listen { place: Place, port: usize, socket: Incoming },
    /// What comes to the place now belongs to another port number.
    Assign { place: Place, port: usize },
    /// Take what waits in the socket and close it.
    Close { place: Place },
    /// Look at the phase of the process again.
    Phase,
    /// Say that all that was told before is done.
    Answer(oneshot::Sender<()>),
}

/// A socket that clients reach.
pub(crate) enum Incoming {
    Connections(StdTcpListener),
    Datagrams(StdUdpSocket),
}

/// Control thread's side of a worker.
pub(crate) struct WorkerThread {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    thread: std::thread::JoinHandle<()>,
}

/// One accepting task.
struct Acceptor {
    port: Rc<std::cell::Cell<usize>>,
    task: JoinHandle<()>,
    /// What may wait in it is served at the end.
    listener: Option<Rc<TcpListener>>,
}

// === impl WorkerThread ===

impl WorkerThread {
    /// Starts worker `index`.
    ///
    /// # Errors
    /// Fails if the machine has no room for a thread or a runtime.
    pub(crate) fn start(index: usize, shared: Arc<Shared>, log: LogSink) -> io::Result<Self> {
        let (commands, inbox) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let local = LocalSet::new();
            local.block_on(&runtime, run(index, shared, log, inbox));
            // Connections that outlived the drain end here.
            drop(local);
        })?;
        Ok(Self { commands, thread })
    }

    /// Waits for the thread's end, after [`Phase::Ended`].
    pub(crate) fn join(self) {
        drop(self.commands);
        if self.thread.join().is_err() {
            error!("worker thread panicked");
        }
    }
}

/// Runs until the phase is [`Phase::Ended`]. Arms of the loop: a command, a tick of the clock.
async fn run(index: usize, shared: Arc<Shared>, log: LogSink, mut inbox: mpsc::UnboundedReceiver<Command>) {
    let worker = Worker::new(index, Arc::clone(&shared), log);
    // Ends with the set of tasks that it runs in.
    tokio::task::spawn_local(lane::conduct(Rc::clone(&worker)));
    // More than one for a place where the sockets are of a server with more workers.
    let acceptors: RefCell<HashMap<Place, Vec<Acceptor>>> = RefCell::new(HashMap::new());
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut n_ticks: u32 = 0;
    loop {
        tokio::select! {
            command = inbox.recv() => match command {
                None => return,
                Some(Command::Listen { place, port, socket }) => {
                    match Acceptor::start(&worker, place, socket, port) {
                        Ok(acceptor) => acceptors.borrow_mut().entry(place).or_default().push(acceptor),
                        Err(error) => error!(address = %place, %error, "listener not registered"),
                    }
                }
                Some(Command::Assign { place, port }) => {
                    for acceptor in acceptors.borrow().get(&place).into_iter().flatten() {
                        acceptor.port.set(port);
                    }
                }
                Some(Command::Close { place }) => {
                    for acceptor in acceptors.borrow_mut().remove(&place).into_iter().flatten() {
                        acceptor.close(&worker);
                    }
                }
                Some(Command::Answer(answer)) => {
                    // Nobody waits any more where the process ends.
                    let _ = answer.send(());
                }
                Some(Command::Phase) => {
                    if shared.phase() >= Phase::Draining {
                        for acceptor in acceptors.borrow_mut().drain().flat_map(|(_, acceptors)| acceptors) {
                            acceptor.close(&worker);
                        }
                    }
                    worker.wheel.wake_all();
                    #[cfg(feature = "otlp")]
                    worker.outbox.flush();
                    if shared.phase() == Phase::Ended {
                        return;
                    }
                }
            },
            _ = ticks.tick() => {
                worker.wheel.advance(crate::clock::now());
                worker.log.flush();
                n_ticks = n_ticks.wrapping_add(1);
                if n_ticks.is_multiple_of(PRUNE_TICKS) {
                    worker.prune();
                }
            }
        }
    }
}

// === impl Acceptor ===

impl Acceptor {
    /// # Errors
    /// Fails where the socket cannot be watched.
    fn start(worker: &Rc<Worker>, place: Place, socket: Incoming, port: usize) -> io::Result<Self> {
        let port = Rc::new(std::cell::Cell::new(port));
        let (task, listener) = match socket {
            Incoming::Connections(socket) => {
                let listener = Rc::new(TcpListener::from_std(socket)?);
                let accepting = accept(Rc::clone(worker), Rc::clone(&listener), Rc::clone(&port));
                (tokio::task::spawn_local(accepting), Some(listener))
            }
            Incoming::Datagrams(socket) => {
                let station = Station::open(worker, place.address, socket, Rc::clone(&port))?;
                (tokio::task::spawn_local(station.run()), None)
            }
        };
        Ok(Self { port, task, listener })
    }

    /// Serves what already waits in the backlog, then closes the socket.
    fn close(self, worker: &Rc<Worker>) {
        self.task.abort();
        let Some(listener) = self.listener else { return };
        let waker = std::task::Waker::noop();
        let mut cx = std::task::Context::from_waker(waker);
        while let std::task::Poll::Ready(Ok((stream, peer))) = listener.poll_accept(&mut cx) {
            start(worker, stream, peer, self.port.get());
        }
    }
}

/// Accepts until aborted.
async fn accept(worker: Rc<Worker>, socket: Rc<TcpListener>, port: Rc<std::cell::Cell<usize>>) {
    loop {
        if !worker.shared.has_room() {
            // Full: let the backlog wait until connections end.
            tokio::time::sleep(FULL_PAUSE).await;
            continue;
        }
        match socket.accept().await {
            Ok((stream, peer)) => start(&worker, stream, peer, port.get()),
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                warn!(%error, "accept failed");
                tokio::time::sleep(FULL_PAUSE).await;
            }
        }
    }
}

fn start(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, port: usize) {
    let limit = worker.tables().shared.ports.get(port).and_then(Option::as_ref).map_or(0, |port| {
        // Where the peer tells of another address, that one counts.
        if port.announces(peer.ip()) { 0 } else { port.settings.connections_per_source }
    });
    let Some(admission) = worker.shared.admit(peer.ip(), limit) else { return };
    connection::start(Rc::clone(worker), stream, peer, port, admission);
}

/// True for errors of one connection that ended while it waited.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Pause of accepting while the process is full.
const FULL_PAUSE: Duration = Duration::from_millis(10);
/// Ticks between two looks at idle connections.
const PRUNE_TICKS: u32 = 40;
