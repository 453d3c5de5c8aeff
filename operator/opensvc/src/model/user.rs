//! Who the daemon takes us for.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::null_is_empty;

/// Who the daemon takes us for, and what we may do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Identity {
    /// The strategy that accepted us: `ux`, `jwt`, `user`, `node`, `x509`.
    pub auth: String,
    /// The user.
    pub name: String,
    /// The namespace of the user.
    #[serde(default)]
    pub namespace: String,
    /// Roles, each with its namespaces; `None` for everywhere.
    #[serde(rename = "grant", default, deserialize_with = "null_is_empty")]
    pub grants: BTreeMap<String, Option<Vec<String>>>,
}

/// How one may log in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AuthMethods {
    /// `basic`, `x509`, `openid`.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub methods: Vec<String>,
}

// === impl Identity ===

impl Identity {
    /// Whether we have a role in a namespace, by itself or by a stronger one: `root`, then `admin`, `operator`,
    /// `guest` (contract §2.4). Namespaces are compared as they are; there are no patterns.
    pub fn has_role(&self, role: &str, namespace: &str) -> bool {
        if self.is_root() {
            return true;
        }
        let rank = SCOPED_ROLES.iter().position(|known| *known == role);
        let stronger = rank.map_or(&[][..], |rank| SCOPED_ROLES.get(..=rank).unwrap_or_default());
        let is_held = |role: &str| match self.grants.get(role) {
            Some(None) => true,
            Some(Some(namespaces)) => namespaces.iter().any(|held| held == namespace),
            None => false,
        };
        is_held(role) || stronger.iter().any(|role| is_held(role))
    }

    /// Whether we may do everything.
    pub fn is_root(&self) -> bool {
        self.grants.contains_key("root")
    }
}

/// Each implies those after it.
const SCOPED_ROLES: [&str; 3] = ["admin", "operator", "guest"];

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(grants: &str) -> Identity {
        serde_json::from_str(&format!(r#"{{"auth":"jwt","name":"a","grant":{grants}}}"#))
            .expect("an identity")
    }

    #[test]
    fn stronger_roles_imply_weaker_ones_in_their_namespaces() {
        let admin = identity(r#"{"admin":["edge"],"guest":["other"]}"#);
        assert!(admin.has_role("admin", "edge") && admin.has_role("guest", "edge"));
        assert!(admin.has_role("guest", "other") && !admin.has_role("operator", "other"));
        assert!(!admin.has_role("guest", "edge2") && !admin.has_role("join", "edge"));
        assert!(identity(r#"{"root":null}"#).has_role("admin", "any"));
        assert!(identity(r#"{"guest":null}"#).has_role("guest", "any"));
        assert!(!identity("null").has_role("guest", "edge"));
    }
}
