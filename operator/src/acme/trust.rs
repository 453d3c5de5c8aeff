//! Whom igw believes to be an authority's server.

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

use crate::certificates::pem;

/// TLS towards an authority whose server's certificate `bundle` signs, PEM; else the authorities of the system.
///
/// # Errors
/// Says what is wrong with the bundle, or that the system has no authorities.
pub fn client(bundle: Option<&[u8]>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match bundle {
        Some(text) => {
            for certificate in pem::certificates(text)? {
                roots.add(certificate).map_err(|error| format!("holds no authority: {error}"))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(
                    "this system has no certificate authorities; install ca-certificates, or name caBundleRef"
                        .to_owned(),
                );
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
