//! From a tree to a type, with the place of every mistake.

use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

use super::fault::Fault;
use super::suggest::nearest;
use super::tree::{Entry, Node, Position, Value};

/// Why a tree does not fit a type.
#[derive(Clone, Debug)]
pub(crate) struct DecodeError {
    pub(crate) at: Option<Position>,
    /// Steps from the inside out.
    steps: Vec<String>,
    pub(crate) fault: Fault,
    /// Name of a field that the mapping at `at` must have and has not.
    pub(crate) missing: Option<&'static str>,
    pub(crate) message: Box<str>,
    pub(crate) allowed: Option<String>,
    pub(crate) hint: Option<String>,
}

struct NodeDeserializer<'n> {
    node: &'n Node,
}

struct Items<'n> {
    items: std::iter::Enumerate<std::slice::Iter<'n, Node>>,
}

struct Entries<'n> {
    entries: std::slice::Iter<'n, Entry>,
    current: Option<&'n Entry>,
}

/// Decodes a node.
pub(crate) fn decode<T: DeserializeOwned>(node: &Node) -> Result<T, DecodeError> {
    T::deserialize(NodeDeserializer { node })
}

// === impl DecodeError ===

impl DecodeError {
    /// Path of the field below `root`.
    pub(crate) fn field(&self, root: &str) -> String {
        let mut field = root.to_owned();
        for step in self.steps.iter().rev() {
            if !step.starts_with('[') && !field.is_empty() {
                field.push('.');
            }
            field.push_str(step);
        }
        field
    }

    fn new(message: String) -> Self {
        Self {
            at: None,
            steps: Vec::new(),
            fault: Fault::Invalid,
            missing: None,
            message: message.into(),
            allowed: None,
            hint: None,
        }
    }

    fn or_at(mut self, at: Position) -> Self {
        self.at.get_or_insert(at);
        self
    }

    fn inside(mut self, step: String) -> Self {
        self.steps.push(step);
        self
    }

    fn unknown(what: &str, word: &str, expected: &'static [&'static str]) -> Self {
        let mut error = Self::new(format!("unknown {what} `{word}`"));
        error.allowed = Some(expected.join(", "));
        error.hint = nearest(word, expected.iter().copied()).map(|word| format!("did you mean `{word}`?"));
        error
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        // Checked words say what is allowed in one sentence; here it becomes a field of its own.
        let text = message.to_string();
        match text.split_once(" (allowed: ") {
            Some((message, allowed)) => Self {
                allowed: Some(allowed.strip_suffix(')').unwrap_or(allowed).to_owned()),
                ..Self::new(message.to_owned())
            },
            // What the standard library says of an address.
            None if text == "invalid IP address syntax" => Self {
                allowed: Some("an IPv4 or IPv6 address".to_owned()),
                ..Self::new("not an IP address".to_owned())
            },
            None => Self::new(text),
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self { fault: Fault::UnknownField, ..Self::unknown("field", field, expected) }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self { fault: Fault::Unsupported, ..Self::unknown("value", variant, expected) }
    }

    fn missing_field(field: &'static str) -> Self {
        let mut error = Self::new(format!("field `{field}` is missing"));
        error.hint = Some(format!("add `{field}`"));
        error.fault = Fault::Missing;
        error.missing = Some(field);
        error
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found_in_words = match found {
            de::Unexpected::Map => "a mapping".to_owned(),
            de::Unexpected::Seq => "a sequence".to_owned(),
            found => found.to_string(),
        };
        let mut error = Self::new(format!("{found_in_words}, expected {}", in_words(&expected.to_string())));
        error.fault = Fault::Type;
        if matches!(
            found,
            de::Unexpected::Signed(_)
                | de::Unexpected::Unsigned(_)
                | de::Unexpected::Bool(_)
                | de::Unexpected::Float(_)
        ) {
            error.hint = Some("write it in quotes if text is meant".to_owned());
        }
        error
    }
}

/// A type of the code in words of YAML.
fn in_words(expected: &str) -> &str {
    match expected {
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        "f32" | "f64" => "a number",
        "a map" => "a mapping",
        name if name.starts_with("struct ") => "a mapping",
        other => other,
    }
}

// === impl NodeDeserializer ===

impl<'n> NodeDeserializer<'n> {
    fn wrong<'de, V: Visitor<'de>>(&self, visitor: &V) -> DecodeError {
        let found = match &self.node.value {
            Value::Sequence(_) => de::Unexpected::Seq,
            Value::Mapping(_) => de::Unexpected::Map,
            Value::Hidden => de::Unexpected::Unit,
            Value::Scalar { text, is_plain } => {
                return scalar_error(text, *is_plain, visitor).or_at(self.node.at);
            }
        };
        <DecodeError as de::Error>::invalid_type(found, visitor).or_at(self.node.at)
    }
}

