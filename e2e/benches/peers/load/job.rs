//! What a load is to do, and the bytes that it sends.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use serde::{Deserialize, Serialize};

use super::tickets::Tickets;

/// A load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Where to; always on this machine.
    pub target: SocketAddr,
    pub protocol: Protocol,
    pub security: Security,
    pub pace: Pace,
    pub upload: Upload,
    pub n_connections: usize,
    /// Requests at a time on each connection, with HTTP/2.
    pub n_streams: usize,
    /// Host and path of each request, taken in turn.
    pub targets: Vec<(String, String)>,
    /// Seconds before what counts.
    pub warmup: f64,
    /// Seconds of what counts.
    pub seconds: f64,
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    Http1,
    Http2,
}

/// What is below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Security {
    Plain,
    /// TLS 1.3, each handshake a full one.
    Full,
    /// TLS 1.3, sessions resumed.
    Resumed,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pace {
    /// When the answer to the one before is whole.
    Closed,
    /// The same, each on a connection of its own.
    Once,
    /// So many a second.
    Rate(u32),
    /// One on each connection, all of which then stay idle.
    Hold,
}

/// Bodies of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Upload {
    None,
    /// So many bytes with their length.
    Sized(usize),
    /// So many bytes in chunks.
    Chunked(usize),
}

/// The load measures the proxy, not its certificate.
#[derive(Debug)]
struct Anybody;

// === impl Job ===

impl Job {
    /// The requests: whole ones of HTTP/1, field sections of HTTP/2.
    pub fn requests(&self) -> Vec<Vec<u8>> {
        let request = |(host, path): &(String, String)| match self.protocol {
            Protocol::Http1 => self.http1(host, path),
            Protocol::Http2 => self.http2(host, path),
        };
        self.targets.iter().map(request).collect()
    }

    /// How TLS is spoken: one cipher suite and one group, so that every proxy does the same cryptography.
    ///
    /// # Errors
    /// Fails if the library cannot do it.
    pub fn tls(&self) -> anyhow::Result<Option<Arc<ClientConfig>>> {
        if self.security == Security::Plain {
            return Ok(None);
        }
        let mut provider = default_provider();
        provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
        provider.kx_groups = vec![kx_group::X25519];
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        config.alpn_protocols = match self.protocol {
            Protocol::Http1 => vec![b"http/1.1".to_vec()],
            Protocol::Http2 => vec![b"h2".to_vec()],
        };
        config.resumption = match self.security {
            Security::Resumed => Resumption::store(Arc::new(Tickets::default())),
            Security::Plain | Security::Full => Resumption::disabled(),
        };
        Ok(Some(Arc::new(config)))
    }

    fn http1(&self, host: &str, path: &str) -> Vec<u8> {
        let method = if self.upload == Upload::None { "GET" } else { "POST" };
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {AGENT}\r\nAccept: */*\r\n\
             Accept-Encoding: identity\r\n"
        )
        .into_bytes();
        let filling = |n_bytes| (b'a'..=b'z').cycle().take(n_bytes);
        match self.upload {
            Upload::None => request.extend(b"\r\n"),
            Upload::Sized(size) => {
                request.extend(format!("Content-Length: {size}\r\n\r\n").bytes());
                request.extend(filling(size));
            }
            Upload::Chunked(size) => {
                request.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                for begin in (0..size).step_by(CHUNK) {
                    let n_bytes = CHUNK.min(size - begin);
                    request.extend(format!("{n_bytes:x}\r\n").bytes());
                    request.extend(filling(n_bytes));
                    request.extend(b"\r\n");
                }
                request.extend(b"0\r\n\r\n");
            }
        }
        request
    }

    /// A field section that refers to fixed entries only, so that it means the same on every stream.
    fn http2(&self, host: &str, path: &str) -> Vec<u8> {
        let scheme = if self.security == Security::Plain { 0x86 } else { 0x87 };
        let mut section = vec![0x82, scheme];
        // Literals that enter no table, with the index of their name: path, authority, user-agent, accept.
        for (name, value) in
            [(&[0x04][..], path), (&[0x01], host), (&[0x0f, 0x2b], AGENT), (&[0x0f, 0x04], "*/*")]
        {
            section.extend(name);
            section.push(value.len().min(126) as u8);
            section.extend(value.bytes().take(126));
        }
        section
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

const AGENT: &str = "igw-bench";
const CHUNK: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_carry_what_the_job_says() {
        let mut job = Job {
            target: SocketAddr::from(([127, 0, 0, 1], 80)),
            protocol: Protocol::Http1,
            security: Security::Plain,
            pace: Pace::Closed,
            upload: Upload::Sized(10),
            n_connections: 1,
            n_streams: 1,
            targets: vec![("a.test".to_owned(), "/x".to_owned())],
            warmup: 0.0,
            seconds: 1.0,
        };
        let text = String::from_utf8(job.requests().remove(0)).expect("text");
        assert!(text.starts_with("POST /x HTTP/1.1\r\nHost: a.test\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 10\r\n\r\nabcdefghij"), "{text}");
        job.upload = Upload::Chunked(5000);
        let text = String::from_utf8(job.requests().remove(0)).expect("text");
        assert!(text.contains("\r\n1000\r\nabc") && text.contains("\r\n388\r\n"), "{text}");
    }
}
