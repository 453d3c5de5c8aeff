//! From the snapshot's TLS of a listener to what handshakes use.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use igw_crds::snapshot::{ListenerTls, TlsVersion};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::clients::{Ending, Lenient, judge};
use super::keys::Keys;
use super::provider::chosen;

/// Configurations by listener, kept as long as nothing of them changes.
#[derive(Default)]
pub(crate) struct Configs {
    made: BTreeMap<String, Made>,
}

struct Made {
    of: ListenerTls,
    ending: Ending,
    tickets: Arc<dyn ProducesTickets>,
    is_used: bool,
}

/// The certificates of one listener.
struct Chooser {
    candidates: Vec<Candidate>,
}

struct Candidate {
    /// Exact names and `*.suffix`, in lower case.
    names: Vec<String>,
    key: Arc<CertifiedKey>,
}

// === impl Configs ===

impl Configs {
    /// Begins a new generation of tables.
    pub(crate) fn begin(&mut self) {
        self.made.values_mut().for_each(|made| made.is_used = false);
    }

    /// Forgets what the new generation does not use.
    pub(crate) fn end(&mut self) {
        self.made.retain(|_, made| made.is_used);
    }

    /// What a listener, named uniquely, needs for handshakes. Certificates whose key is missing are left out and told.
    ///
    /// # Errors
    /// Says why the listener cannot end TLS.
    pub(crate) fn config(
        &mut self,
        listener: &str,
        tls: &ListenerTls,
        keys: &mut Keys,
    ) -> Result<(Ending, Vec<String>), String> {
        if let Some(made) = self.made.get_mut(listener).filter(|made| made.of == *tls) {
            made.is_used = true;
            return Ok((made.ending.clone(), Vec::new()));
        }
        let mut missing = Vec::new();
        let mut candidates = Vec::new();
        for certificate in &tls.certificates {
            match keys.certified(certificate) {
                Ok(key) => candidates.push(Candidate { names: certificate.names.clone(), key }),
                Err(why) => missing.push(why),
            }
        }
        if candidates.is_empty() {
            return Err(missing.join("; "));
        }
        // Tickets are worth something only where the same names are served to the same clients.
        let tickets = match self.made.get(listener) {
            Some(made) if made.of.client == tls.client && made.of.min_version == tls.min_version => {
                Arc::clone(&made.tickets)
            }
            _ => Ticketer::new().map_err(|error| error.to_string())?,
        };
        let ending = ending(tls, Arc::new(Chooser { candidates }), Arc::clone(&tickets))?;
        if missing.is_empty() {
            let made = Made { of: tls.clone(), ending: ending.clone(), tickets, is_used: true };
            self.made.insert(listener.to_owned(), made);
        }
        Ok((ending, missing))
    }
}

fn ending(
    tls: &ListenerTls,
    chooser: Arc<Chooser>,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<Ending, String> {
    let provider = chosen(&tls.cipher_suites);
    let versions: &[&rustls::SupportedProtocolVersion] = match tls.min_version {
        TlsVersion::V12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V13 => &[&rustls::version::TLS13],
    };
    // Suites of one version alone leave that version alone.
    let versions: Vec<_> = versions
        .iter()
        .copied()
        .filter(|version| provider.cipher_suites.iter().any(|suite| suite.version() == *version))
        .collect();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|error| error.to_string())?;
    let client = tls.client.as_ref();
    let judge = client.map(|client| judge(&client.authorities, client.is_required, provider)).transpose()?;
    let is_lenient = client.is_some_and(|client| !client.is_required);
    let builder = match &judge {
        None => builder.with_no_client_auth(),
        Some(judge) if is_lenient => {
            builder.with_client_cert_verifier(Arc::new(Lenient::new(Arc::clone(judge))))
        }
        Some(judge) => builder.with_client_cert_verifier(Arc::clone(judge)),
    };
    let mut config = builder.with_cert_resolver(chooser);
    config.alpn_protocols = tls.alpn.iter().map(|name| name.clone().into_bytes()).collect();
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = tickets;
    config.send_tls13_tickets = TICKETS;
    config.max_early_data_size = 0;
    Ok(Ending { config: Arc::new(config), judge: judge.filter(|_| is_lenient) })
}

/// What handshakes need that show the certificate of a challenge.
///
/// # Errors
/// Says what the library said.
pub(crate) fn for_challenge(key: Arc<CertifiedKey>) -> Result<Arc<ServerConfig>, String> {
    let chooser = Chooser { candidates: vec![Candidate { names: Vec::new(), key }] };
    let mut config = ServerConfig::builder_with_provider(chosen(&[]))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(chooser));
    config.alpn_protocols = vec![crate::tables::challenges::ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

// === impl Chooser ===

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.candidates.iter().map(|candidate| &candidate.names)).finish()
    }
}

impl ResolvesServerCert for Chooser {
    /// By name, then by what the client can verify; the first where nothing fits.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let can_verify =
            |candidate: &&Candidate| candidate.key.key.choose_scheme(hello.signature_schemes()).is_some();
        let is_for = |candidate: &&Candidate| {
            hello.server_name().is_some_and(|name| candidate.names.iter().any(|own| covers(own, name)))
        };
        let chosen = self.candidates.iter().filter(can_verify).find(is_for);
        let chosen = chosen.or_else(|| self.candidates.iter().find(can_verify));
        chosen.or(self.candidates.first()).map(|candidate| Arc::clone(&candidate.key))
    }
}

/// Whether a certificate's name stands for a host; its wildcard stands for one label (RFC 6125 6.4.3).
fn covers(own: &str, host: &str) -> bool {
    match own.strip_prefix("*.") {
        Some(suffix) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(suffix)),
        None => own.eq_ignore_ascii_case(host),
    }
}

/// Tickets for each handshake: each costs the server about 8 µs, and clients use one.
const TICKETS: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let cases = [
            ("a.test", "a.test", true),
            ("a.test", "A.TEST", true),
            ("*.a.test", "b.a.test", true),
            ("*.a.test", "c.b.a.test", false),
            ("*.a.test", "a.test", false),
            ("*.a.test", ".a.test", false),
        ];
        for (own, host, expected) in cases {
            assert_eq!(covers(own, host), expected, "{own} {host}");
        }
    }
}
