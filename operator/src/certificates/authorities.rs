//! Certificate authorities that others are verified by.

use rustls::RootCertStore;

use super::pem;

/// The authorities of a PEM text in canonical form.
///
/// # Errors
/// Says what is wrong, in words that follow the name of the text.
pub fn examine(text: Option<&[u8]>) -> Result<String, String> {
    let text = text.ok_or_else(|| format!("key {CA} is missing; put the authorities there"))?;
    let found = pem::certificates(text).map_err(|fault| format!("key {CA} {fault}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in &found {
        roots.add(certificate.clone()).map_err(|error| format!("key {CA} holds no authority: {error}"))?;
    }
    Ok(pem::chain_text(&found))
}

/// Key of a ConfigMap that holds authorities (BackendTLSPolicy, `caCertificateRefs`).
pub const CA: &str = "ca.crt";
