//! What certificates and authorities that objects refer to are worth. The caller has looked at them, with a clock and
//! with the private keys, neither of which comes here.

use std::collections::BTreeMap;

use igw_crds::snapshot::Certificate;

/// Certificates and authorities by the objects that hold them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Material {
    /// Key pairs, by namespace and name of the Secret.
    pub pairs: BTreeMap<(String, String), PairState>,
    /// Authorities in PEM, by namespace and name of the ConfigMap, or why there are none.
    pub authorities: BTreeMap<(String, String), Result<String, String>>,
}

/// What the key pair of a Secret is worth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairState {
    /// What can be served: what the Secret holds, or what it held before where that is broken.
    pub usable: Option<Certificate>,
    /// What is wrong with what the Secret holds, and what to do.
    pub fault: Option<String>,
    /// What deserves attention before it becomes wrong.
    pub warning: Option<String>,
}

// === impl Material ===

impl Material {
    pub(crate) fn pair(&self, namespace: &str, name: &str) -> Option<&PairState> {
        self.pairs.get(&(namespace.to_owned(), name.to_owned()))
    }

    pub(crate) fn authorities(&self, namespace: &str, name: &str) -> Option<&Result<String, String>> {
        self.authorities.get(&(namespace.to_owned(), name.to_owned()))
    }
}
