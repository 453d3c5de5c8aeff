//! The wire: one datagram or one stream for each try.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// Asks over UDP from a port of its own. Datagrams that `accept` does not take are passed over; the kernel
/// passes only those of the server's address and port.
pub(crate) async fn udp<T>(
    server: SocketAddr,
    query: &[u8],
    payload: u16,
    accept: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<T> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; usize::from(payload)];
    loop {
        let n_bytes = socket.recv(&mut buffer).await?;
        if let Some(accepted) = buffer.get(..n_bytes).and_then(&accept) {
            return Ok(accepted);
        }
    }
}

/// Asks over TCP (RFC 7766).
pub(crate) async fn tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    let mut message = Vec::with_capacity(query.len() + 2);
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(query);
    stream.write_all(&message).await?;
    let n_bytes = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(n_bytes)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}
