//! Issuers with what they refer to: the authority, the account's key, and how names are proven.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use igw_crds::objects::certificate_issuer::{AcmeIssuer, CertificateIssuerSpec, DnsUpdates, Solver};
use secrecy::SecretString;
use xxhash_rust::xxh3::xxh3_64;

use super::authority::Authority;
use super::jose::AccountKey;
use super::made::Values;
use super::record::Method;
use super::shelf::Shelf;
use crate::certificates::authorities::CA;
use crate::certificates::vault::Place;

/// An issuer that can be asked.
#[derive(Clone, Debug)]
pub enum Issuer {
    /// Certificates sign themselves.
    SelfSigned,
    /// An authority.
    Acme(Arc<Acme>),
}

/// An authority with an account at it.
#[derive(Debug)]
pub struct Acme {
    /// What the object says.
    pub spec: AcmeIssuer,
    /// The authority.
    pub authority: Arc<Authority>,
    /// Secret of the account.
    pub account: Place,
    /// Key of the account; nothing before it is made.
    pub key: Option<Arc<AccountKey>>,
    /// Key of the account that the authority knows already.
    pub binding: Option<SecretString>,
}

/// Authorities by directory and bundle: pauses and nonces belong to them, whoever asks.
#[derive(Debug, Default)]
pub struct Authorities {
    known: BTreeMap<(String, u64), Arc<Authority>>,
}

// === impl Authorities ===

impl Authorities {
    fn find(&mut self, directory: &str, bundle: Option<&[u8]>) -> Result<Arc<Authority>, String> {
        let name = (directory.to_owned(), bundle.map_or(0, xxh3_64));
        if let Some(known) = self.known.get(&name) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(Authority::new(directory, bundle)?);
        self.known.insert(name, Arc::clone(&made));
        Ok(made)
    }
}

// === impl Issuer ===

impl Issuer {
    /// Reads what an issuer refers to.
    ///
    /// # Errors
    /// Says what is missing or wrong, and what to do.
    pub async fn resolve<S: Shelf>(
        spec: &CertificateIssuerSpec,
        namespace: &str,
        shelf: &S,
        authorities: &mut Authorities,
    ) -> Result<Self, String> {
        let Some(acme) = &spec.acme else { return Ok(Self::SelfSigned) };
        let bundle = match &acme.ca_bundle_ref {
            Some(reference) => {
                let place = (namespace.to_owned(), reference.name.as_str().to_owned());
                let found = shelf.config(&place, CA).await?;
                Some(found.ok_or_else(|| {
                    format!("ConfigMap {namespace}/{} has no {CA}; write it, or correct caBundleRef", place.1)
                })?)
            }
            None => None,
        };
        let of_bundle = |fault: String| match &acme.ca_bundle_ref {
            Some(reference) => format!("ConfigMap {namespace}/{}: key {CA} {fault}", reference.name),
            None => fault,
        };
        let authority = authorities.find(&acme.directory, bundle.as_deref()).map_err(of_bundle)?;
        let account = (namespace.to_owned(), acme.account_key_ref.name.as_str().to_owned());
        let key = match shelf.secret(&account).await? {
            Some(stored) => Some(account_key(&account, &stored.values)?),
            None => None,
        };
        let binding = match &acme.external_account_binding {
            Some(binding) => {
                let place = (namespace.to_owned(), binding.hmac_ref.name.as_str().to_owned());
                Some(value(shelf, &place, "hmac", "hmacRef").await?)
            }
            None => None,
        };
        Ok(Self::Acme(Arc::new(Acme { spec: acme.clone(), authority, account, key, binding })))
    }
}

// === impl Acme ===

impl Acme {
    /// How a name, possibly a wildcard, is proven.
    #[must_use]
    pub fn method(&self, name: &str) -> Option<Method> {
        if self.spec.solvers.is_empty() {
            return (!name.starts_with("*.")).then_some(Method::Http);
        }
        self.spec.solvers.iter().filter(|solver| is_for(solver, name)).find_map(|solver| method(solver, name))
    }

