//! Rules of TCPRoute, UDPRoute and TLSRoute.

use super::Problems;
use super::http_route::parents;
use crate::objects::l4_route::{L4RouteRule, NamelessRouteSpec, TlsRouteSpec};
use crate::yaml::Fault;

pub(crate) fn nameless_route(spec: &NamelessRouteSpec, problems: &mut Problems) {
    parents(&spec.parent_refs, problems);
    rules(&spec.rules, problems);
}

pub(crate) fn tls_route(spec: &TlsRouteSpec, problems: &mut Problems) {
    parents(&spec.parent_refs, problems);
    problems.length("spec.hostnames", spec.hostnames.len(), 1, 1024, "hostnames");
    rules(&spec.rules, problems);
}

fn rules(rules: &[L4RouteRule], problems: &mut Problems) {
    if rules.len() != 1 {
        let fault = if rules.is_empty() { Fault::Invalid } else { Fault::TooMany };
        problems.add("spec.rules", format!("{} rules", rules.len())).is_a(fault).allows("exactly one");
    }
    for (index, rule) in rules.iter().enumerate() {
        let field = format!("spec.rules[{index}].backendRefs");
        problems.length(&field, rule.backend_refs.len(), 1, 16, "back ends");
        for (index, backend) in rule.backend_refs.iter().enumerate() {
            let field = format!("{field}[{index}]");
            problems.length(&format!("{field}.name"), backend.name.chars().count(), 1, 253, "characters");
            let is_service = backend.group.as_str().is_empty() && backend.kind.as_str() == "Service";
            if is_service && backend.port.is_none() {
                problems.add(&field, "a Service reference needs a port").hints("add `port`");
            }
        }
    }
}
