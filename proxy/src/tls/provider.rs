//! The cryptography that is used, named once.

use std::sync::Arc;

use igw_crds::snapshot::CIPHER_SUITES;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};

/// AEAD cipher suites, key exchange that also resists quantum computers first. With some suites alone, in their order;
/// all where none is named.
pub(crate) fn chosen(suites: &[String]) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = GROUPS.to_vec();
    let known = provider.cipher_suites.clone();
    let find = |name: &str| {
        known.iter().copied().find(|suite| {
            let shown = format!("{:?}", suite.suite());
            // The library leaves the prefix of the IANA name out or writes the version into it.
            shown.replacen("TLS13_", "TLS_", 1) == name
        })
    };
    let wanted: Vec<&str> = match suites {
        [] => CIPHER_SUITES.to_vec(),
        suites => suites.iter().map(String::as_str).collect(),
    };
    provider.cipher_suites = wanted.into_iter().filter_map(find).collect();
    Arc::new(provider)
}

const GROUPS: [&dyn SupportedKxGroup; 4] =
    [kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_has_its_name() {
        assert_eq!(chosen(&[]).cipher_suites.len(), CIPHER_SUITES.len());
        for name in CIPHER_SUITES {
            assert_eq!(chosen(&[name.to_owned()]).cipher_suites.len(), 1, "{name}");
        }
    }
}
