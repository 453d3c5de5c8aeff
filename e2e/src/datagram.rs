//! Servers and clients of datagrams.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;

/// A server of datagrams, for as long as the test runs.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    peers: Arc<Mutex<BTreeSet<SocketAddr>>>,
}

// === impl Server ===

impl Server {
    /// A server that answers each datagram with a word and the datagram.
    ///
    /// # Errors
    /// Fails without a free port.
    pub fn echo(ip: IpAddr, word: &'static str) -> anyhow::Result<Self> {
        Self::start((ip, 0).into(), move |datagram| vec![[word.as_bytes(), datagram].concat()])
    }

    /// A server that answers each datagram with these.
    ///
    /// # Errors
    /// Fails if the address is in use.
    pub fn start(
        address: SocketAddr,
        answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        let server = Self { address: socket.local_addr()?, peers: Arc::default() };
        let peers = Arc::clone(&server.peers);
        std::thread::spawn(move || {
            let mut datagram = vec![0; 65_536];
            while let Ok((n_bytes, peer)) = socket.recv_from(&mut datagram) {
                peers.lock().unwrap_or_else(PoisonError::into_inner).insert(peer);
                for answer in answers(&datagram[..n_bytes]) {
                    // Who does not wait for it any more does not get it.
                    let _ = socket.send_to(&answer, peer);
                }
            }
        });
        Ok(server)
    }

    /// Everybody who sent something.
    #[must_use]
    pub fn peers(&self) -> BTreeSet<SocketAddr> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A client that speaks to one address.
///
/// # Errors
/// Fails without a free port.
pub fn client(from: IpAddr, to: SocketAddr) -> anyhow::Result<UdpSocket> {
    client_of((from, 0).into(), to)
}

/// The same with a port of its own.
///
/// # Errors
/// Fails if the port is in use.
pub fn client_of(from: SocketAddr, to: SocketAddr) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind(from)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(to)?;
    Ok(socket)
}

/// Sends a datagram and waits for one.
///
/// # Errors
/// Fails if none comes within two seconds.
pub fn ask(client: &UdpSocket, datagram: &[u8]) -> anyhow::Result<Vec<u8>> {
    client.send(datagram)?;
    answer(client)
}

/// Waits for a datagram.
///
/// # Errors
/// Fails if none comes within two seconds.
pub fn answer(client: &UdpSocket) -> anyhow::Result<Vec<u8>> {
    let mut datagram = vec![0; 65_536];
    let n_bytes = client.recv(&mut datagram).context("no answer")?;
    datagram.truncate(n_bytes);
    Ok(datagram)
}

const PATIENCE: Duration = Duration::from_secs(2);