fn scalar_error<'de, V: Visitor<'de>>(text: &str, is_plain: bool, visitor: &V) -> DecodeError {
    use de::Error as _;
    match plain(text, is_plain) {
        Plain::Null => DecodeError::invalid_type(de::Unexpected::Unit, visitor),
        Plain::Bool(value) => DecodeError::invalid_type(de::Unexpected::Bool(value), visitor),
        Plain::Signed(value) => DecodeError::invalid_type(de::Unexpected::Signed(value), visitor),
        Plain::Unsigned(value) => DecodeError::invalid_type(de::Unexpected::Unsigned(value), visitor),
        Plain::Float(value) => DecodeError::invalid_type(de::Unexpected::Float(value), visitor),
        Plain::Text => DecodeError::invalid_type(de::Unexpected::Str(text), visitor),
    }
}

/// What plain text means (YAML 1.2, core schema).
pub(crate) enum Plain {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text,
}

pub(crate) fn plain(text: &str, is_plain: bool) -> Plain {
    if !is_plain {
        return Plain::Text;
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        _ => {}
    }
    let looks_numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    if !looks_numeric {
        return Plain::Text;
    }
    if let Ok(value) = text.parse::<i64>() {
        return Plain::Signed(value);
    }
    if let Ok(value) = text.parse::<u64>() {
        return Plain::Unsigned(value);
    }
    let is_float =
        text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'));
    match text.parse::<f64>() {
        Ok(value) if is_float => Plain::Float(value),
        _ => Plain::Text,
    }
}

impl<'de> Deserializer<'de> for NodeDeserializer<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let at = self.node.at;
        let visited = match &self.node.value {
            Value::Sequence(_) => return self.deserialize_seq(visitor),
            Value::Mapping(_) => return self.deserialize_map(visitor),
            Value::Hidden => visitor.visit_unit(),
            Value::Scalar { text, is_plain } => match plain(text, *is_plain) {
                Plain::Null => visitor.visit_unit(),
                Plain::Bool(value) => visitor.visit_bool(value),
                Plain::Signed(value) => visitor.visit_i64(value),
                Plain::Unsigned(value) => visitor.visit_u64(value),
                Plain::Float(value) => visitor.visit_f64(value),
                Plain::Text => visitor.visit_str(text),
            },
        };
        visited.map_err(|error: DecodeError| error.or_at(at))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Scalar { text, is_plain } if matches!(plain(text, *is_plain), Plain::Text) => {
                visitor.visit_str(text).map_err(|error: DecodeError| error.or_at(self.node.at))
            }
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Scalar { text, is_plain } if matches!(plain(text, *is_plain), Plain::Null) => {
                visitor.visit_none()
            }
            Value::Hidden => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let at = self.node.at;
        visitor.visit_newtype_struct(self).map_err(|error| error.or_at(at))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Sequence(items) => {
                let items = Items { items: items.iter().enumerate() };
                visitor.visit_seq(items).map_err(|error| error.or_at(self.node.at))
            }
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Mapping(entries) => {
                let entries = Entries { entries: entries.iter(), current: None };
                visitor.visit_map(entries).map_err(|error| error.or_at(self.node.at))
            }
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Scalar { text, .. } => {
                let variant: de::value::StrDeserializer<'_, DecodeError> = text.as_str().into_deserializer();
                visitor.visit_enum(variant).map_err(|error: DecodeError| error.or_at(self.node.at))
            }
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct
        identifier
    }
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let shown = |(_, node): &(usize, &Node)| !matches!(node.value, Value::Hidden);
        let Some((index, node)) = self.items.by_ref().find(shown) else { return Ok(None) };
        let item = seed.deserialize(NodeDeserializer { node });
        item.map(Some).map_err(|error| error.or_at(node.at).inside(format!("[{index}]")))
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let shown = |entry: &&Entry| !matches!(entry.node.value, Value::Hidden);
        let Some(entry) = self.entries.by_ref().find(shown) else { return Ok(None) };
        self.current = Some(entry);
        let key: de::value::StrDeserializer<'_, DecodeError> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|error| error.or_at(entry.at).inside(entry.key.clone()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        let Some(entry) = self.current.take() else {
            return Err(<DecodeError as de::Error>::custom("a value without its key"));
        };
        let value = seed.deserialize(NodeDeserializer { node: &entry.node });
        value.map_err(|error| error.or_at(entry.node.at).inside(entry.key.clone()))
    }
}
