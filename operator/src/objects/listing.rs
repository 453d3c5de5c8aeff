//! Objects with their statuses as JSON: what `get` and `describe` show, `status.json` holds and the admin
//! address serves.
//!
//! Values of Secrets are never in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything that is known of a set of objects at one moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// Term of the control side; 0 offline.
    pub epoch: u64,
    /// Generation of the snapshot that was made of the objects; 0 offline.
    pub generation: u64,
    /// Every listener is bound or has failed for good, and every object has its status.
    pub ready: bool,
    /// Errors and warnings.
    pub notices: Vec<Notice>,
    /// Where each object was read, by `<Kind>/<namespace>/<name>`.
    pub sources: BTreeMap<String, Source>,
    /// The objects, each with `apiVersion`, `kind`, `metadata`, and `spec` and `status` where it has them.
    pub objects: Vec<Value>,
}

/// Something that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Notice {
    /// File, where it is known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Line from 1; 0 = the whole file.
    pub line: u32,
    /// Column from 1; 0 = the whole line.
    pub column: u32,
    /// How bad it is.
    pub severity: Severity,
    /// `<Kind>/<namespace>/<name>` of the object, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Field path, where it is known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// One sentence.
    pub message: String,
    /// What is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How bad a notice is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object is not taken as written.
    Error,
    /// The object serves, but not as its author may expect.
    #[default]
    Warning,
}

/// Where an object was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    /// File, or folder of a key pair.
    pub file: Arc<str>,
    /// Line of the document, from 1.
    pub line: u32,
    /// The file holds something broken now; this is the last good version.
    pub kept: bool,
}

// === impl Notice ===

impl Notice {
    /// The notice on one line: `file:line:column: severity: object: field: message (allowed: …); hint`.
    #[must_use]
    pub fn line(&self) -> String {
        let mut text = String::new();
        if !self.file.is_empty() {
            text.push_str(&self.file);
            for number in [self.line, self.column].into_iter().take_while(|number| *number > 0) {
                text.push_str(&format!(":{number}"));
            }
            text.push_str(": ");
        }
        text.push_str(match self.severity {
            Severity::Error => "error: ",
            Severity::Warning => "warning: ",
        });
        for part in self
            .object
            .as_deref()
            .into_iter()
            .chain(Some(self.field.as_str()).filter(|field| !field.is_empty()))
        {
            text.push_str(part);
            text.push_str(": ");
        }
        text.push_str(&self.message);
        if let Some(allowed) = &self.allowed {
            text.push_str(&format!(" (allowed: {allowed})"));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("; {hint}"));
        }
        text
    }
}

/// `<Kind>/<namespace>/<name>` of an object in JSON.
#[must_use]
pub fn object_id(object: &Value) -> String {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{}/{}/{}", text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_says_where_what_and_what_next() {
        let notice = Notice {
            file: "a.yaml".into(),
            line: 3,
            column: 5,
            severity: Severity::Error,
            object: Some("Gateway/default/a".into()),
            field: "spec.listeners[0].port".into(),
            message: "0 is not a port".into(),
            allowed: Some("1 to 65535".into()),
            hint: Some("write the port that clients use".into()),
        };
        assert_eq!(
            notice.line(),
            "a.yaml:3:5: error: Gateway/default/a: spec.listeners[0].port: 0 is not a port (allowed: 1 to 65535); \
             write the port that clients use"
        );
        assert_eq!(Notice { message: "m".into(), ..Notice::default() }.line(), "warning: m");
    }
}
