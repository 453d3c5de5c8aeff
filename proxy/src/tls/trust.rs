//! Whom certificates of endpoints are believed from (BackendTLSPolicy).

use std::sync::{Arc, OnceLock};

use igw_crds::snapshot::{BackendTls, SubjectAltName, Trust};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest as _, Sha256};
use tracing::warn;
use webpki::EndEntityCert;

use super::provider::chosen;

/// A configuration that believes whom the policy says, without protocols and without a certificate to show.
///
/// # Errors
/// Says why nobody can be believed.
pub(crate) fn client_config(tls: &BackendTls) -> Result<ClientConfig, String> {
    let provider = chosen(&[]);
    let verifier: Arc<dyn ServerCertVerifier> = match &tls.trust {
        Trust::Fingerprints(fingerprints) => {
            Arc::new(Verifier::new(Judge::Fingerprints(fingerprints.clone()), &provider))
        }
        Trust::Authorities(pem) => by_chain(tls, Arc::new(authorities(pem)?), &provider)?,
        Trust::System => by_chain(tls, system()?, &provider)?,
        Trust::Nobody => return Err("no certificate authority of the policy is valid".to_owned()),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// By authorities and names.
fn by_chain(
    tls: &BackendTls,
    roots: Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    if tls.names.is_empty() {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
        return Ok(verifier.map_err(|error| error.to_string())?);
    }
    Ok(Arc::new(Verifier::new(Judge::Names(roots, tls.names.clone()), provider)))
}

fn authorities(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let authority = authority.map_err(|_| "the authorities are no PEM text".to_owned())?;
        roots.add(authority).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

/// The authorities of the system, read once in the life of the process.
fn system() -> Result<Arc<RootCertStore>, String> {
    static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = SYSTEM.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        if let Some(error) = found.errors.first() {
            warn!(%error, "some certificate authorities of the system were not read");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        Arc::new(roots)
    });
    match roots.is_empty() {
        true => Err("the system has no certificate authorities; install ca-certificates".to_owned()),
        false => Ok(Arc::clone(roots)),
    }
}

/// Judges what the library does not: certificates by themselves, or names that are not the one asked for.
#[derive(Debug)]
struct Verifier {
    judge: Judge,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Judge {
    /// The holders of known certificates are believed, whoever signed them: those that OpenSVC makes call themselves
    /// authorities, and no chain leads to them. SHA-256, lower-case hexadecimal.
    Fingerprints(Vec<String>),
    /// Authorities are believed, for one of these names.
    Names(Arc<RootCertStore>, Vec<SubjectAltName>),
}

// === impl Verifier ===

impl Verifier {
    fn new(judge: Judge, provider: &CryptoProvider) -> Self {
        Self { judge, algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let fault = match &self.judge {
            Judge::Fingerprints(known) => {
                let found: String =
                    Sha256::digest(end_entity).iter().map(|byte| format!("{byte:02x}")).collect();
                (!known.contains(&found)).then_some(CertificateError::ApplicationVerificationFailure)
            }
            Judge::Names(roots, names) => {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                let algorithms = self.algorithms.all;
                verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)?;
                (!has_name(end_entity, &parsed, names)?).then_some(CertificateError::NotValidForName)
            }
        };
        match fault {
            None => Ok(ServerCertVerified::assertion()),
            Some(fault) => Err(Error::InvalidCertificate(fault)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The certificate carries one of the names.
fn has_name(
    end_entity: &CertificateDer<'_>,
    parsed: &ParsedCertificate<'_>,
    names: &[SubjectAltName],
) -> Result<bool, Error> {
    let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    let carried = EndEntityCert::try_from(end_entity).map_err(bad)?;
    Ok(names.iter().any(|wanted| match wanted {
        SubjectAltName::Uri(wanted) => carried.valid_uri_names().any(|uri| uri == wanted),
        SubjectAltName::Hostname(wanted) if wanted.starts_with("*.") => {
            carried.valid_dns_names().any(|name| name.eq_ignore_ascii_case(wanted))
        }
        SubjectAltName::Hostname(wanted) => ServerName::try_from(wanted.as_str())
            .is_ok_and(|wanted| verify_server_name(parsed, &wanted).is_ok()),
    }))
}
