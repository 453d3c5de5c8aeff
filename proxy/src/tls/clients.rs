//! How listeners judge the certificates of clients: in the handshake, or after it where everybody is let in.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme};

/// How a listener ends TLS.
#[derive(Clone)]
pub(crate) struct Ending {
    /// For handshakes.
    pub(crate) config: Arc<ServerConfig>,
    /// Judges what clients have shown, where handshakes let everybody in.
    pub(crate) judge: Option<Arc<dyn ClientCertVerifier>>,
}

/// Lets everybody in who holds the key of what they show, whoever signed it.
#[derive(Debug)]
pub(crate) struct Lenient(Arc<dyn ClientCertVerifier>);

/// A judge who believes the authorities of a PEM text. Clients need not show anything unless they must.
///
/// # Errors
/// Says what is wrong with the authorities.
pub(crate) fn judge(
    authorities: &str,
    is_required: bool,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        let authority = authority.map_err(|_| "authorities of clients are no PEM text".to_owned())?;
        roots.add(authority).map_err(|error| error.to_string())?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = if is_required { verifier } else { verifier.allow_unauthenticated() };
    verifier
        .build()
        .map(|verifier| verifier as Arc<dyn ClientCertVerifier>)
        .map_err(|error| error.to_string())
}

// === impl Ending ===

impl Ending {
    /// Whether who has shown this, in a handshake of this listener, is who it says.
    pub(crate) fn believes(&self, shown: &[CertificateDer<'_>]) -> bool {
        let (Some(judge), Some((first, rest))) = (&self.judge, shown.split_first()) else {
            return self.judge.is_none();
        };
        judge.verify_client_cert(first, rest, UnixTime::now()).is_ok()
    }
}

// === impl Lenient ===

impl Lenient {
    pub(crate) fn new(judge: Arc<dyn ClientCertVerifier>) -> Self {
        Self(judge)
    }
}

impl ClientCertVerifier for Lenient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // [`Ending::believes`] tells later.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::crypto::aws_lc_rs::default_provider;

    use super::*;

    #[test]
    fn whoever_is_let_in_is_believed_only_if_an_authority_says_so() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let own_key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["a.test".into()]).unwrap();
        let signed = leaf.clone().signed_by(&own_key, &issuer).unwrap().der().clone();
        let strange = leaf.self_signed(&own_key).unwrap().der().clone();

        let strict = judge(&authority.pem(), false, Arc::new(default_provider())).unwrap();
        let lenient = Lenient::new(Arc::clone(&strict));
        assert!(!lenient.client_auth_mandatory());
        for shown in [&signed, &strange] {
            assert!(lenient.verify_client_cert(shown, &[], UnixTime::now()).is_ok());
        }
        let provider = Arc::new(default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
        let mut ending = Ending { config: Arc::new(config), judge: Some(strict) };
        let believed = [vec![signed], vec![strange.clone()], Vec::new()].map(|shown| ending.believes(&shown));
        assert_eq!(believed, [true, false, false]);
        // Where the handshake has judged, nothing is left to judge.
        ending.judge = None;
        assert!(ending.believes(&[strange]));
    }
}
