//! Sockets that never block, and the queue of those that have something to do.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::process::{Resource, Rlimit};
use socket2::{Domain, Socket, Type};

pub use rustix::event::epoll::EventFlags;

/// Sockets that are watched for edges.
pub struct Watch {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

// === impl Watch ===

impl Watch {
    /// One that watches nothing.
    ///
    /// # Errors
    /// Fails without a free descriptor.
    pub fn new() -> anyhow::Result<Self> {
        // Otherwise the kernel may let a thread that waits sleep 50 us longer than it asked for.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, events: Vec::with_capacity(256) })
    }

    /// Watches a socket under a number.
    ///
    /// # Errors
    /// Fails without memory of the kernel.
    pub fn add(&self, socket: impl AsFd, number: usize) -> anyhow::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, epoll::EventData::new_u64(number as u64), flags)?;
        Ok(())
    }

    /// Waits for edges, no longer than `limit`; leaves them in `found`.
    ///
    /// # Errors
    /// Fails if the kernel takes the queue away.
    pub fn wait(
        &mut self,
        limit: Option<Duration>,
        found: &mut Vec<(usize, EventFlags)>,
    ) -> anyhow::Result<()> {
        let limit = limit.map(|limit| Timespec {
            tv_sec: limit.as_secs().cast_signed(),
            tv_nsec: i64::from(limit.subsec_nanos()),
        });
        self.events.clear();
        found.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), limit.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll"),
        }
        found.extend(self.events.iter().map(|event| (event.data.u64() as usize, event.flags)));
        Ok(())
    }
}

/// Begins to connect. The own address is one of many, so that ports which wait for the end of an old connection never
/// run out.
///
/// # Errors
/// Fails without a free descriptor or port.
pub fn connect(to: SocketAddr, n_before: u64) -> anyhow::Result<TcpStream> {
    check_loopback(to)?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    let from = Ipv4Addr::new(127, 0, 1, 1 + (n_before % 200) as u8);
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
            Err(error).with_context(|| format!("connect to {to}"))
        }
        _ => Ok(socket.into()),
    }
}

/// Listens with a backlog that no burst of a scenario fills.
///
/// # Errors
/// Fails if the address is taken.
pub fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    check_loopback(address)?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into()).with_context(|| format!("bind {address}"))?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// Accepts; nothing where nobody waits.
pub fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(true).ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

/// Whether an error only says that a socket has to wait.
pub fn is_waiting(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Lets this process and those it starts open as many descriptors as it may; returns how many.
pub fn raise_descriptors() -> u64 {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let _ = rustix::process::setrlimit(
        Resource::Nofile,
        Rlimit { current: limit.maximum, maximum: limit.maximum },
    );
    rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// No load leaves this machine.
fn check_loopback(address: SocketAddr) -> anyhow::Result<()> {
    let is_loopback = matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback());
    ensure!(is_loopback, "{address} is not a loopback address");
    Ok(())
}
