//! Words that may stand in objects. Each has one constructor, which checks it; past the YAML door a name is valid.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Declares a checked string. A clone shares its text.
macro_rules! checked_string {
    ($(#[$doc:meta])* $name:ident, max: $max:expr, min: $min:expr, pattern: $pattern:expr, check: $check:path, allowed: $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a word.
            ///
            /// # Errors
            /// Says what is allowed.
            pub fn parse(text: impl Into<String>) -> Result<Self, String> {
                let text = text.into();
                let is_valid = ($min..=$max).contains(&text.chars().count()) && $check(&text);
                if is_valid { Ok(Self(text.into())) } else { Err(format!("`{text}` is not valid (allowed: {})", $allowed)) }
            }

            /// The word.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The word, shared.
            #[must_use]
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = json_schema!({ "type": "string", "maxLength": $max, "pattern": $pattern });
                if $min > 0 {
                    schema.insert("minLength".to_owned(), ($min as u64).into());
                }
                schema
            }
        }
    };
}

checked_string!(
    /// Name of an object.
    ObjectName, max: 253, min: 1, pattern: r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    check: is_subdomain, allowed: "lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit, at most 253"
);
checked_string!(
    /// Name of a section: a listener or a rule.
    SectionName, max: 253, min: 1, pattern: r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    check: is_subdomain, allowed: "lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit, at most 253"
);
checked_string!(
    /// A namespace.
    Namespace, max: 63, min: 1, pattern: r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    check: is_label, allowed: "lower-case letters, digits and `-`, beginning and ending with a letter or digit, at most 63"
);
checked_string!(
    /// A host name, or `*.` and one. In lower case.
    Hostname, max: 253, min: 1, pattern: r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    check: is_hostname, allowed: "a DNS name in lower case, `*` only as its first label, no IP address, no port"
);
checked_string!(
    /// A host name without wildcard.
    PreciseHostname, max: 253, min: 1, pattern: r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    check: is_precise_hostname, allowed: "a DNS name in lower case without `*`, no IP address, no port"
);
checked_string!(
    /// Group of an API; empty is the core group.
    Group, max: 253, min: 0, pattern: r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    check: is_group, allowed: "empty, or a DNS name in lower case"
);
checked_string!(
    /// Kind of an object.
    KindName, max: 63, min: 1, pattern: r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$",
    check: is_kind, allowed: "letters, digits and `-`, beginning with a letter"
);
checked_string!(
    /// Name of a header field or query parameter: a token.
    HeaderName, max: 256, min: 1, pattern: r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$",
    check: is_token, allowed: "letters, digits and !#$%&'*+-.^_`|~"
);
checked_string!(
    /// An origin, or a pattern of origins.
    CorsOrigin, max: 253, min: 1, pattern: r"(^\*$)|(^(http(s)?):\/\/(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$)",
    check: is_origin, allowed: "`*`, or http:// or https://, a host that may begin with `*.`, and a port if it is not 80 or 443, like `https://*.shop.example:8443`"
);
checked_string!(
    /// Value of a header field.
    HeaderValue, max: 4096, min: 1, pattern: r"^[!-~]+([\t ]?[!-~]+)*$",
    check: is_header_value, allowed: "1 to 4,096 printable ASCII characters, single blanks inside"
);
checked_string!(
    /// Value of a query parameter.
    QueryValue, max: 1024, min: 1, pattern: r"^[\s\S]+$",
    check: is_anything, allowed: "1 to 1,024 characters"
);
checked_string!(
    /// Name of a controller: a domain and a path.
    ControllerName, max: 253, min: 1, pattern: r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$",
    check: is_controller, allowed: "a domain, `/` and a path, like igw.opensvc.com/gateway"
);
checked_string!(
    /// Protocol of a listener: one of the API's, or a domain-prefixed one.
    ProtocolName, max: 255, min: 1, pattern: r"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9]+$",
    check: is_protocol, allowed: "HTTP, HTTPS, TLS, TCP, UDP, or a domain-prefixed name"
);
checked_string!(
    /// A network in CIDR form.
    Cidr, max: 43, min: 3, pattern: r"^[0-9a-fA-F.:]+/[0-9]{1,3}$",
    check: is_cidr, allowed: "an IPv4 or IPv6 address, `/` and the length of the prefix, like `10.0.0.0/8`"
);
checked_string!(
    /// A time span: 1 to 4 groups of 1 to 5 digits and `h`, `m`, `s` or `ms` (GEP-2257).
    TimeSpan, max: 32, min: 2, pattern: r"^([0-9]{1,5}(h|m|s|ms)){1,4}$",
    check: is_time_span, allowed: "numbers with h, m, s or ms, like `500ms`, `30s` or `1h30m`"
);

// === impl Cidr ===

