//! A server that gives prepared answers and keeps what it was asked, on a Unix socket and over TLS.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

/// What the server was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Common name, as the test certificates carry it, of a client that showed a certificate.
    pub has_certificate: bool,
}

/// What the server answers. A status of zero: it breaks the connection.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

#[derive(Default)]
struct Desk {
    replies: Mutex<VecDeque<Reply>>,
    asked: Mutex<Vec<Asked>>,
}

/// A running server; it ends with its value.
pub struct Served {
    pub socket: PathBuf,
    pub address: SocketAddr,
    pub authority: Authority,
    desk: Arc<Desk>,
    _tasks: JoinSet<()>,
    _folder: tempfile::TempDir,
}

/// A certificate authority as the daemon's, with certificates it signed, PEM.
pub struct Authority {
    pub ca: String,
    pub folder: PathBuf,
}

// === impl Asked ===

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The segments of the path, decoded.
    pub fn segments(&self) -> Vec<String> {
        self.path.trim_start_matches('/').split('/').map(|segment| decode(segment, false)).collect()
    }

    /// The parameters of the query, decoded.
    pub fn parameters(&self) -> Vec<(String, String)> {
        parameters(&self.query)
    }
}

// === impl Reply ===

impl Reply {
    pub fn json(status: u16, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.as_bytes().to_vec() }
    }

    pub fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
}

// === impl Served ===

impl Served {
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let authority = Authority::make(folder.path())?;
        let socket = folder.path().join("http.sock");
        let unix = UnixListener::bind(&socket)?;
        let tcp = TcpListener::bind("127.0.0.1:0").await?;
        let address = tcp.local_addr()?;
        let acceptor = authority.acceptor()?;
        let desk = Arc::new(Desk::default());
        let mut tasks = JoinSet::new();
        let for_unix = Arc::clone(&desk);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = unix.accept().await {
                connections.spawn(serve(TokioIo::new(stream), Arc::clone(&for_unix), false));
            }
        });
        let for_tcp = Arc::clone(&desk);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = tcp.accept().await {
                let (acceptor, desk) = (acceptor.clone(), Arc::clone(&for_tcp));
                connections.spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let has_certificate = stream.get_ref().1.peer_certificates().is_some();
                        serve(TokioIo::new(stream), desk, has_certificate).await;
                    }
                });
            }
        });
        Ok(Self { socket, address, authority, desk, _tasks: tasks, _folder: folder })
    }

    /// Prepares the next answer.
    pub fn will_answer(&self, reply: Reply) {
        self.desk.replies.lock().unwrap_or_else(PoisonError::into_inner).push_back(reply);
    }

    /// What was asked since the last call.
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.desk.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets prepared answers that nobody fetched.
    pub fn clear(&self) {
        self.desk.replies.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

// === impl Authority ===

impl Authority {
    fn make(folder: &Path) -> anyhow::Result<Self> {
        let ca_key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = params.self_signed(&ca_key)?.pem();
        let issuer = Issuer::new(params, ca_key);
        let leaf = |names: &[&str], name: &str, usage| -> anyhow::Result<()> {
            let key = KeyPair::generate()?;
            let mut params =
                CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
            params.extended_key_usages = vec![usage];
            std::fs::write(folder.join(format!("{name}.pem")), params.signed_by(&key, &issuer)?.pem())?;
            std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
            Ok(())
        };
        // The names of a bootstrapped daemon: one node, and the loopback address.
        leaf(&["n1", "127.0.0.1"], "server", ExtendedKeyUsagePurpose::ServerAuth)?;
        leaf(&["igw"], "client", ExtendedKeyUsagePurpose::ClientAuth)?;
        std::fs::write(folder.join("ca.pem"), &ca)?;
        Ok(Self { ca, folder: folder.to_owned() })
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn acceptor(&self) -> anyhow::Result<tokio_rustls::TlsAcceptor> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.as_bytes())?)?;
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&provider),
        )
        .allow_unauthenticated()
        .build()?;
        let chain = CertificateDer::pem_file_iter(self.file("server.pem"))?.collect::<Result<Vec<_>, _>>()?;
        let mut side = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, PrivateKeyDer::from_pem_file(self.file("server.key"))?)?;
        side.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(side).into())
    }
}

async fn serve<S>(io: TokioIo<S>, desk: Arc<Desk>, has_certificate: bool)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let service = service_fn(|request| answer(request, Arc::clone(&desk), has_certificate));
    // A broken connection is a prepared answer, too.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
}

async fn answer(
    request: hyper::Request<Incoming>,
    desk: Arc<Desk>,
    has_certificate: bool,
) -> Result<hyper::Response<Full<Bytes>>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes().to_vec();
    let headers = parts.headers.iter();
    let asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        body,
        has_certificate,
    };
    desk.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    let reply = desk.replies.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let reply = reply.unwrap_or_else(|| Reply::json(599, "{\"detail\":\"no answer was prepared\"}"));
    if reply.status == 0 {
        return Err(std::io::Error::other("broken on purpose"));
    }
    let mut response = hyper::Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(Bytes::from(reply.body))).map_err(std::io::Error::other)
}

/// Decodes percent signs; in queries a plus is a blank.
pub fn decode(text: &str, is_query: bool) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
                u8::from_str_radix(&String::from_utf8_lossy(&digits), 16).unwrap_or(b'?')
            }
            b'+' if is_query => b' ',
            other => other,
        });
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Splits a query.
pub fn parameters(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        })
        .collect()
}
