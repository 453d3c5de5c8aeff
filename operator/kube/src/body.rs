//! Bodies: JSON with what stands twice in it, and YAML through its door.

use std::cell::RefCell;
use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::failure::Failure;

/// Reads JSON. A field that stands twice counts once, the last time, and is told.
pub(crate) fn json(bytes: &Bytes) -> Result<(Value, Vec<String>), Failure> {
    let twice = RefCell::new(Vec::new());
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let seed = Noting { path: String::new(), twice: &twice };
    let tree = seed
        .deserialize(&mut reader)
        .and_then(|tree| reader.end().map(|()| tree))
        .map_err(|error| Failure::bad_request(format!("the body is not JSON: {error}")))?;
    Ok((tree, twice.into_inner()))
}

/// Reads one document of YAML, under the limits of the door that igw reads all YAML through.
pub(crate) fn yaml(bytes: &Bytes) -> Result<Value, Failure> {
    let text = std::str::from_utf8(bytes).map_err(|_| Failure::bad_request("the body is not UTF-8"))?;
    igw_crds::yaml::parse_value(text)
        .map_err(|error| Failure::bad_request(format!("the body is not YAML: {error}")))
}

/// Builds a tree and notes fields that stand twice.
struct Noting<'a> {
    path: String,
    twice: &'a RefCell<Vec<String>>,
}

// === impl Noting ===

impl<'de> DeserializeSeed<'de> for Noting<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Noting<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // A whole number is one however it is written; beyond 2^53 its digits are not all there.
        let is_whole = value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0;
        Ok(match is_whole {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and within bounds")]
            true => (value as i64).into(),
            false => Number::from_f64(value).map_or(Value::Null, Value::Number),
        })
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            let seed = Noting { path: format!("{}[{}]", self.path, items.len()), twice: self.twice };
            match access.next_element_seed(seed)? {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let path = match self.path.as_str() {
                "" => name.clone(),
                above => format!("{above}.{name}"),
            };
            let value = access.next_value_seed(Noting { path: path.clone(), twice: self.twice })?;
            if fields.insert(name, value).is_some() {
                self.twice.borrow_mut().push(path);
            }
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_stands_twice_is_told() {
        let (tree, twice) = json(&Bytes::from_static(br#"{"a":[{"b":1,"b":2}],"c":1.5,"d":80.0}"#)).unwrap();
        assert_eq!(tree, json!({"a": [{"b": 2}], "c": 1.5, "d": 80}));
        assert_eq!(twice, ["a[0].b"]);
        assert!(json(&Bytes::from_static(b"{} x")).is_err());
    }
}
