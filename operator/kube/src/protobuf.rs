//! Bodies in protobuf: clients with compiled kinds send them unless they are told not to. Secrets, ConfigMaps and
//! Namespaces are read, which is what `kubectl create` makes.
//!
//! A body is four bytes, then an envelope that names the kind and holds the object's message.

use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Reason};

/// One field of a message.
#[derive(Clone, Copy, Debug)]
enum Field<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

/// How the value of a map is written in JSON.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Base64,
}

/// Reads a body in protobuf.
pub(crate) fn document(body: &Bytes) -> Result<Value, Failure> {
    let envelope = body.strip_prefix(MAGIC).ok_or_else(broken)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), [].as_slice());
    for (number, field) in fields(envelope)? {
        match (number, field) {
            (1, Field::Bytes(names)) => {
                for (number, field) in fields(names)? {
                    match (number, field) {
                        (1, Field::Bytes(bytes)) => api_version = text(bytes)?,
                        (2, Field::Bytes(bytes)) => kind = text(bytes)?,
                        _ => {}
                    }
                }
            }
            (2, Field::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let maps: &[(u32, &str, Form)] = match (api_version.as_str(), kind.as_str()) {
        ("v1", "Secret") => &[(2, "data", Form::Base64), (4, "stringData", Form::Text)],
        ("v1", "ConfigMap") => &[(2, "data", Form::Text), (3, "binaryData", Form::Base64)],
        ("v1", "Namespace") => &[],
        _ => return Err(unknown(&kind)),
    };
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.as_str().into());
    for (number, field) in fields(raw)? {
        let map = maps.iter().find(|(known, ..)| *known == number);
        match (number, field, map, kind.as_str()) {
            (1, Field::Bytes(bytes), ..) => drop(object.insert("metadata".to_owned(), metadata(bytes)?)),
            (_, Field::Bytes(bytes), Some((_, name, form)), _) => entry(&mut object, name, bytes, *form)?,
            (3, Field::Bytes(bytes), _, "Secret") => {
                drop(object.insert("type".to_owned(), text(bytes)?.into()))
            }
            (5, Field::Number(flag), _, "Secret") | (4, Field::Number(flag), _, "ConfigMap") => {
                object.insert("immutable".to_owned(), (flag != 0).into());
            }
            _ => {}
        }
    }
    Ok(Value::Object(object))
}

/// What a client may say of an object; times and numbers are the server's.
fn metadata(bytes: &[u8]) -> Result<Value, Failure> {
    let mut metadata = Map::new();
    for (number, field) in fields(bytes)? {
        let Field::Bytes(bytes) = field else { continue };
        let name = match number {
            1 => "name",
            2 => "generateName",
            3 => "namespace",
            5 => "uid",
            6 => "resourceVersion",
            11 => {
                entry(&mut metadata, "labels", bytes, Form::Text)?;
                continue;
            }
            12 => {
                entry(&mut metadata, "annotations", bytes, Form::Text)?;
                continue;
            }
            14 => {
                let list = metadata.entry("finalizers").or_insert_with(|| json!([]));
                if let Some(list) = list.as_array_mut() {
                    list.push(text(bytes)?.into());
                }
                continue;
            }
            _ => continue,
        };
        let text = text(bytes)?;
        if !text.is_empty() {
            metadata.insert(name.to_owned(), text.into());
        }
    }
    Ok(Value::Object(metadata))
}

/// One entry of a map: key and value are the first two fields of a message.
fn entry(object: &mut Map<String, Value>, name: &str, bytes: &[u8], form: Form) -> Result<(), Failure> {
    let (mut key, mut value) = ([].as_slice(), [].as_slice());
    for (number, field) in fields(bytes)? {
        match (number, field) {
            (1, Field::Bytes(bytes)) => key = bytes,
            (2, Field::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    let key = text(key)?;
    let value = match form {
        Form::Text => text(value)?,
        Form::Base64 => base64::engine::general_purpose::STANDARD.encode(value),
    };
    crate::tree::edit_mapping(object, name, |map| map.insert(key, value.into()));
    Ok(())
}

/// The fields of a message in order.
fn fields(mut bytes: &[u8]) -> Result<Vec<(u32, Field<'_>)>, Failure> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let number = u32::try_from(tag >> 3).map_err(|_| broken())?;
        let n_fixed = match tag & 7 {
            0 => {
                fields.push((number, Field::Number(varint(&mut bytes)?)));
                continue;
            }
            1 => 8,
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).map_err(|_| broken())?;
                let (field, rest) = bytes.split_at_checked(length).ok_or_else(broken)?;
                fields.push((number, Field::Bytes(field)));
                bytes = rest;
                continue;
            }
            5 => 4,
            _ => return Err(broken()),
        };
        bytes = bytes.get(n_fixed..).ok_or_else(broken)?;
    }
    Ok(fields)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Failure> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or_else(broken)?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(broken())
}

fn text(bytes: &[u8]) -> Result<String, Failure> {
    String::from_utf8(bytes.to_vec()).map_err(|_| broken())
}

fn broken() -> Failure {
    Failure::bad_request("the body is not an object in protobuf")
}

fn unknown(kind: &str) -> Failure {
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: application/json, \
         application/yaml; {kind} is not read in protobuf"
    );
    Failure::new(Reason::UnsupportedMediaType, message)
}

/// How every body begins.
const MAGIC: &[u8] = b"k8s\0";

#[cfg(test)]
mod tests {
    use super::*;

    fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, field) in fields {
            bytes.extend([number << 3 | 2, u8::try_from(field.len()).unwrap()]);
            bytes.extend_from_slice(field);
        }
        bytes
    }

    fn body(kind: &[u8], raw: &[u8]) -> Bytes {
        let names = message(&[(1, b"v1"), (2, kind)]);
        [MAGIC, &message(&[(1, &names), (2, raw)])].concat().into()
    }

    #[test]
    fn secrets_are_read() {
        let metadata = message(&[(1, b"s"), (11, &message(&[(1, b"a"), (2, b"b")]))]);
        let data = message(&[(1, b"k"), (2, b"v")]);
        let mut raw = message(&[(1, &metadata), (2, &data), (3, b"Opaque")]);
        raw.extend([5 << 3, 1]);
        let expected = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {"a": "b"}},
            "data": {"k": "dg=="}, "type": "Opaque", "immutable": true,
        });
        assert_eq!(document(&body(b"Secret", &raw)).unwrap(), expected);
    }

    #[test]
    fn what_is_broken_or_not_known_is_refused() {
        assert_eq!(document(&body(b"Pod", b"")).unwrap_err().reason, Reason::UnsupportedMediaType);
        let whole = body(b"Secret", &message(&[(1, b"\x0a\x01s")]));
        for end in 0..whole.len() {
            let cut = whole.slice(..end);
            if let Ok(object) = document(&cut) {
                assert!(object.is_object());
            }
        }
        assert!(document(&Bytes::from_static(b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")).is_err());
        assert!(document(&Bytes::from_static(b"k8s\0\x0a\x7f")).is_err());
    }
}
