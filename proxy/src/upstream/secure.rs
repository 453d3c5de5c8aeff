//! TLS to endpoints: what a back end's policy comes to, and what each gateway adds to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use igw_crds::snapshot;
use rustls::ClientConfig;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::tls::trust;

/// TLS to the endpoints of one back end.
pub(crate) struct BackendTls {
    id: u64,
    pub(crate) server_name: ServerName<'static>,
    /// Without protocols and without a certificate of the gateway.
    base: ClientConfig,
}

/// A certificate that a gateway shows to endpoints.
pub(crate) struct ClientIdentity {
    id: u64,
    resolver: Arc<dyn ResolvesClientCert>,
}

/// Connections of different identities are not used for each other's requests: by the policy of the back end, and by
/// the certificate of the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    tls: u64,
    client: u64,
}

/// Protocols that are offered to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// No protocol: what is passed on is not known.
    Nothing,
    Http1,
    Http2,
    /// HTTP/2 first.
    Either,
}

/// Configurations of one worker, by gateway and offer.
#[derive(Default)]
pub(crate) struct ClientConfigs {
    made: Vec<(Identity, Offer, Arc<ClientConfig>)>,
}

// === impl BackendTls ===

impl BackendTls {
    /// # Errors
    /// Says why no endpoint can be believed.
    pub(crate) fn new(tls: &snapshot::BackendTls) -> Result<Self, String> {
        let server_name = ServerName::try_from(tls.server_name.clone())
            .map_err(|_| format!("`{}` is no host name", tls.server_name))?;
        let base = trust::client_config(tls)?;
        Ok(Self { id: next_id(), server_name, base })
    }

    /// The name and the configuration for health checks, which show no certificate of a gateway.
    pub(crate) fn for_checks(&self, speaks_http2: bool) -> (ServerName<'static>, Arc<ClientConfig>) {
        let mut config = self.base.clone();
        config.alpn_protocols = if speaks_http2 { Offer::Http2 } else { Offer::Http1 }.alpn();
        (self.server_name.clone(), Arc::new(config))
    }
}

// === impl ClientIdentity ===

impl ClientIdentity {
    pub(crate) fn new(key: Arc<CertifiedKey>) -> Self {
        Self { id: next_id(), resolver: Arc::new(SingleCertAndKey::from(key)) }
    }
}

// === impl Identity ===

impl Identity {
    pub(crate) fn new(tls: Option<&BackendTls>, client: Option<&ClientIdentity>) -> Self {
        match tls {
            // Without TLS nobody asks for a certificate.
            None => Self::default(),
            Some(tls) => Self { tls: tls.id, client: client.map_or(0, |client| client.id) },
        }
    }
}

// === impl Offer ===

impl Offer {
    fn alpn(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Self::Nothing => &[],
            Self::Http1 => &[b"http/1.1"],
            Self::Http2 => &[b"h2"],
            Self::Either => &[b"h2", b"http/1.1"],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }
}

// === impl ClientConfigs ===

impl ClientConfigs {
    /// The configuration for a gateway's connections to a back end.
    pub(crate) fn find(
        &mut self,
        tls: &BackendTls,
        client: Option<&ClientIdentity>,
        offer: Offer,
    ) -> Arc<ClientConfig> {
        let identity = Identity::new(Some(tls), client);
        // A policy that was replaced does not come back.
        self.made.retain(|(known, _, _)| known.tls == tls.id);
        if let Some((_, _, config)) =
            self.made.iter().find(|(known, offered, _)| (*known, *offered) == (identity, offer))
        {
            return Arc::clone(config);
        }
        let mut config = tls.base.clone();
        config.alpn_protocols = offer.alpn();
        // A session remembers whom it was agreed on with.
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        if let Some(client) = client {
            config.client_auth_cert_resolver = Arc::clone(&client.resolver);
        }
        let config = Arc::new(config);
        self.made.push((identity, offer, Arc::clone(&config)));
        config
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Sessions that one worker remembers of one back end.
const SESSIONS: usize = 64;
