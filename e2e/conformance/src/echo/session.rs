//! TLS of back ends, and what a reply says of a session, in the words of Go.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{ProtocolVersion, RootCertStore, ServerConfig, ServerConnection};
use serde::Serialize;

/// What a reply says of the session that its request came by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    pub(crate) version: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) peer_certificates: Vec<String>,
    pub(crate) server_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) negotiated_protocol: String,
    pub(crate) cipher_suite: String,
}

// === impl Session ===

impl Session {
    /// What is known after the handshake.
    pub(crate) fn of(connection: &ServerConnection) -> Self {
        let suite = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        Self {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "",
            },
            peer_certificates: connection.peer_certificates().unwrap_or_default().iter().map(pem).collect(),
            server_name: connection.server_name().unwrap_or_default().to_owned(),
            negotiated_protocol: connection
                .alpn_protocol()
                .map(|protocol| String::from_utf8_lossy(protocol).into_owned())
                .unwrap_or_default(),
            // rustls puts the version into the names of TLS 1.3.
            cipher_suite: suite.unwrap_or_default().replace("TLS13_", "TLS_"),
        }
    }
}

/// TLS with a certificate, its key, the protocols that are offered and, if clients may show certificates, the
/// authorities of those.
pub(crate) fn server_config(
    certificate: &[u8],
    key: &[u8],
    protocols: &[&str],
    authorities: Option<&[u8]>,
) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.context("certificate of the server")?;
    let key = PrivateKeyDer::from_pem_slice(key).context("key of the server")?;
    let verifier = match authorities {
        None => Arc::new(NoClientAuth) as Arc<dyn rustls::server::danger::ClientCertVerifier>,
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for authority in CertificateDer::pem_slice_iter(pem) {
                roots.add(authority.context("authorities of clients")?)?;
            }
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .allow_unauthenticated()
                .build()?
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(PEM_LINE));
        pem.extend([line, "\n"]);
        rest = next;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// Letters in a line of PEM.
const PEM_LINE: usize = 64;
