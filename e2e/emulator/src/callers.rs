//! Who makes requests: grants, tokens, and how often each asked of late.

use std::collections::BTreeMap;
use std::time::Instant;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Who makes a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// How that is known: `ux`, `jwt`, `user`, `x509`.
    pub auth: &'static str,
    /// User.
    pub name: String,
    /// Grants: a role, or a role of a namespace.
    pub grants: Vec<String>,
}

/// Tokens that were given, and requests of late.
#[derive(Debug, Default)]
pub struct Sessions {
    /// By their text.
    pub tokens: BTreeMap<String, Token>,
    /// How many requests each client may make at once, and since when.
    pub buckets: BTreeMap<String, (f64, Option<Instant>)>,
}

/// A token that was given.
#[derive(Clone, Debug)]
pub struct Token {
    /// User.
    pub subject: String,
    /// Its grants.
    pub grants: Vec<String>,
    /// It renews others, and is good for nothing else.
    pub is_refresh: bool,
    /// Its end.
    pub ends_at: Timestamp,
}

// === impl Caller ===

impl Caller {
    /// Whoever comes through the socket of a node.
    #[must_use]
    pub fn root() -> Self {
        Self { auth: "ux", name: "root".to_owned(), grants: vec!["root".to_owned()] }
    }

    /// Whether it has one of these grants.
    #[must_use]
    pub fn has(&self, grants: &[String]) -> bool {
        grants.iter().any(|grant| self.grants.contains(grant))
    }

    /// Whether it may do everything.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.grants.iter().any(|grant| grant == "root")
    }

    /// Whether it may see objects of a namespace.
    #[must_use]
    pub fn sees(&self, namespace: &str) -> bool {
        let roles = ["guest", "operator", "admin"];
        self.is_root()
            || self.grants.iter().any(|grant| {
                roles.contains(&grant.as_str())
                    || grant
                        .split_once(':')
                        .is_some_and(|(role, of)| roles.contains(&role) && of == namespace)
            })
    }

    /// What it is told of itself.
    #[must_use]
    pub fn shown(&self) -> Value {
        let mut grant = Map::new();
        for text in &self.grants {
            match text.split_once(':') {
                Some((role, namespace)) => {
                    let of_role = grant.entry(role.to_owned()).or_insert_with(|| json!([]));
                    if let Some(namespaces) = of_role.as_array_mut() {
                        namespaces.push(namespace.into());
                    }
                }
                None => {
                    grant.insert(text.clone(), Value::Null);
                }
            }
        }
        json!({
            "auth": self.auth, "grant": grant, "name": self.name, "namespace": "system",
            "raw_grant": self.grants.join(" "),
        })
    }
}
