//! Kinds: their groups, versions and spellings.

use std::fmt;

/// A kind that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// GatewayClass
    GatewayClass,
    /// Gateway
    Gateway,
    /// HTTPRoute
    HttpRoute,
    /// GRPCRoute
    GrpcRoute,
    /// BackendTLSPolicy
    BackendTlsPolicy,
    /// TCPRoute
    TcpRoute,
    /// TLSRoute
    TlsRoute,
    /// UDPRoute
    UdpRoute,
    /// ListenerSet
    ListenerSet,
    /// ReferenceGrant
    ReferenceGrant,
    /// XTelemetryPolicy
    XTelemetryPolicy,
    /// Secret
    Secret,
    /// ConfigMap
    ConfigMap,
    /// Namespace
    Namespace,
    /// GatewayConfig
    GatewayConfig,
    /// Backend
    Backend,
    /// BackendPolicy
    BackendPolicy,
    /// ClientPolicy
    ClientPolicy,
    /// Resolver
    Resolver,
    /// CertificateIssuer
    CertificateIssuer,
    /// Certificate
    Certificate,
}

/// What is known of a kind.
struct Facts {
    name: &'static str,
    group: &'static str,
    versions: &'static [&'static str],
    plural: &'static str,
    short_names: &'static [&'static str],
    is_namespaced: bool,
}

