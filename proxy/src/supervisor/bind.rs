//! The listening sockets: bound once, kept while anybody wants them, one per worker and place.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use igw_crds::snapshot::Transport;
use igw_crds::sync::BindFailureKind;
use socket2::{Domain, Protocol, Socket, Type};
use tracing::{info, warn};

use super::channel::{BindResult, Failure};
use crate::place::Place;

/// Sockets by place.
#[derive(Default)]
pub(crate) struct Sockets {
    bound: BTreeMap<Place, Vec<Socket>>,
}

/// What becomes of sockets that are not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    Close,
    /// Another server wants them.
    Keep,
}

// === impl Sockets ===

impl Sockets {
    /// Takes over what is bound already.
    pub(crate) fn inherit(&mut self, sockets: BTreeMap<Place, Vec<OwnedFd>>) {
        for (place, sockets) in sockets {
            self.bound.insert(place, sockets.into_iter().map(Socket::from).collect());
        }
    }

    pub(crate) fn bound(&self) -> &BTreeMap<Place, Vec<Socket>> {
        &self.bound
    }

    /// Binds what is wanted and not bound, and tells what became of each place.
    pub(crate) fn follow(
        &mut self,
        wanted: &[Place],
        n_workers: usize,
        others: Others,
    ) -> Vec<(BindResult, Vec<BorrowedFd<'_>>)> {
        self.bound.retain(|place, _| {
            let is_kept = others == Others::Keep || wanted.contains(place);
            if !is_kept {
                info!(address = %place, "listener closed");
            }
            is_kept
        });
        let mut failures = BTreeMap::new();
        for place in wanted {
            if let Some(sockets) = self.bound.get_mut(place) {
                // What was inherited may be of a server with fewer workers.
                let n_missing = n_workers.saturating_sub(sockets.len());
                match listen(*place, n_missing, true) {
                    Ok(more) => sockets.extend(more),
                    Err(error) => warn!(address = %place, %error, "no sockets for some workers"),
                }
                continue;
            }
            // Our own sockets on the same port would make the probe fail; they are no stranger's.
            let is_own = |held: &Place| {
                (held.transport, held.address.port()) == (place.transport, place.address.port())
            };
            match listen(*place, n_workers, self.bound.keys().any(is_own)) {
                Ok(sockets) => {
                    info!(address = %place, "listener bound");
                    self.bound.insert(*place, sockets);
                }
                Err(error) => {
                    failures.insert(*place, explain(*place, &error));
                }
            }
        }
        wanted
            .iter()
            .map(|place| {
                let failure = failures.remove(place);
                let sockets = self.bound.get(place).map(Vec::as_slice).unwrap_or_default();
                (BindResult { place: *place, failure }, sockets.iter().map(AsFd::as_fd).collect())
            })
            .collect()
    }
}

/// One listening socket per worker. SO_REUSEPORT would let us share a port with a stranger, so a first bind
/// without it finds out whether there is one.
fn listen(place: Place, n_workers: usize, is_shared: bool) -> io::Result<Vec<Socket>> {
    let address = place.address.into();
    if !is_shared {
        open(place)?.bind(&address)?;
    }
    (0..n_workers)
        .map(|_| {
            let socket = open(place)?;
            socket.set_reuse_port(true)?;
            socket.set_nonblocking(true)?;
            match place.transport {
                Transport::Tcp => {
                    // Accepted connections inherit it: one call fewer for each.
                    socket.set_tcp_nodelay(true)?;
                    socket.bind(&address)?;
                    socket.listen(BACKLOG)?;
                }
                Transport::Udp => {
                    // As much as the machine allows: what does not fit is lost.
                    let _ = socket.set_recv_buffer_size(DATAGRAM_BUFFER_BYTES);
                    socket.bind(&address)?;
                }
            }
            Ok(socket)
        })
        .collect()
}

fn open(Place { address, transport }: Place) -> io::Result<Socket> {
    let (kind, protocol) = match transport {
        Transport::Tcp => (Type::STREAM, Protocol::TCP),
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if transport == Transport::Tcp {
        // Connections of before that still end there do not count. For datagrams it would let strangers share the port.
        socket.set_reuse_address(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn explain(place: Place, error: &io::Error) -> Failure {
    let (address, port) = (place.address, place.address.port());
    let (kind, message) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            BindFailureKind::PortInUse,
            format!(
                "{}port {port} on {} is held by another program; stop it or choose another port",
                if place.is_udp() { "UDP " } else { "" },
                address.ip()
            ),
        ),
        io::ErrorKind::AddrNotAvailable => {
            (BindFailureKind::AddressNotUsable, format!("{} is not an address of this machine", address.ip()))
        }
        io::ErrorKind::PermissionDenied if port < 1024 => (
            BindFailureKind::PermissionDenied,
            format!(
                "no right to bind port {port}: give the binary CAP_NET_BIND_SERVICE (`setcap cap_net_bind_service=+ep`) \
                 or lower the sysctl net.ipv4.ip_unprivileged_port_start"
            ),
        ),
        io::ErrorKind::PermissionDenied => {
            (BindFailureKind::PermissionDenied, format!("no right to bind {place}"))
        }
        _ => (BindFailureKind::Other, format!("{place} cannot be bound: {error}")),
    };
    warn!(address = %place, %error, "listener not bound");
    Failure { kind, message }
}

/// Connections that may wait for a worker; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4_096;
/// Datagrams that may wait for a worker, in bytes; the kernel caps it at net.core.rmem_max.
const DATAGRAM_BUFFER_BYTES: usize = 4 * 1024 * 1024;