    /// Where records for a name go, by the first solver that has it.
    #[must_use]
    pub fn updates(&self, hostname: &str) -> Option<&DnsUpdates> {
        let names = [hostname.to_owned(), format!("*.{hostname}")];
        let solver = self
            .spec
            .solvers
            .iter()
            .find(|solver| solver.dns01.is_some() && names.iter().any(|name| is_for(solver, name)));
        solver.and_then(|solver| solver.dns01.as_ref()).map(|dns| &dns.rfc2136)
    }
}

/// The key of an account that a Secret holds.
///
/// # Errors
/// Says what is wrong, without a byte of the key.
pub fn account_key(place: &Place, values: &Values) -> Result<Arc<AccountKey>, String> {
    let of = |fault: String| format!("Secret {}/{}: {fault}", place.0, place.1);
    let text = values.0.get(ACCOUNT_KEY);
    let text =
        text.ok_or_else(|| of(format!("key {ACCOUNT_KEY} is missing; put an ECDSA key on P-256 there")))?;
    AccountKey::parse(text).map(Arc::new).map_err(|fault| of(format!("key {ACCOUNT_KEY} {fault}")))
}

/// A value of a Secret.
///
/// # Errors
/// Says that it is missing.
pub async fn value<S: Shelf>(
    shelf: &S,
    place: &Place,
    name: &str,
    field: &str,
) -> Result<SecretString, String> {
    let stored = shelf.secret(place).await?;
    stored
        .and_then(|stored| stored.values.0.get(name).cloned())
        .ok_or_else(|| format!("Secret {}/{} has no {name}; write it, or correct {field}", place.0, place.1))
}

/// The address of a name server, with port 53 where none is written.
#[must_use]
pub fn server(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 53)))
}

fn method(solver: &Solver, name: &str) -> Option<Method> {
    let is_wildcard = name.starts_with("*.");
    if solver.dns01.is_some() {
        Some(Method::Dns)
    } else if solver.http01.is_some() && !is_wildcard {
        Some(Method::Http)
    } else if solver.tls_alpn01.is_some() && !is_wildcard {
        Some(Method::TlsAlpn)
    } else {
        None
    }
}

fn is_for(solver: &Solver, name: &str) -> bool {
    let Some(selector) = &solver.selector else { return true };
    selector.hostnames.iter().any(|pattern| match pattern.as_str().strip_prefix('*') {
        Some(suffix) => name.strip_prefix('*').unwrap_or(name).ends_with(suffix),
        None => pattern.as_str() == name,
    })
}

/// Value of a Secret that is an account's key.
pub const ACCOUNT_KEY: &str = "private_key";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_solver_that_can_prove_a_name_counts() {
        let solvers: Vec<Solver> = serde_json::from_value(serde_json::json!([
            {"dns01": {"rfc2136": {"server": "127.0.0.1", "tsigSecretRef": {"name": "k"}}},
             "selector": {"hostnames": ["*.shop.example"]}},
            {"tlsAlpn01": {}, "selector": {"hostnames": ["tls.example"]}},
            {"http01": {}},
        ]))
        .unwrap();
        let choose = |name: &str| {
            solvers.iter().filter(|solver| is_for(solver, name)).find_map(|solver| method(solver, name))
        };
        let cases = [
            ("*.shop.example", Some(Method::Dns)),
            ("a.shop.example", Some(Method::Dns)),
            ("shop.example", Some(Method::Http)),
            ("tls.example", Some(Method::TlsAlpn)),
            ("other.example", Some(Method::Http)),
            ("*.other.example", None),
        ];
        for (name, want) in cases {
            assert_eq!(choose(name), want, "{name}");
        }
    }

    #[test]
    fn servers_have_a_port() {
        assert_eq!(server("127.0.0.1"), Some(([127, 0, 0, 1], 53).into()));
        assert_eq!(server("127.0.0.1:54"), Some(([127, 0, 0, 1], 54).into()));
        assert_eq!(server("dns.test"), None);
    }
}