impl Cidr {
    /// Whether an address is in the network. An IPv4 address is in no IPv6 network and the other way round.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (network(&self.0), address) {
            (Some((IpAddr::V4(base), length)), IpAddr::V4(address)) => {
                (base.to_bits() ^ address.to_bits()).checked_shr(32 - length).unwrap_or(0) == 0
            }
            (Some((IpAddr::V6(base), length)), IpAddr::V6(address)) => {
                (base.to_bits() ^ address.to_bits()).checked_shr(128 - length).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// The address at a place of the network, counted from its first one; nothing beyond its last one.
    #[must_use]
    pub fn address(&self, place: u64) -> Option<IpAddr> {
        match network(&self.0)? {
            (IpAddr::V4(base), length) => {
                let place = u32::try_from(place).ok()?;
                let size = u32::MAX.checked_shr(length).unwrap_or(0);
                (place <= size).then(|| IpAddr::V4((base.to_bits() & !size | place).into()))
            }
            (IpAddr::V6(base), length) => {
                let size = u128::MAX.checked_shr(length).unwrap_or(0);
                let place = u128::from(place);
                (place <= size).then(|| IpAddr::V6((base.to_bits() & !size | place).into()))
            }
        }
    }
}

// === impl TimeSpan ===

impl TimeSpan {
    /// Milliseconds.
    #[must_use]
    pub fn as_millis(&self) -> u64 {
        time_span_ms(&self.0).unwrap_or(0)
    }
}

/// A port, 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct PortNumber(u16);

/// A share of traffic, 0 to 1,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Weight(u32);

// === impl PortNumber ===

impl PortNumber {
    /// The number.
    #[must_use]
    pub fn as_u16(self) -> u16 {
        self.0
    }
}

impl TryFrom<i64> for PortNumber {
    type Error = String;

    fn try_from(value: i64) -> Result<Self, String> {
        match u16::try_from(value) {
            Ok(port) if port > 0 => Ok(Self(port)),
            _ => Err(format!("{value} is not a port (allowed: 1 to 65535)")),
        }
    }
}

impl From<PortNumber> for i64 {
    fn from(port: PortNumber) -> i64 {
        i64::from(port.0)
    }
}

impl JsonSchema for PortNumber {
    fn schema_name() -> Cow<'static, str> {
        "PortNumber".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": 65535, "format": "int32" })
    }
}

// === impl Weight ===

impl Weight {
    /// The number.
    #[must_use]
    pub fn as_u32(self) -> u32 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<i64> for Weight {
    type Error = String;

    fn try_from(value: i64) -> Result<Self, String> {
        match u32::try_from(value) {
            Ok(weight) if weight <= WEIGHT_MAX => Ok(Self(weight)),
            _ => Err(format!("{value} is not a weight (allowed: 0 to 1000000)")),
        }
    }
}

impl From<Weight> for i64 {
    fn from(weight: Weight) -> i64 {
        i64::from(weight.0)
    }
}

impl JsonSchema for Weight {
    fn schema_name() -> Cow<'static, str> {
        "Weight".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": WEIGHT_MAX, "format": "int32" })
    }
}

/// A DNS label.
pub(crate) fn is_label(text: &str) -> bool {
    let is_edge =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = text.as_bytes();
    is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

pub(crate) fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_group(text: &str) -> bool {
    text.is_empty() || is_subdomain(text)
}

fn is_hostname(text: &str) -> bool {
    let rest = text.strip_prefix("*.").unwrap_or(text);
    is_subdomain(rest) && text.parse::<std::net::IpAddr>().is_err()
}

fn is_precise_hostname(text: &str) -> bool {
    is_subdomain(text) && text.parse::<std::net::IpAddr>().is_err()
}

fn is_kind(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

fn is_token(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_origin(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return false;
    };
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let is_port =
        |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_host = host == "*" || host.strip_prefix("*.").unwrap_or(host).split('.').all(is_label);
    is_host && port.is_none_or(is_port)
}

fn is_header_value(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_blank = |byte: u8| matches!(byte, b' ' | b'\t');
    let is_edge_blank =
        bytes.first().copied().is_some_and(is_blank) || bytes.last().copied().is_some_and(is_blank);
    let has_run = bytes.windows(2).any(|pair| matches!(pair, [a, b] if is_blank(*a) && is_blank(*b)));
    !is_edge_blank && !has_run && bytes.iter().all(|byte| (0x21..=0x7e).contains(byte) || is_blank(*byte))
}

fn is_anything(_: &str) -> bool {
    true
}

fn is_controller(text: &str) -> bool {
    text.split_once('/').is_some_and(|(domain, path)| {
        is_subdomain(domain)
            && !path.is_empty()
            && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte))
    })
}

fn is_protocol(text: &str) -> bool {
    match text.split_once('/') {
        Some((domain, name)) => {
            is_subdomain(domain) && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        }
        None => {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !text.starts_with('-')
                && !text.ends_with('-')
        }
    }
}

fn is_cidr(text: &str) -> bool {
    network(text).is_some()
}

/// Address and length of the prefix.
fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let limit = if address.is_ipv4() { 32 } else { 128 };
    let is_plain = length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length.parse().ok().filter(|length| is_plain && *length <= limit)?;
    Some((address, length))
}

fn is_time_span(text: &str) -> bool {
    time_span_ms(text).is_some()
}

fn time_span_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    let mut n_groups = 0;
    while !rest.is_empty() {
        n_groups += 1;
        let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, tail) = rest.split_at_checked(n_digits)?;
        let n_unit = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at_checked(n_unit)?;
        let factor = match unit {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        if !(1..=5).contains(&n_digits) || n_groups > 4 {
            return None;
        }
        total += digits.parse::<u64>().ok()? * factor;
        rest = tail;
    }
    (n_groups > 0).then_some(total)
}

const WEIGHT_MAX: u32 = 1_000_000;
