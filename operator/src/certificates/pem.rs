//! PEM (RFC 7468): one canonical form of what people write.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The certificates of a text, in order.
///
/// # Errors
/// Says what is wrong with the text, in words that follow a name.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err("holds no certificate; put PEM text there that begins with BEGIN CERTIFICATE".to_owned())
        }
        Ok(found) => Ok(found),
        Err(error) => Err(format!("is not whole PEM text ({error:?}); write it anew")),
    }
}

/// The private key of a text.
///
/// # Errors
/// As [`certificates`]; nothing of the text is in it.
pub fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let is_encrypted = [&b"ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| text.windows(mark.len()).any(|window| window == *mark));
    if is_encrypted {
        return Err("holds an encrypted key; store the key without pass phrase".to_owned());
    }
    PrivateKeyDer::from_pem_slice(text)
        .map_err(|_| "holds no private key; put PEM text there that begins with BEGIN PRIVATE KEY".to_owned())
}

/// Certificates as text.
#[must_use]
pub fn chain_text(chain: &[CertificateDer<'_>]) -> String {
    chain.iter().map(|certificate| block("CERTIFICATE", certificate)).collect()
}

/// A private key as text.
#[must_use]
pub fn key_text(key: &PrivateKeyDer<'_>) -> String {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    block(label, key.secret_der())
}

fn block(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// Characters of a line (RFC 7468 section 2).
const LINE: usize = 64;
