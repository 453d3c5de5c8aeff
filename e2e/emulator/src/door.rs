//! Where the daemon of a node listens: its socket, and port 1215 of its address with TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::api::{self, Peer};
use crate::world::World;

/// The authority of the cluster.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub certificate: String,
}

// === impl Authority ===

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// Fails without randomness.
    pub fn new() -> anyhow::Result<Self> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "cluster CA");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(parameters, key), certificate })
    }

    /// Certificate and key of a user, both PEM.
    ///
    /// # Errors
    /// Fails without randomness.
    pub fn of_user(&self, name: &str) -> anyhow::Result<(String, String)> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        let key = KeyPair::generate()?;
        Ok((parameters.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }

    /// TLS as the listener speaks it: 1.3 alone, HTTP/1.1 alone. The certificate is for the first node and 127.0.0.1
    /// and is served by all.
    ///
    /// # Errors
    /// Fails without randomness.
    pub fn acceptor(&self) -> anyhow::Result<TlsAcceptor> {
        let mut parameters = CertificateParams::new(vec!["n1".to_owned()])?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.subject_alt_names.push(SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.certificate.as_bytes())?)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Answers at the socket of a node, HTTP/1.1 and HTTP/2. Connections end with it.
pub async fn serve_socket(listener: UnixListener, world: Arc<World>, node: String) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (world, node) = (Arc::clone(&world), node.clone());
        connections.spawn(async move {
            let service = service_fn(move |request| {
                api::answer(Arc::clone(&world), node.clone(), Peer::Socket, request)
            });
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Answers on the network.
pub async fn serve_network(listener: TcpListener, acceptor: TlsAcceptor, world: Arc<World>, node: String) {
    let mut connections = JoinSet::new();
    while let Ok((stream, peer)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (world, node, acceptor) = (Arc::clone(&world), node.clone(), acceptor.clone());
        connections.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let chain = stream.get_ref().1.peer_certificates();
            let name = chain.and_then(|chain| chain.first()).and_then(|leaf| common_name(leaf));
            let peer = Peer::Network(peer.ip(), name);
            let service = service_fn(move |request| {
                api::answer(Arc::clone(&world), node.clone(), peer.clone(), request)
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Opens port 1215 of a node.
///
/// # Errors
/// Fails if it is taken.
pub fn network_listener(world: &World, node: &str) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from((world.address(node), PORT));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // The listener of the life before may still be there for a moment.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into()).with_context(|| address.to_string())?;
    socket.listen(128)?;
    Ok(TcpListener::from_std(socket.into())?)
}

/// The common name in a certificate's subject: the last attribute of that kind (X.520 `2.5.4.3`).
fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let bytes = certificate.as_ref();
    let attribute = [0x06, 0x03, 0x55, 0x04, 0x03];
    let at = bytes.windows(attribute.len()).rposition(|window| window == attribute)? + attribute.len();
    let length = usize::from(*bytes.get(at + 1)?);
    String::from_utf8(bytes.get(at + 2..at + 2 + length)?.to_vec()).ok()
}

/// Port of the daemons.
pub const PORT: u16 = 1215;
