//! The listening sockets: bound once, kept while anybody wants them, one per worker and address.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use igw_crds::sync::BindFailureKind;
use socket2::{Domain, Protocol, Socket, Type};
use tracing::{info, warn};

use super::channel::{BindResult, Failure};

/// Sockets by address.
#[derive(Default)]
pub(crate) struct Sockets {
    bound: BTreeMap<SocketAddr, Vec<Socket>>,
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
    pub(crate) fn inherit(&mut self, sockets: BTreeMap<SocketAddr, Vec<OwnedFd>>) {
        for (address, sockets) in sockets {
            self.bound.insert(address, sockets.into_iter().map(Socket::from).collect());
        }
    }

    pub(crate) fn bound(&self) -> &BTreeMap<SocketAddr, Vec<Socket>> {
        &self.bound
    }

    /// Binds what is wanted and not bound, and tells what became of each address.
    pub(crate) fn follow(
        &mut self,
        wanted: &[SocketAddr],
        n_workers: usize,
        others: Others,
    ) -> Vec<(BindResult, Vec<BorrowedFd<'_>>)> {
        self.bound.retain(|address, _| {
            let is_kept = others == Others::Keep || wanted.contains(address);
            if !is_kept {
                info!(%address, "listener closed");
            }
            is_kept
        });
        let mut failures = BTreeMap::new();
        for address in wanted {
            if let Some(sockets) = self.bound.get_mut(address) {
                // What was inherited may be of a server with fewer workers.
                let n_missing = n_workers.saturating_sub(sockets.len());
                match listen(*address, n_missing, true) {
                    Ok(more) => sockets.extend(more),
                    Err(error) => warn!(%address, %error, "no sockets for some workers"),
                }
                continue;
            }
            // Our own sockets on the same port would make the probe fail; they are no stranger's.
            let is_shared = self.bound.keys().any(|held| held.port() == address.port());
            match listen(*address, n_workers, is_shared) {
                Ok(sockets) => {
                    info!(%address, "listener bound");
                    self.bound.insert(*address, sockets);
                }
                Err(error) => {
                    failures.insert(*address, explain(*address, &error));
                }
            }
        }
        wanted
            .iter()
            .map(|address| {
                let failure = failures.remove(address);
                let sockets = self.bound.get(address).map(Vec::as_slice).unwrap_or_default();
                let result = BindResult { address: *address, failure };
                (result, sockets.iter().map(AsFd::as_fd).collect())
            })
            .collect()
    }
}

/// One listening socket per worker. SO_REUSEPORT would let us share a port with a stranger, so a first bind
/// without it finds out whether there is one.
fn listen(address: SocketAddr, n_workers: usize, is_shared: bool) -> io::Result<Vec<Socket>> {
    if !is_shared {
        open(address)?.bind(&address.into())?;
    }
    (0..n_workers)
        .map(|_| {
            let socket = open(address)?;
            socket.set_reuse_port(true)?;
            // Accepted connections inherit it: one call fewer for each.
            socket.set_tcp_nodelay(true)?;
            socket.set_nonblocking(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            Ok(socket)
        })
        .collect()
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn explain(address: SocketAddr, error: &io::Error) -> Failure {
    let port = address.port();
    let (kind, message) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            BindFailureKind::PortInUse,
            format!(
                "port {port} on {} is held by another program; stop it or choose another port",
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
            (BindFailureKind::PermissionDenied, format!("no right to bind {address}"))
        }
        _ => (BindFailureKind::Other, format!("{address} cannot be bound: {error}")),
    };
    warn!(%address, %error, "listener not bound");
    Failure { kind, message }
}

/// Connections that may wait for a worker; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4_096;
