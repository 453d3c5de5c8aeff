//! Numbers that people write with units.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes: `65536`, `64Ki`, `1Mi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A number, or `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoNumber {
    /// Found out by the program.
    Auto,
    /// As written.
    Number(u32),
}

// === impl ByteSize ===

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, like 65536 or 64Ki")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(value))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<ByteSize, E> {
                u64::try_from(value)
                    .map(ByteSize)
                    .map_err(|_| E::custom(format!("{value} is not a number of bytes")))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ByteSize, E> {
                let (digits, factor) = match text {
                    _ if text.ends_with("Ki") => (text.trim_end_matches("Ki"), 1 << 10),
                    _ if text.ends_with("Mi") => (text.trim_end_matches("Mi"), 1 << 20),
                    _ if text.ends_with("Gi") => (text.trim_end_matches("Gi"), 1 << 30),
                    _ => (text, 1_u64),
                };
                digits
                    .parse::<u64>()
                    .ok()
                    .and_then(|number| number.checked_mul(factor))
                    .map(ByteSize)
                    .ok_or_else(|| {
                        E::custom(format!(
                            "`{text}` is not a number of bytes (allowed: like 65536, 64Ki, 1Mi)"
                        ))
                    })
            }
        }
        deserializer.deserialize_any(Bytes)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "pattern": "^[0-9]+(Ki|Mi|Gi)?$", "minimum": 0 })
    }
}

// === impl AutoNumber ===

impl<'de> Deserialize<'de> for AutoNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = AutoNumber;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or `auto`")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<AutoNumber, E> {
                u32::try_from(value)
                    .map(AutoNumber::Number)
                    .map_err(|_| E::custom(format!("{value} is too large")))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<AutoNumber, E> {
                u32::try_from(value)
                    .map(AutoNumber::Number)
                    .map_err(|_| E::custom(format!("{value} is out of range")))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<AutoNumber, E> {
                match text {
                    "auto" => Ok(AutoNumber::Auto),
                    _ => Err(E::custom(format!("`{text}` is not valid (allowed: a number or `auto`)"))),
                }
            }
        }
        deserializer.deserialize_any(Number)
    }
}

impl Serialize for AutoNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Number(number) => serializer.serialize_u32(*number),
        }
    }
}

impl JsonSchema for AutoNumber {
    fn schema_name() -> Cow<'static, str> {
        "AutoNumber".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "pattern": "^auto$", "minimum": 0 })
    }
}
