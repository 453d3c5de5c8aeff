//! Certificate: names to be certified, and the Secret that holds the result.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::certificate_issuer::SameNamespaceReference;
use super::names::{Hostname, ObjectName, TimeSpan};

/// Spec of a Certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateSpec {
    /// Secret of the same namespace that gets certificate and key. One that igw did not make is never overwritten.
    pub secret_name: ObjectName,
    /// Names, the first of them the common name.
    #[schemars(length(min = 1, max = 100))]
    pub hostnames: Vec<Hostname>,
    /// CertificateIssuer of the same namespace.
    pub issuer_ref: SameNamespaceReference,
    /// Time before its end at which the certificate is renewed. Default 0: when the authority suggests it, else when a
    /// third of its life is left.
    #[serde(default, skip_serializing_if = "RenewBefore::is_zero")]
    pub renew_before: RenewBefore,
    /// The private key; a new one is made for each certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<CertificateKey>,
}

/// A private key to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateKey {
    /// Algorithm. Default `ECDSA-P256`.
    #[serde(default)]
    pub algorithm: KeyAlgorithm,
}

/// Algorithm of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeyAlgorithm {
    /// ECDSA on P-256.
    #[default]
    #[serde(rename = "ECDSA-P256")]
    EcdsaP256,
    /// ECDSA on P-384.
    #[serde(rename = "ECDSA-P384")]
    EcdsaP384,
    /// RSA of 2,048 bits.
    #[serde(rename = "RSA-2048")]
    Rsa2048,
    /// RSA of 4,096 bits.
    #[serde(rename = "RSA-4096")]
    Rsa4096,
}

/// A time span in milliseconds, or 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenewBefore(pub u64);

// === impl RenewBefore ===

impl RenewBefore {
    /// Nothing is said.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl<'de> Deserialize<'de> for RenewBefore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = RenewBefore;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("0 or a time span, like `720h`")
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<RenewBefore, E> {
                match value {
                    0 => Ok(RenewBefore(0)),
                    _ => Err(E::custom(format!(
                        "`{value}` has no unit (allowed: 0 or a time span, like `720h`)"
                    ))),
                }
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<RenewBefore, E> {
                self.visit_u64(value.unsigned_abs())
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RenewBefore, E> {
                TimeSpan::parse(text).map(|span| RenewBefore(span.as_millis())).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for RenewBefore {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Up to four groups of at most five digits each; the largest that can be read is 416666 hours.
        let (hours, minutes) = (self.0 / 3_600_000, self.0 / 60_000 % 60);
        let (seconds, millis) = (self.0 / 1000 % 60, self.0 % 1000);
        let groups = [(hours, "h"), (minutes, "m"), (seconds, "s"), (millis, "ms")];
        let text: String =
            groups.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
        match text.is_empty() {
            true => serializer.serialize_u64(0),
            false => serializer.serialize_str(&text),
        }
    }
}

impl JsonSchema for RenewBefore {
    fn schema_name() -> Cow<'static, str> {
        "RenewBefore".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$", "minimum": 0, "maximum": 0 })
    }
}
