//! Limits and rules that types alone do not express: those of the Gateway API's CRDs, with upstream's field
//! paths, and those of our own kinds. All problems of an object are found at once.

mod backend_tls_policy;
mod certificate;
mod external_auth;
mod gateway;
mod grpc_route;
mod http_route;
mod l4_route;
mod ours;

use crate::objects::{Object, Spec};
use crate::yaml::Fault;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Field that is named, like `spec.rules[0].matches`: where the rule stands.
    pub field: String,
    /// Field that is wrong: the same, or one below.
    pub place: String,
    /// Sort of the mistake.
    pub fault: Fault,
    /// What is wrong.
    pub message: String,
    /// What is allowed.
    pub allowed: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

/// Collects problems.
#[derive(Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
}

/// Every rule that an object breaks.
#[must_use]
pub fn validate(object: &Object) -> Vec<Problem> {
    let mut problems = Problems::default();
    match &object.spec {
        Spec::Backend(spec) => ours::backend(spec, &mut problems),
        Spec::BackendPolicy(spec) => ours::backend_policy(spec, &mut problems),
        Spec::BackendTlsPolicy(spec) => backend_tls_policy::backend_tls_policy(spec, &mut problems),
        Spec::ClientPolicy(spec) => ours::client_policy(spec, &mut problems),
        Spec::Certificate(spec) => certificate::certificate(spec, &mut problems),
        Spec::CertificateIssuer(spec) => certificate::issuer(spec, &mut problems),
        Spec::Gateway(spec) => gateway::gateway(spec, &mut problems),
        Spec::GatewayClass(spec) => {
            let length = spec.description.as_ref().map_or(0, |text| text.chars().count());
            problems.length("spec.description", length, 0, 64, "characters");
        }
        Spec::GatewayConfig(spec) => ours::gateway_config(spec, &mut problems),
        Spec::GrpcRoute(spec) => grpc_route::grpc_route(spec, &mut problems),
        Spec::HttpRoute(spec) => http_route::http_route(spec, &mut problems),
        Spec::ListenerSet(spec) => gateway::listener_set(spec, &mut problems),
        Spec::ReferenceGrant(spec) => {
            problems.length("spec.from", spec.from.len(), 1, 16, "entries");
            problems.length("spec.to", spec.to.len(), 1, 16, "entries");
        }
        Spec::Resolver(spec) => ours::resolver(spec, &mut problems),
        Spec::TcpRoute(spec) | Spec::UdpRoute(spec) => l4_route::nameless_route(spec, &mut problems),
        Spec::TlsRoute(spec) => l4_route::tls_route(spec, &mut problems),
        Spec::Secret(content) => ours::secret(content, &mut problems),
        // The table of limits says all of them.
        Spec::ConfigMap(_) | Spec::Namespace(_) | Spec::XTelemetryPolicy(_) => {}
    }
    problems.found
}

// === impl Problems ===

impl Problems {
    pub(crate) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) -> &mut Problem {
        self.found.push(Problem::new(field, Fault::Invalid, message));
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    /// A number of things out of its bounds.
    pub(crate) fn length(&mut self, field: &str, got: usize, min: usize, max: usize, what: &str) {
        if got < min || got > max {
            let fault = match what {
                _ if got < min => Fault::TooFew,
                "characters" => Fault::TooLong,
                _ => Fault::TooMany,
            };
            self.add(field, format!("{got} {what}")).is_a(fault).allows(format!("{min} to {max} {what}"));
        }
    }

    /// A union by `type`: each type with its field's name and whether that is there.
    pub(crate) fn only_of_type<T: PartialEq + Copy>(
        &mut self,
        field: &str,
        of_type: T,
        present: &[(T, &str, bool)],
    ) {
        for (r#type, name, is_there) in present {
            if *r#type == of_type && !is_there {
                self.add(field, format!("`{name}` is missing")).hints(format!("add `{name}`"));
            }
            if *r#type != of_type && *is_there {
                self.add(format!("{field}.{name}"), "does not belong to this type")
                    .hints("remove it, or change `type`");
            }
        }
    }

    /// A name that stands twice.
    pub(crate) fn unique<'a>(&mut self, field: &str, part: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen = std::collections::HashSet::new();
        for (index, name) in names.enumerate() {
            if !seen.insert(name.to_owned()) {
                self.add(format!("{field}[{index}]{part}"), format!("`{name}` stands twice"))
                    .is_a(Fault::Duplicate)
                    .hints("every one needs a name of its own");
            }
        }
    }
}

// === impl Problem ===

impl Problem {
    pub(crate) fn new(field: impl Into<String>, fault: Fault, message: impl Into<String>) -> Self {
        let field = field.into();
        Self { place: field.clone(), field, fault, message: message.into(), allowed: None, hint: None }
    }

    /// The field that is wrong, where another one is named.
    pub(crate) fn is_at(&mut self, place: &str) -> &mut Self {
        self.place = place.to_owned();
        self
    }

    pub(crate) fn is_a(&mut self, fault: Fault) -> &mut Self {
        self.fault = fault;
        self
    }

    pub(crate) fn allows(&mut self, allowed: impl Into<String>) -> &mut Self {
        self.allowed = Some(allowed.into());
        self
    }

    pub(crate) fn hints(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }
}
