//! How port 1215 is trusted: TLS 1.3, verified against the cluster's own authority and nothing else.
//!
//! The daemon's certificate names the node that bootstrapped the cluster and 127.0.0.1 (contract §2.1), while
//! clients connect to any node. So the name to expect may be given apart from the address. A rewritten resolver
//! would do the same for host names, but not where the expected name is an address, as 127.0.0.1 is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// Whom to believe at the other end.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// The certificates of this PEM file: key `certificate_chain` of `system/sec/ca`, or
    /// `/var/lib/opensvc/certs/ca_certificates` on a node.
    Authority(PathBuf),
    /// The certificates of this PEM text.
    AuthorityPem(String),
    /// Nobody is verified; anybody on the way can read and change everything.
    Anybody,
    /// Nobody can be believed: no authority was given. A connection is refused before it is tried.
    #[default]
    Unset,
}

/// A certificate and key of a client, PEM files.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The certificate, its chain behind it.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Why no connection can be configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No authority was given.
    #[error("no certificate authority given for a TLS connection")]
    NoAuthority,
    /// A file cannot be read as PEM.
    #[error("cannot read {path}: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The authority's certificates cannot be used.
    #[error("unusable certificate authority: {0}")]
    Authority(String),
    /// The client's certificate and key do not fit.
    #[error("unusable client certificate: {0}")]
    Certificate(String),
    /// The expected name is neither a host name nor an address.
    #[error("{0:?} is not a server name")]
    ServerName(String),
}

/// Verifies the chain as usual, but expects a name of its own in place of the host of the URL.
#[derive(Debug)]
struct Named {
    chain: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

/// Verifies signatures, and nothing about who made them.
#[derive(Debug)]
struct Unverified {
    provider: Arc<CryptoProvider>,
}

/// Configures a client's side.
pub(crate) fn client_side(
    trust: &Trust,
    server_name: Option<&str>,
    identity: Option<&ClientCertificate>,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verifier(trust, server_name, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| TlsError::Authority(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut side = match identity {
        Some(identity) => {
            let chain = read_certificates(&identity.certificate)?;
            let key = PrivateKeyDer::from_pem_file(&identity.key)
                .map_err(|error| TlsError::File { path: identity.key.clone(), cause: error.to_string() })?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| TlsError::Certificate(error.to_string()))?
        }
        None => builder.with_no_client_auth(),
    };
    // The daemon speaks HTTP/1.1 alone at rc21; later releases may differ (contract §19).
    side.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(side)
}

/// What a client of a Unix socket carries, because the HTTP client wants some TLS settings: it trusts nobody.
pub(crate) fn unused() -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| TlsError::Authority(error.to_string()))?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn verifier(
    trust: &Trust,
    server_name: Option<&str>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let certificates = match trust {
        Trust::Anybody => return Ok(Arc::new(Unverified { provider: Arc::clone(provider) })),
        Trust::Unset => return Err(TlsError::NoAuthority),
        Trust::Authority(path) => read_certificates(path)?,
        Trust::AuthorityPem(text) => CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| TlsError::Authority(error.to_string()))?,
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| TlsError::Authority(error.to_string()))?;
    }
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| TlsError::Authority(error.to_string()))?;
    match server_name {
        None => Ok(chain),
        Some(name) => {
            let parsed = ServerName::try_from(name.to_owned());
            let name = parsed.map_err(|_| TlsError::ServerName(name.chars().take(253).collect()))?;
            Ok(Arc::new(Named { chain, name }))
        }
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |error: rustls_pki_types::pem::Error| TlsError::File {
        path: path.to_owned(),
        cause: error.to_string(),
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    if certificates.is_empty() {
        return Err(TlsError::File { path: path.to_owned(), cause: "no certificate in it".to_owned() });
    }
    Ok(certificates)
}

// === impl Named ===

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.chain.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

// === impl Unverified ===

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
