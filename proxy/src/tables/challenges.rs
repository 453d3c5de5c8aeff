//! What certificate authorities may ask for: answers by path, certificates by name. Pending challenges alone are here;
//! every other path and name goes the usual way.

use std::collections::HashMap;
use std::sync::Arc;

use igw_crds::snapshot::Challenge;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tracing::warn;

use crate::tls::config::for_challenge;
use crate::tls::keys::Keys;

/// Pending challenges of a generation.
#[derive(Default)]
pub(crate) struct Challenges {
    /// By token.
    http: HashMap<Vec<u8>, Arc<str>>,
    /// By server name.
    tls: HashMap<Vec<u8>, Arc<ServerConfig>>,
}

// === impl Challenges ===

impl Challenges {
    pub(crate) fn build(challenges: &[Challenge], keys: &Keys) -> Self {
        let mut made = Self::default();
        for challenge in challenges {
            match challenge {
                Challenge::Http01 { token, answer } => {
                    made.http.insert(token.clone().into_bytes(), answer.as_str().into());
                }
                Challenge::TlsAlpn01 { hostname, certificate } => {
                    let config = keys.unverified(certificate).map(Arc::new).and_then(for_challenge);
                    match config {
                        Ok(config) => drop(made.tls.insert(hostname.clone().into_bytes(), config)),
                        Err(why) => warn!(hostname, why, "challenge cannot be answered"),
                    }
                }
                // One that this build does not know is somebody else's to answer.
                _ => {}
            }
        }
        made
    }

    /// The answer at a path.
    pub(crate) fn http(&self, path: &[u8]) -> Option<Arc<str>> {
        if self.http.is_empty() {
            return None;
        }
        self.http.get(path.strip_prefix(PREFIX)?).cloned()
    }

    /// What a handshake needs that asks for a name with the protocol of challenges; `hello` is all of its first message.
    pub(crate) fn tls(&self, name: &[u8], hello: &[u8]) -> Option<Arc<ServerConfig>> {
        let config = self.tls.get(name)?;
        let mut acceptor = Acceptor::default();
        let mut rest = hello;
        while !rest.is_empty() {
            if acceptor.read_tls(&mut rest).ok()? == 0 {
                return None;
            }
            // Before the message is whole there is nothing to accept.
            if let Some(accepted) = acceptor.accept().ok()? {
                let asked: Vec<&[u8]> = accepted.client_hello().alpn()?.collect();
                return (asked == [ALPN]).then(|| Arc::clone(config));
            }
        }
        None
    }
}

const PREFIX: &[u8] = b"/.well-known/acme-challenge/";
/// The one protocol of such a handshake (RFC 8737 3).
pub(crate) const ALPN: &[u8] = b"acme-tls/1";
