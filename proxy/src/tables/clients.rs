//! What listeners believe of their clients, made ready for look-ups.

use std::net::IpAddr;

use igw_crds::snapshot::ClientRules;
use ipnet::IpNet;

/// What one listener believes of its clients.
#[derive(Default)]
pub(crate) struct ClientTables {
    trusted: Vec<IpNet>,
    /// Value of `Strict-Transport-Security` on answers over TLS.
    pub(crate) hsts: Option<Box<[u8]>>,
    /// Field for the subject of the verified client certificate.
    pub(crate) subject_field: Option<Box<[u8]>>,
    /// Streams of one HTTP/2 connection at a time.
    pub(crate) http2_streams: Option<u32>,
}

// === impl ClientTables ===

impl ClientTables {
    pub(crate) fn new(rules: Option<&ClientRules>) -> Self {
        let Some(rules) = rules else { return Self::default() };
        let bytes = |text: &String| text.as_bytes().into();
        Self {
            trusted: networks(&rules.trusted_proxies),
            hsts: rules.hsts.as_ref().map(bytes),
            subject_field: rules.subject_field.as_ref().map(bytes),
            http2_streams: rules.http2_streams,
        }
    }

    /// What a client at this address says of others is believed.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        contains(&self.trusted, address)
    }
}

/// Networks in CIDR form; what is none is left out, so that nobody is trusted by mistake.
pub(crate) fn networks(texts: &[String]) -> Vec<IpNet> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// Whether an address is in one of the networks.
pub(crate) fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}
