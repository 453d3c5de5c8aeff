//! What a certificate authority asks to see before it certifies a name.

use serde::{Deserialize, Serialize};

use super::tls::Certificate;

/// A challenge that is pending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
#[non_exhaustive]
pub enum Challenge {
    /// An answer at `/.well-known/acme-challenge/<token>` (RFC 8555 8.3).
    Http01 {
        /// Last element of the path.
        token: String,
        /// The body.
        answer: String,
    },
    /// A certificate for handshakes with ALPN `acme-tls/1` (RFC 8737).
    TlsAlpn01 {
        /// The name that the handshake asks for, in lower case.
        hostname: String,
        /// The certificate. Its key travels beside the snapshot.
        certificate: Box<Certificate>,
    },
}

// === impl Challenge ===

impl Challenge {
    /// Identity among the challenges of one time.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Http01 { token, .. } => token,
            Self::TlsAlpn01 { certificate, .. } => &certificate.fingerprint,
        }
    }

    /// The certificate, where there is one.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::TlsAlpn01 { certificate, .. } => Some(certificate),
            Self::Http01 { .. } => None,
        }
    }
}
