//! Certificates made for tests, and a client that speaks TLS and tells what was agreed on.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};

use crate::client::{Connection, dial};

/// An authority.
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    /// Its certificate, PEM.
    pub certificate: String,
}

/// A certificate with its key, PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate, leaf first.
    pub certificate: String,
    /// The key.
    pub key: String,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Of a server.
    Server,
    /// Of a client.
    Client,
}

/// A TLS client.
#[derive(Clone)]
pub struct Client {
    roots: RootCertStore,
    /// Protocols offered.
    pub alpn: Vec<String>,
    /// Versions offered.
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// The certificate shown, if it is asked for.
    pub pair: Option<Pair>,
    /// Signature schemes; all where none is named.
    pub schemes: Vec<SignatureScheme>,
    config: Option<Arc<ClientConfig>>,
}

/// A connection over TLS.
pub type Secured = Connection<StreamOwned<ClientConnection, TcpStream>>;

// === impl Authority ===

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// Fails without randomness.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { params, key, certificate })
    }

    /// The authority as one that signs.
    #[must_use]
    pub fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    /// A certificate for names, with an ECDSA key.
    ///
    /// # Errors
    /// Fails if a name is none.
    pub fn issue(&self, r#use: Use, names: &[&str]) -> anyhow::Result<Pair> {
        self.issue_with(r#use, names, &KeyPair::generate()?, |_| {})
    }

    /// A certificate as `change` wants it.
    ///
    /// # Errors
    /// Fails if a name is none.
    pub fn issue_with(
        &self,
        r#use: Use,
        names: &[&str],
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> anyhow::Result<Pair> {
        let mut params = leaf(r#use, names)?;
        change(&mut params);
        let issuer = Issuer::from_params(&self.params, &self.key);
        Ok(Pair { certificate: params.signed_by(key, &issuer)?.pem(), key: key.serialize_pem() })
    }
}

/// A certificate that signs itself.
///
/// # Errors
/// Fails if a name is none.
pub fn self_signed(names: &[&str]) -> anyhow::Result<Pair> {
    let key = KeyPair::generate()?;
    let certificate = leaf(Use::Server, names)?.self_signed(&key)?.pem();
    Ok(Pair { certificate, key: key.serialize_pem() })
}

/// A new key.
///
/// # Errors
/// Fails without randomness.
pub fn key() -> anyhow::Result<KeyPair> {
    Ok(KeyPair::generate()?)
}

/// A subject of `O`, `OU` and `CN`, in this order.
#[must_use]
pub fn name(parts: &[(&str, &str)]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for (r#type, value) in parts {
        let r#type = match *r#type {
            "O" => DnType::OrganizationName,
            "OU" => DnType::OrganizationalUnitName,
            _ => DnType::CommonName,
        };
        name.push(r#type, *value);
    }
    name
}

fn leaf(r#use: Use, names: &[&str]) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("none"));
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = vec![match r#use {
        Use::Server => ExtendedKeyUsagePurpose::ServerAuth,
        Use::Client => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    Ok(params)
}

// === impl Pair ===

impl Pair {
    /// Whether a certificate is the one of this pair.
    #[must_use]
    pub fn is(&self, shown: &CertificateDer<'_>) -> bool {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).is_ok_and(|own| own == *shown)
    }

    /// A Secret document.
    #[must_use]
    pub fn secret(&self, name: &str) -> String {
        secret(name, &[("tls.crt", &self.certificate), ("tls.key", &self.key)])
    }
}

/// A Secret document with values.
#[must_use]
pub fn secret(name: &str, values: &[(&str, &str)]) -> String {
    let mut text = format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData:\n");
    for (name, value) in values {
        text.push_str(&format!("  {name}: |\n"));
        for line in value.lines() {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text
}

// === impl Client ===

impl Client {
    /// A client that trusts some authorities and nobody else; nobody at all where none is named.
    ///
    /// # Errors
    /// Fails if one is none.
    pub fn trusting(authorities: &[&str]) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
        }
        Ok(Self {
            roots,
            alpn: vec!["http/1.1".to_owned()],
            versions: vec![&rustls::version::TLS13, &rustls::version::TLS12],
            pair: None,
            schemes: Vec::new(),
            config: None,
        })
    }

    /// Settles what is offered, so that sessions are kept from one connection to the next.
    ///
    /// # Errors
    /// Fails if the pair is none.
    pub fn keep_sessions(&mut self) -> anyhow::Result<()> {
        self.config = Some(Arc::new(self.config()?));
        Ok(())
    }

    /// Connects, shakes hands and asks for a name; an address asks for none.
    ///
    /// # Errors
    /// Fails with what the handshake says.
    pub fn connect(&self, address: SocketAddr, name: &str) -> anyhow::Result<Secured> {
        self.over(dial(address)?, name)
    }

    /// The same on a socket on which something was said before.
    ///
    /// # Errors
    /// Fails with what the handshake says.
    pub fn over(&self, mut socket: TcpStream, name: &str) -> anyhow::Result<Secured> {
        let config = match &self.config {
            Some(config) => Arc::clone(config),
            None => Arc::new(self.config()?),
        };
        let name = ServerName::try_from(name.to_owned())?;
        let mut session = ClientConnection::new(config, name)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket).context("handshake")?;
        }
        Ok(Connection::over(StreamOwned::new(session, socket)))
    }

    fn config(&self) -> anyhow::Result<ClientConfig> {
        let mut provider = aws_lc_rs::default_provider();
        // As browsers do: a share that quantum computers do not open, and one that others understand.
        provider.kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1];
        let provider = Arc::new(provider);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions)?;
        let builder = match self.roots.is_empty() && self.schemes.is_empty() {
            false if self.schemes.is_empty() => builder.with_root_certificates(self.roots.clone()),
            _ => {
                let verifier = Trusting { provider, schemes: self.schemes.clone() };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        let mut config = match &self.pair {
            Some(pair) => builder.with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes())?],
                PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?,
            )?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.clone().into_bytes()).collect();
        Ok(config)
    }
}

/// Believes every certificate, for tests of what is shown.
#[derive(Debug)]
struct Trusting {
    provider: Arc<CryptoProvider>,
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Trusting {
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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        match self.schemes.is_empty() {
            true => self.provider.signature_verification_algorithms.supported_schemes(),
            false => self.schemes.clone(),
        }
    }
}
