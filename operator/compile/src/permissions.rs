//! What a GatewayConfig lets namespaces do: which hostnames their routes may use, what their Backends may name.

use igw_crds::objects::backend::{BackendEndpoint, BackendSpec};
use igw_crds::objects::gateway_config::{AllowedHostnames, BackendRule, BackendRules, GatewayConfigSpec};
use igw_crds::objects::names::Cidr;
use igw_crds::objects::{Kind, Spec};

use crate::input::ObjectSet;

/// Who may use which hostnames on one gateway.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hostnames {
    allowed: Vec<AllowedHostnames>,
}

// === impl Hostnames ===

impl Hostnames {
    /// The list of the most specific GatewayConfig that has one; `specific` from the least to the most.
    pub(crate) fn new(objects: &ObjectSet, specific: &[&GatewayConfigSpec]) -> Self {
        let configs = default_config(objects).into_iter().chain(specific.iter().copied());
        let mut lists = configs.map(|config| &config.allowed_hostnames).filter(|list| !list.is_empty());
        Self { allowed: lists.next_back().cloned().unwrap_or_default() }
    }

    /// Whether routes of `namespace` may use a hostname; `None` is every hostname.
    pub(crate) fn allow(&self, namespace: &str, hostname: Option<&str>) -> bool {
        self.allowed.is_empty()
            || self.allowed.iter().any(|entry| {
                entry.namespaces.iter().any(|allowed| allowed.as_str() == namespace)
                    && hostname.is_some_and(|hostname| {
                        entry.hostnames.iter().any(|pattern| covers(pattern.as_str(), hostname))
                    })
            })
    }

    /// Why routes and listeners of `namespace` may not use a hostname; nothing if they may.
    pub(crate) fn refusal(&self, namespace: &str, hostname: Option<&str>) -> Option<String> {
        (!self.allow(namespace, hostname)).then(|| {
            format!(
                "namespace {namespace} may not use hostname {}; `allowedHostnames` of the gateway's GatewayConfig must name it",
                hostname.unwrap_or("* (all)")
            )
        })
    }
}

/// What a Backend names and no rule of the GatewayConfig `default` in namespace `system` allows, in words. Names and
/// addresses of services, `is_own`, are not judged here.
pub(crate) fn refused_endpoint(
    objects: &ObjectSet,
    namespace: &str,
    backend: &BackendSpec,
    is_own: impl Fn(&BackendEndpoint) -> bool,
    is_cluster: bool,
) -> Option<String> {
    let rules = default_config(objects).and_then(|config| config.backends.as_ref());
    // Without rules a machine of one's own allows everything, a shared cluster nothing.
    let nothing = BackendRules::default();
    let rules = match rules {
        Some(rules) => rules,
        None if is_cluster => &nothing,
        None => return None,
    };
    let is_for = |rule: &&BackendRule| rule.namespaces.iter().any(|name| name == "*" || name == namespace);
    let rules: Vec<&BackendRule> = rules.allow.iter().filter(is_for).collect();
    // Services are judged by grants.
    backend.endpoints.iter().filter(|endpoint| !is_own(endpoint)).find_map(|endpoint| {
        if let Some(ip) = &endpoint.ip {
            let is_allowed =
                rules.iter().any(|rule| rule.cidrs.iter().any(|network| network.contains(ip.address)));
            return (!is_allowed).then(|| format!("address {}", ip.address));
        }
        if let Some(fqdn) = &endpoint.fqdn {
            let name = fqdn.hostname.as_str();
            let is_allowed = rules.iter().any(|rule| rule.names.iter().any(|pattern| covers(pattern, name)));
            return (!is_allowed).then(|| format!("name {name}"));
        }
        let is_allowed = rules.iter().any(|rule| rule.unix);
        endpoint.unix.as_ref().filter(|_| !is_allowed).map(|unix| format!("socket {}", unix.path))
    })
}

/// Whether a rule lets a namespace use a name that is no service's.
pub(crate) fn allows_name(objects: &ObjectSet, namespace: &str, name: &str) -> bool {
    rules_for(objects, namespace).any(|rule| rule.names.iter().any(|pattern| covers(pattern, name)))
}

/// Networks that rules open to a namespace.
pub(crate) fn allowed_networks(objects: &ObjectSet, namespace: &str) -> Vec<Cidr> {
    rules_for(objects, namespace).flat_map(|rule| rule.cidrs.iter().cloned()).collect()
}

fn rules_for<'o>(objects: &'o ObjectSet, namespace: &str) -> impl Iterator<Item = &'o BackendRule> {
    let rules = default_config(objects).and_then(|config| config.backends.as_ref());
    rules
        .into_iter()
        .flat_map(|rules| &rules.allow)
        .filter(move |rule| rule.namespaces.iter().any(|name| name == "*" || name == namespace))
}

/// The GatewayConfig that applies to everything.
pub(crate) fn default_config(objects: &ObjectSet) -> Option<&GatewayConfigSpec> {
    match objects.find(Kind::GatewayConfig, "system", "default").map(|stored| stored.spec()) {
        Some(Spec::GatewayConfig(spec)) => Some(spec),
        _ => None,
    }
}

/// Whether every name that `name` stands for is one that `pattern` stands for. `*.` stands for one label or more.
fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => {
            name.strip_prefix('*').is_some_and(|below| below.ends_with(suffix))
                || (name.len() > suffix.len() && name.ends_with(suffix))
        }
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_pattern_covers_what_is_below_it() {
        let cases = [
            ("a.test", "a.test", true),
            ("a.test", "b.test", false),
            ("*.test", "a.test", true),
            ("*.test", "a.b.test", true),
            ("*.test", "*.test", true),
            ("*.test", "*.a.test", true),
            ("*.a.test", "*.test", false),
            ("*.test", "test", false),
            ("a.test", "*.test", false),
            ("*", "a.test", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(covers(pattern, name), expected, "{pattern} {name}");
        }
    }
}
