//! The echo server of TCP and TLS: greets, then answers lines.

use std::io;
use std::sync::Arc;

use rustls::{ProtocolVersion, ServerConfig, ServerConnection};
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::container::Identity;
use super::http::accept;

/// The server of one pod.
#[derive(Debug)]
pub(crate) struct TcpEcho {
    identity: Identity,
    port: u16,
    tls_port: u16,
}

/// Serves a port.
pub(crate) async fn run(listener: TcpListener, tls: Option<Arc<ServerConfig>>, echo: Arc<TcpEcho>) {
    accept(listener, |stream, _| converse(stream, tls.clone(), Arc::clone(&echo))).await;
}

async fn converse(stream: TcpStream, tls: Option<Arc<ServerConfig>>, echo: Arc<TcpEcho>) {
    let _ = stream.set_nodelay(true);
    // A connection that breaks ends alone.
    let _ = match tls {
        None => answer(stream, &echo.reply(None)).await,
        Some(config) => match TlsAcceptor::from(config).accept(stream).await {
            Ok(stream) => {
                let reply = echo.reply(Some(stream.get_ref().1));
                answer(stream, &reply).await
            }
            Err(error) => Err(error),
        },
    };
}

/// Answers the lines of one client.
async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, reply: &Value) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(WELCOME).await?;
    stream.flush().await?;
    loop {
        let mut line = Vec::new();
        (&mut stream).take(MAX_LINE).read_until(b'\n', &mut line).await?;
        let answer = match line.trim_ascii_end() {
            b"TEST" => format!("{reply}\n"),
            b"IS_TLS" => format!("{}\n", reply["isTLS"]),
            b"PING" => "PONG\n".to_owned(),
            _ if line.is_empty() => return stream.shutdown().await,
            _ => continue,
        };
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
    }
}

// === impl TcpEcho ===

impl TcpEcho {
    pub(crate) fn new(identity: Identity, port: u16, tls_port: u16) -> Self {
        Self { identity, port, tls_port }
    }

    fn reply(&self, session: Option<&ServerConnection>) -> Value {
        let mut reply = json!({
            "namespace": self.identity.namespace,
            "ingress": self.identity.ingress,
            "service": self.identity.service,
            "pod": self.identity.pod,
            "tcpport": self.port.to_string(),
            "tlsport": self.tls_port.to_string(),
            "isTLS": session.is_some(),
        });
        if let Some(session) = session {
            reply["tls"] = told(session);
        }
        reply
    }
}

/// A session in the words of this mode, which are not those of the others.
fn told(session: &ServerConnection) -> Value {
    let suite = session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    json!({
        "version": match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "",
        },
        "serverName": session.server_name().unwrap_or_default(),
        "negotiatedProtocol": session.alpn_protocol().map(String::from_utf8_lossy).unwrap_or_default(),
        "curves": session.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())),
        "cipherSuite": suite.unwrap_or_default().replace("TLS13_", "TLS_"),
    })
}

/// The first thing a client hears.
const WELCOME: &[u8] = b"Gateway API Test TCP Server\n";
/// Longest line; what is longer is taken in pieces.
const MAX_LINE: u64 = 64 * 1024;
