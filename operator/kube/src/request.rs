//! A request taken apart.

use bytes::Bytes;
use hyper::Method;
use hyper::http::request::Parts;
use serde_json::Value;

use crate::access::User;
use crate::failure::Failure;

/// A request, whole.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) query: Query,
    pub(crate) accept: Accepted,
    /// Type of the body, without parameters, in lower case.
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
    pub(crate) user: User,
    /// Who writes, where the query does not say: the first word of the client's name.
    pub(crate) agent: String,
}

/// Parameters of a query, decoded.
#[derive(Clone, Debug, Default)]
pub struct Query {
    text: String,
    pairs: Vec<(String, String)>,
}

/// In which form a client wants the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    #[default]
    Whole,
    Table,
    Metadata,
}

/// What a client accepts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accepted {
    pub(crate) form: Form,
    /// Version of aggregated discovery, if that comes first.
    pub(crate) discovery: Option<&'static str>,
}

/// What happens with fields that a kind does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Strict,
    Warn,
    Ignore,
}

/// Segments of a path, decoded.
pub(crate) fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|part| !part.is_empty()).map(|part| decoded(part, false)).collect()
}

// === impl Asked ===

impl Asked {
    pub(crate) fn new(head: &Parts, body: Bytes, user: User) -> Self {
        let header =
            |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let content_type = header("content-type").split(';').next().unwrap_or_default().trim().to_lowercase();
        Self {
            method: head.method.clone(),
            query: Query::parse(head.uri.query().unwrap_or_default()),
            accept: Accepted::parse(header("accept")),
            content_type,
            body,
            user,
            agent: header("user-agent").split(['/', ' ']).next().unwrap_or_default().to_owned(),
        }
    }

    /// The body as a tree, with the paths of fields that stand twice.
    pub(crate) fn document(&self) -> Result<(Value, Vec<String>), Failure> {
        match self.content_type.as_str() {
            "application/json" => crate::body::json(&self.body),
            "application/yaml" => crate::body::yaml(&self.body).map(|tree| (tree, Vec::new())),
            PROTOBUF => crate::protobuf::document(&self.body).map(|tree| (tree, Vec::new())),
            _ => Err(Failure::unsupported_media("application/json, application/yaml")),
        }
    }

    /// What a watch needs of it while it lasts.
    pub(crate) fn for_watch(&self) -> Self {
        Self {
            method: self.method.clone(),
            query: self.query.clone(),
            accept: self.accept.clone(),
            content_type: String::new(),
            body: Bytes::new(),
            user: self.user.clone(),
            agent: String::new(),
        }
    }

    pub(crate) fn is_dry(&self) -> bool {
        self.query.get("dryRun") == Some("All")
    }

    pub(crate) fn field_validation(&self) -> Result<FieldValidation, Failure> {
        match self.query.get("fieldValidation") {
            None | Some("" | "Warn") => Ok(FieldValidation::Warn),
            Some("Strict") => Ok(FieldValidation::Strict),
            Some("Ignore") => Ok(FieldValidation::Ignore),
            Some(other) => Err(Failure::bad_request(format!(
                "fieldValidation: Unsupported value: \"{other}\": supported values: \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }

    /// Who owns the fields that are written.
    pub(crate) fn field_manager(&self) -> &str {
        match self.query.get("fieldManager") {
            None | Some("") if self.agent.is_empty() => "unknown",
            None | Some("") => &self.agent,
            Some(name) => name,
        }
    }
}

// === impl Query ===

impl Query {
    /// Reads the part of a URL behind `?`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name, true), decoded(value, true))
        });
        Self { text: text.to_owned(), pairs: pairs.collect() }
    }

    /// The text as it was sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a parameter says yes.
    #[must_use]
    pub fn is_true(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1" | "t" | "T" | "True" | "TRUE"))
    }

    /// A number, if it is one.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }
}

// === impl Accepted ===

impl Accepted {
    /// The first form of the list that is known decides; what is not known is skipped.
    fn parse(header: &str) -> Self {
        for entry in header.split(',') {
            let mut parts = entry.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            if !matches!(media, "application/json" | "*/*" | "application/*") {
                continue;
            }
            let (mut group, mut version, mut form) = ("", "", "");
            for part in parts {
                match part.split_once('=') {
                    Some(("g", value)) => group = value,
                    Some(("v", value)) => version = value,
                    Some(("as", value)) => form = value,
                    _ => {}
                }
            }
            match (form, group, version) {
                ("", ..) => return Self::default(),
                ("Table", "meta.k8s.io", "v1") => return Self { form: Form::Table, discovery: None },
                ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1") => {
                    return Self { form: Form::Metadata, discovery: None };
                }
                ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => {
                    return Self { form: Form::Whole, discovery: Some("v2") };
                }
                ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2beta1") => {
                    return Self { form: Form::Whole, discovery: Some("v2beta1") };
                }
                _ => {}
            }
        }
        Self::default()
    }
}

fn decoded(text: &str, is_query: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
        match (first, hex(tail.first()), hex(tail.get(1))) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                rest = tail.get(2..).unwrap_or_default();
            }
            (b'+', ..) if is_query => {
                out.push(b' ');
                rest = tail;
            }
            _ => {
                out.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Type of bodies that clients with compiled kinds send.
pub(crate) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_form_decides() {
        let form = |text: &str| Accepted::parse(text).form;
        assert_eq!(form("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"), Form::Table);
        assert_eq!(form("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"), Form::Whole);
        assert_eq!(form("application/vnd.kubernetes.protobuf,application/json"), Form::Whole);
        assert_eq!(form(""), Form::Whole);
        let both =
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert_eq!(Accepted::parse(both).discovery, Some("v2beta1"));
        assert_eq!(Accepted::parse("application/json").discovery, None);
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("labelSelector=a%3Db%2Cc+in+%28d%29&watch=true&x");
        assert_eq!(query.get("labelSelector"), Some("a=b,c in (d)"));
        assert!(query.is_true("watch"));
        assert_eq!(query.get("x"), Some(""));
        assert_eq!(segments("/api/v1//a%2Fb"), ["api", "v1", "a/b"]);
    }
}
