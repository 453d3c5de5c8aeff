//! Objects of scenarios.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// A gateway `main` with one HTTP listener `web`.
#[must_use]
pub fn gateway(address: SocketAddr) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: main}}
spec:
  gatewayClassName: igw
  addresses: [{{type: IPAddress, value: {}}}]
  listeners: [{{name: web, port: {}, protocol: HTTP}}]
",
        address.ip(),
        address.port()
    )
}

/// A route of `main` for a host, to a Backend of ours or a Service with a port.
#[must_use]
pub fn route(name: &str, host: &str, target: &str) -> String {
    route_of(name, host, &[format!("backendRefs: [{{{target}}}]")])
}

/// A route of `main` for a host, with the fields of its rules, each as they stand within braces.
#[must_use]
pub fn route_of(name: &str, host: &str, rules: &[String]) -> String {
    let rules: Vec<String> = rules.iter().map(|rule| format!("{{{rule}}}")).collect();
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: main}}]
  hostnames: [{host}]
  rules: [{}]
",
        rules.join(", ")
    )
}

/// A reference to a Backend.
#[must_use]
pub fn to_backend(name: &str) -> String {
    format!("group: igw.opensvc.com, kind: Backend, name: {name}")
}

/// A Backend of addresses without active checks.
#[must_use]
pub fn backend(name: &str, addresses: &[SocketAddr]) -> String {
    let mut text = format!(
        "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: Backend\nmetadata: {{name: {name}}}\nspec:\n  endpoints:\n"
    );
    for address in addresses {
        let _ = writeln!(text, "    - ip: {{address: {}, port: {}}}", address.ip(), address.port());
    }
    text
}

/// A policy for a Service, with the fields below `spec`.
#[must_use]
pub fn service_policy(name: &str, fields: &str) -> String {
    format!(
        "---
apiVersion: igw.opensvc.com/v1alpha1
kind: BackendPolicy
metadata: {{name: {name}}}
spec:
  targetRefs: [{{group: \"\", kind: Service, name: {name}}}]
{fields}"
    )
}

/// A gateway `main` with listeners, each in braces.
#[must_use]
pub fn gateway_with(ip: IpAddr, listeners: &[String]) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: main}}
spec:
  gatewayClassName: igw
  addresses: [{{value: {ip}}}]
  listeners: [{}]
",
        listeners.join(", ")
    )
}

/// A gateway `main` on `address` that sends what is for `host` to the origins: route `r`, Backend `b`.
#[must_use]
pub fn one_route(address: SocketAddr, host: &str, origins: &[SocketAddr]) -> String {
    gateway(address) + &route("r", host, &to_backend("b")) + &backend("b", origins)
}

/// A listener for HTTP.
#[must_use]
pub fn http_listener(name: &str, address: SocketAddr) -> String {
    format!("{{name: {name}, port: {}, protocol: HTTP}}", address.port())
}

/// A listener for HTTPS that shows the pair of a Secret.
#[must_use]
pub fn https_listener(name: &str, address: SocketAddr, secret: &str) -> String {
    format!(
        "{{name: {name}, port: {}, protocol: HTTPS, tls: {{certificateRefs: [{{name: {secret}}}]}}}}",
        address.port()
    )
}

/// A listener for connections as they come.
#[must_use]
pub fn tcp_listener(name: &str, address: SocketAddr) -> String {
    format!("{{name: {name}, port: {}, protocol: TCP}}", address.port())
}

/// A listener for datagrams.
#[must_use]
pub fn udp_listener(name: &str, address: SocketAddr) -> String {
    format!("{{name: {name}, port: {}, protocol: UDP}}", address.port())
}

/// A TCPRoute, TLSRoute or UDPRoute of one listener of `main`, with more lines of its spec.
#[must_use]
pub fn l4_route(kind: &str, name: &str, listener: &str, more: &str, targets: &[String]) -> String {
    let targets: Vec<String> = targets.iter().map(|target| format!("{{{target}}}")).collect();
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: main, sectionName: {listener}}}]
{more}  rules: [{{backendRefs: [{}]}}]
",
        targets.join(", ")
    )
}

/// A policy for a Backend, with the lines below `spec`.
#[must_use]
pub fn backend_policy(name: &str, fields: &str) -> String {
    format!(
        "---
apiVersion: igw.opensvc.com/v1alpha1
kind: BackendPolicy
metadata: {{name: {name}}}
spec:
  targetRefs: [{{group: igw.opensvc.com, kind: Backend, name: {name}}}]
{fields}"
    )
}

/// A policy for clients of `main`, with the lines below `spec`.
#[must_use]
pub fn client_policy(name: &str, section: Option<&str>, fields: &str) -> String {
    let section = section.map(|section| format!(", sectionName: {section}")).unwrap_or_default();
    format!(
        "---
apiVersion: igw.opensvc.com/v1alpha1
kind: ClientPolicy
metadata: {{name: {name}}}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: main{section}}}]
{fields}"
    )
}

/// The loopback address `n` beside `ip`.
#[must_use]
pub fn beside(ip: IpAddr, n: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            IpAddr::V4(std::net::Ipv4Addr::new(a, b, c, n))
        }
        ip @ IpAddr::V6(_) => ip,
    }
}