// === impl Kind ===

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 21] = [
        Kind::GatewayClass,
        Kind::Gateway,
        Kind::ListenerSet,
        Kind::HttpRoute,
        Kind::GrpcRoute,
        Kind::TcpRoute,
        Kind::TlsRoute,
        Kind::UdpRoute,
        Kind::BackendTlsPolicy,
        Kind::ReferenceGrant,
        Kind::XTelemetryPolicy,
        Kind::Secret,
        Kind::ConfigMap,
        Kind::Namespace,
        Kind::GatewayConfig,
        Kind::Backend,
        Kind::BackendPolicy,
        Kind::ClientPolicy,
        Kind::Resolver,
        Kind::CertificateIssuer,
        Kind::Certificate,
    ];

    /// Kinds of routes, in the order in which they are shown.
    pub const ROUTES: [Kind; 5] =
        [Kind::HttpRoute, Kind::GrpcRoute, Kind::TcpRoute, Kind::TlsRoute, Kind::UdpRoute];

    /// Name, as in `kind`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.facts().name
    }

    /// Group; empty for the core group.
    #[must_use]
    pub fn group(self) -> &'static str {
        self.facts().group
    }

    /// Version that is written.
    #[must_use]
    pub fn version(self) -> &'static str {
        self.facts().versions.first().copied().unwrap_or_default()
    }

    /// Versions that are read.
    #[must_use]
    pub fn versions(self) -> &'static [&'static str] {
        self.facts().versions
    }

    /// `group/version`, as in `apiVersion`.
    #[must_use]
    pub fn api_version(self) -> String {
        match self.group() {
            "" => self.version().to_owned(),
            group => format!("{group}/{}", self.version()),
        }
    }

    /// Plural in lower case.
    #[must_use]
    pub fn plural(self) -> &'static str {
        self.facts().plural
    }

    /// Singular in lower case.
    #[must_use]
    pub fn singular(self) -> String {
        self.as_str().to_lowercase()
    }

    /// Short names that kubectl knows.
    #[must_use]
    pub fn short_names(self) -> &'static [&'static str] {
        self.facts().short_names
    }

    /// Objects of the kind live in namespaces.
    #[must_use]
    pub fn is_namespaced(self) -> bool {
        self.facts().is_namespaced
    }

    /// The kind with this group and name.
    #[must_use]
    pub fn find(group: &str, name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.group() == group && kind.as_str() == name)
    }

    /// Reads a kind as people type it: singular, plural or short name, in any case, with or without group.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        let (name, group) = match text.split_once('.') {
            Some((name, group)) => (name, Some(group)),
            None => (text.as_str(), None),
        };
        Self::ALL.into_iter().find(|kind| {
            group.is_none_or(|group| group == kind.group())
                && (name == kind.singular() || name == kind.plural() || kind.short_names().contains(&name))
        })
    }

    fn facts(self) -> Facts {
        const GATEWAY_API: &str = "gateway.networking.k8s.io";
        const EXPERIMENTS: &str = "gateway.networking.x-k8s.io";
        const OURS: &str = "igw.opensvc.com";
        const OUR_VERSIONS: &[&str] = &["v1alpha1"];
        let gateway_api = |name, versions, plural, short_names, is_namespaced| Facts {
            name,
            group: GATEWAY_API,
            versions,
            plural,
            short_names,
            is_namespaced,
        };
        let experiment = |name, plural, short_names| Facts {
            name,
            group: EXPERIMENTS,
            versions: &["v1alpha1"],
            plural,
            short_names,
            is_namespaced: true,
        };
        let core = |name, plural, short_names, is_namespaced| Facts {
            name,
            group: "",
            versions: &["v1"],
            plural,
            short_names,
            is_namespaced,
        };
        let ours = |name, plural, short_names| Facts {
            name,
            group: OURS,
            versions: OUR_VERSIONS,
            plural,
            short_names,
            is_namespaced: true,
        };
        match self {
            Self::GatewayClass => {
                gateway_api("GatewayClass", &["v1", "v1beta1"], "gatewayclasses", &["gc"], false)
            }
            Self::Gateway => gateway_api("Gateway", &["v1", "v1beta1"], "gateways", &["gtw", "gw"], true),
            Self::HttpRoute => gateway_api("HTTPRoute", &["v1", "v1beta1"], "httproutes", &[], true),
            Self::GrpcRoute => gateway_api("GRPCRoute", &["v1"], "grpcroutes", &[], true),
            Self::BackendTlsPolicy => gateway_api(
                "BackendTLSPolicy",
                &["v1", "v1alpha3"],
                "backendtlspolicies",
                &["btlspolicy"],
                true,
            ),
            Self::TcpRoute => gateway_api("TCPRoute", &["v1", "v1alpha2"], "tcproutes", &[], true),
            Self::TlsRoute => {
                gateway_api("TLSRoute", &["v1", "v1alpha2", "v1alpha3"], "tlsroutes", &[], true)
            }
            Self::UdpRoute => gateway_api("UDPRoute", &["v1", "v1alpha2"], "udproutes", &[], true),
            Self::ListenerSet => gateway_api("ListenerSet", &["v1"], "listenersets", &["lset"], true),
            Self::ReferenceGrant => {
                gateway_api("ReferenceGrant", &["v1", "v1beta1"], "referencegrants", &["refgrant"], true)
            }
            Self::XTelemetryPolicy => {
                experiment("XTelemetryPolicy", "xtelemetrypolicies", &["xtelemetrypolicy"])
            }
            Self::Secret => core("Secret", "secrets", &[], true),
            Self::ConfigMap => core("ConfigMap", "configmaps", &["cm"], true),
            Self::Namespace => core("Namespace", "namespaces", &["ns"], false),
            Self::GatewayConfig => ours("GatewayConfig", "gatewayconfigs", &["gwconfig"]),
            Self::Backend => ours("Backend", "backends", &["be"]),
            Self::BackendPolicy => ours("BackendPolicy", "backendpolicies", &["bepolicy"]),
            Self::ClientPolicy => ours("ClientPolicy", "clientpolicies", &["clpolicy"]),
            Self::Resolver => ours("Resolver", "resolvers", &[]),
            Self::CertificateIssuer => ours("CertificateIssuer", "certificateissuers", &["issuer"]),
            Self::Certificate => ours("Certificate", "certificates", &["cert"]),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Kinds of groups that are served, which this version knows by name alone.
pub(crate) const LATER: [(&str, &str); 9] = [
    ("gateway.networking.x-k8s.io", "XBackendTrafficPolicy"),
    ("gateway.networking.x-k8s.io", "XBackend"),
    ("gateway.networking.x-k8s.io", "XMesh"),
    ("igw.opensvc.com", "SecurityPolicy"),
    ("igw.opensvc.com", "RateLimit"),
    ("igw.opensvc.com", "Compression"),
    ("igw.opensvc.com", "ErrorPages"),
    ("igw.opensvc.com", "DirectResponse"),
    ("igw.opensvc.com", "Telemetry"),
];
