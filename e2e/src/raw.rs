//! Servers and clients of bare connections.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use crate::client::dial;

/// A server that does with each connection what it is told, for as long as the test runs.
///
/// # Errors
/// Fails without a free port.
pub fn server(
    ip: IpAddr,
    each: impl Fn(TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((ip, 0))?;
    let address = listener.local_addr()?;
    let each = Arc::new(each);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = Arc::clone(&each);
            std::thread::spawn(move || each(stream));
        }
    });
    Ok(address)
}

/// A server that says a word and then everything back.
///
/// # Errors
/// Fails without a free port.
pub fn echo(ip: IpAddr, word: &'static str) -> anyhow::Result<SocketAddr> {
    server(ip, move |mut stream| {
        stream.write_all(word.as_bytes())?;
        let mut source = stream.try_clone()?;
        std::io::copy(&mut source, &mut stream)?;
        stream.shutdown(Shutdown::Write)
    })
}

/// What a connection brings to its end, when this is all that is said on it.
///
/// # Errors
/// Fails if the connection breaks.
pub fn said(address: SocketAddr, words: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut stream = dial(address)?;
    stream.write_all(words)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
