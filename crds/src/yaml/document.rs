//! Reads a file: documents, what is wrong with the others, and what is not ours.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_128;

use super::decode::{DecodeError, decode};
use super::diagnostic::{Diagnostic, Severity};
use super::fault::Fault;
use super::split::{Piece, split};
use super::suggest::nearest;
use super::tree::{self, Node, Position, Value};
use crate::limits;
use crate::objects::kind::LATER;
use crate::objects::{DEFAULT_NAMESPACE, Kind, Metadata, Object, ObjectKey, Spec};
use crate::validate::{self, Problem};

/// What a file says.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Valid objects in order.
    pub documents: Vec<Document>,
    /// Findings in order.
    pub diagnostics: Vec<Diagnostic>,
    /// Documents of kinds that are not ours.
    pub foreign: Vec<Foreign>,
    /// Number of documents that are errors, by what is known of their object.
    pub broken: Vec<Option<ObjectKey>>,
}

/// One valid object.
#[derive(Clone, Debug)]
pub struct Document {
    /// The object, with defaults.
    pub object: Arc<Object>,
    /// File.
    pub file: Arc<str>,
    /// First line of the document, from 1.
    pub line: u32,
    /// Of the document's text.
    pub digest: u128,
}

/// A document of a kind that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// First line of the document, from 1.
    pub line: u32,
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
}

/// Results by document text, so that an edit of one document parses one document.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    objects: HashMap<u128, Arc<Object>>,
    is_lenient: bool,
}

/// What one document is.
enum Found {
    Object(Arc<Object>),
    Foreign(Foreign),
    /// Only findings.
    Nothing,
}

/// What one document is, and what was found in it.
struct Outcome {
    found: Found,
    findings: Vec<Finding>,
    key: Option<ObjectKey>,
}

pub(super) struct Finding {
    severity: Severity,
    pub(super) fault: Fault,
    pub(super) at: Position,
    pub(super) field: String,
    /// Name of a field that the mapping at `at` must have and has not.
    pub(super) missing: Option<&'static str>,
    pub(super) message: String,
    pub(super) allowed: Option<String>,
    hint: Option<String>,
}

/// Reads a file.
#[must_use]
pub fn read(file: &str, text: &str) -> Reading {
    read_cached(file, text, &mut Cache::default())
}

/// Reads a file; documents that the cache knows are not parsed again.
#[must_use]
pub fn read_cached(file: &str, text: &str, cache: &mut Cache) -> Reading {
    read_in(DEFAULT_NAMESPACE, file, text, cache)
}

/// Reads a file whose objects are in `namespace` where they name none. One cache serves one namespace.
#[must_use]
pub fn read_in(namespace: &str, file: &str, text: &str, cache: &mut Cache) -> Reading {
    let file: Arc<str> = file.into();
    let mut reading = Reading::default();
    let refuse = |line: u32, message: String, hint: &str| Diagnostic {
        severity: Severity::Error,
        file: Arc::clone(&file),
        line,
        column: 1,
        object: None,
        field: String::new(),
        message,
        allowed: None,
        hint: Some(hint.to_owned()),
    };
    if text.len() > FILE_BYTES {
        let message = format!("the file has {} bytes, more than {FILE_BYTES}", text.len());
        reading.diagnostics.push(refuse(1, message, "split the file"));
        reading.broken.push(None);
        return reading;
    }
    let pieces = split(text);
    for (index, piece) in pieces.iter().enumerate() {
        if index >= DOCUMENTS_MAX {
            let message = format!("more than {DOCUMENTS_MAX} documents; the rest is not read");
            reading.diagnostics.push(refuse(piece.line + 1, message, "split the file"));
            reading.broken.push(None);
            break;
        }
        if piece.text.len() > DOCUMENT_BYTES {
            let message = format!("the document has {} bytes, more than {DOCUMENT_BYTES}", piece.text.len());
            reading.diagnostics.push(refuse(piece.line + 1, message, "no object may be larger"));
            reading.broken.push(None);
            continue;
        }
        let digest = xxh3_128(piece.text.as_bytes());
        let known = cache.objects.get(&digest).map(Arc::clone);
        let outcome = match known {
            Some(object) => Outcome { key: None, found: Found::Object(object), findings: Vec::new() },
            None => interpret(namespace, piece, cache.is_lenient),
        };
        let is_clean = outcome.findings.is_empty();
        let has_error = outcome.findings.iter().any(|finding| finding.severity == Severity::Error);
        reading.diagnostics.extend(outcome.findings.into_iter().map(|finding| Diagnostic {
            severity: finding.severity,
            file: Arc::clone(&file),
            line: finding.at.line,
            column: finding.at.column,
            object: outcome.key.clone(),
            field: finding.field,
            message: finding.message,
            allowed: finding.allowed,
            hint: finding.hint,
        }));
        match outcome.found {
            Found::Object(object) if !has_error => {
                if is_clean {
                    cache.objects.insert(digest, Arc::clone(&object));
                }
                let line = first_line(piece);
                reading.documents.push(Document { object, file: Arc::clone(&file), line, digest });
            }
            Found::Foreign(foreign) => reading.foreign.push(foreign),
            Found::Object(_) | Found::Nothing if has_error => reading.broken.push(outcome.key),
            Found::Object(_) | Found::Nothing => {}
        }
    }
    reading
}

// === impl Cache ===

impl Cache {
    /// For what is stored already: fields that nobody here knows are warnings, not errors. A newer igw may have written
    /// them.
    #[must_use]
    pub fn lenient() -> Self {
        Self { is_lenient: true, ..Self::default() }
    }

    /// Forgets documents that are not among `digests`.
    pub fn retain(&mut self, digests: &std::collections::HashSet<u128>) {
        self.objects.retain(|digest, _| digests.contains(digest));
    }
}

fn first_line(piece: &Piece<'_>) -> u32 {
    let n_blank = piece
        .text
        .lines()
        .take_while(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
        .count();
    piece.line + u32::try_from(n_blank).unwrap_or(0) + 1
}

fn interpret(home: &str, piece: &Piece<'_>, is_lenient: bool) -> Outcome {
    let root = match tree::parse(piece.text, piece.line) {
        Ok(root) => root,
        Err(error) => {
            // Without a position the document itself is meant.
            let at =
                if error.at.line == 0 { Position { line: first_line(piece), column: 1 } } else { error.at };
            let finding = Finding {
                severity: Severity::Error,
                fault: Fault::Invalid,
                missing: None,
                at,
                field: String::new(),
                message: error.message,
                allowed: None,
                hint: error.hint,
            };
            return Outcome { found: Found::Nothing, findings: vec![finding], key: None };
        }
    };
    let mut findings = Vec::new();
    let kind = match kind_of(&root, piece) {
        Ok(kind) => kind,
        Err(Refusal::Foreign(foreign)) => {
            return Outcome { found: Found::Foreign(foreign), findings, key: None };
        }
        Err(Refusal::Finding(finding)) => {
            return Outcome { found: Found::Nothing, findings: vec![*finding], key: None };
        }
    };
    let metadata = match root.get("metadata") {
        None => Err(missing("metadata", root.at)),
        Some(entry) => {
            decode::<Metadata>(&entry.node).map_err(|error| finding_of(&error, "metadata", entry.node.at))
        }
    };
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(finding) => {
            findings.push(finding);
            return Outcome { found: Found::Nothing, findings, key: guess_key(home, kind, &root) };
        }
    };
    let Some(name) = metadata.name.clone() else {
        findings.push(missing("metadata.name", root.locate("metadata")));
        return Outcome { found: Found::Nothing, findings, key: None };
    };
    let namespace = metadata.namespace.as_ref().map_or(home, |namespace| namespace.as_str());
    let key = ObjectKey::new(kind, namespace, name.as_str());
    if !kind.is_namespaced() && metadata.namespace.is_some() {
        findings.push(Finding {
            severity: Severity::Error,
            fault: Fault::Invalid,
            missing: None,
            at: root.locate("metadata.namespace"),
            field: "metadata.namespace".to_owned(),
            message: format!("{kind} belongs to the whole cluster and has no namespace"),
            allowed: None,
            hint: Some("remove `namespace`".to_owned()),
        });
    }
    let mut root = root;
    let spec = loop {
        match decode_spec(kind, &root) {
            Ok(spec) => break spec,
            Err(finding) if is_lenient && finding.fault == Fault::UnknownField && root.remove(finding.at) => {
                let hint = "it is ignored; correct it, or use an igw that knows it".to_owned();
                findings.push(Finding { severity: Severity::Warning, hint: Some(hint), ..*finding });
            }
            Err(finding) => {
                findings.push(*finding);
                return Outcome { found: Found::Nothing, findings, key: Some(key) };
            }
        }
    };
    let object = Object { key: key.clone(), metadata, spec };
    let mut problems = validate::validate(&object);
    // What is told already is not told again as the limit or the rule of the Gateway API that it breaks.
    let mut lines: HashSet<u32> = problems.iter().map(|problem| root.locate(&problem.place).line).collect();
    let examined = limits::examine(kind, &root.to_json(), None);
    for problem in examined.into_iter().flat_map(|examined| examined.problems) {
        let line = root.locate(&problem.place).line;
        if problems.is_empty() || lines.insert(line) {
            lines.insert(line);
            problems.push(problem);
        }
    }
    findings.extend(problems.into_iter().map(|problem| finding_of_problem(problem, &root)));
    Outcome { found: Found::Object(Arc::new(object)), findings, key: Some(key) }
}

enum Refusal {
    Foreign(Foreign),
    Finding(Box<Finding>),
}

/// The kind by `apiVersion` and `kind`.
fn kind_of(root: &Node, piece: &Piece<'_>) -> Result<Kind, Refusal> {
    let refuse =
        |at: Position, field: &str, message: String, allowed: Option<String>, hint: Option<String>| {
            let field = field.to_owned();
            Refusal::Finding(Box::new(Finding {
                severity: Severity::Error,
                fault: Fault::Invalid,
                missing: None,
                at,
                field,
                message,
                allowed,
                hint,
            }))
        };
    if !matches!(root.value, Value::Mapping(_)) {
        let hint = Some("begin with `apiVersion:`, `kind:` and `metadata:`".to_owned());
        return Err(refuse(root.at, "", "a document must be a mapping".to_owned(), None, hint));
    }
    let word = |name: &str| match root.get(name) {
        None => Err(Refusal::Finding(Box::new(missing(name, root.at)))),
        Some(entry) => match entry.node.text() {
            Some(text) if !text.is_empty() => Ok((text.to_owned(), entry.node.at)),
            _ => Err(refuse(entry.node.at, name, format!("`{name}` must be text"), None, None)),
        },
    };
    let (api_version, version_at) = word("apiVersion")?;
    let (name, name_at) = word("kind")?;
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
    if let Some(kind) = Kind::find(group, &name) {
        if kind.versions().contains(&version) {
            return Ok(kind);
        }
        let allowed =
            kind.versions().iter().map(|version| format!("{group}/{version}")).collect::<Vec<_>>().join(", ");
        let hint = Some(format!("write `{}`", kind.api_version()));
        return Err(refuse(
            version_at,
            "apiVersion",
            format!("unknown version `{api_version}` of {kind}"),
            Some(allowed),
            hint,
        ));
    }
    if LATER.contains(&(group, name.as_str())) {
        return Err(Refusal::Finding(Box::new(Finding {
            severity: Severity::Warning,
            fault: Fault::Invalid,
            missing: None,
            at: name_at,
            field: "kind".to_owned(),
            message: format!("kind {name} is not served by this version and is left out"),
            allowed: None,
            hint: None,
        })));
    }
    let of_group: Vec<&str> = Kind::ALL
        .iter()
        .filter(|kind| kind.group() == group && !group.is_empty())
        .map(|kind| kind.as_str())
        .collect();
    if !of_group.is_empty() {
        let hint = nearest(&name, of_group.iter().copied()).map(|name| format!("did you mean `{name}`?"));
        return Err(refuse(
            name_at,
            "kind",
            format!("unknown kind `{name}` of {group}"),
            Some(of_group.join(", ")),
            hint,
        ));
    }
    // A group that is almost ours is a slip of the pen, not somebody else's.
    let groups = ["gateway.networking.k8s.io", "igw.opensvc.com"];
    if let Some(meant) = nearest(group, groups).filter(|_| Kind::ALL.iter().any(|kind| kind.as_str() == name))
    {
        let hint = Some(format!("did you mean `{meant}`?"));
        return Err(refuse(
            version_at,
            "apiVersion",
            format!("unknown group `{group}`"),
            Some(groups.join(", ")),
            hint,
        ));
    }
    Err(Refusal::Foreign(Foreign { line: first_line(piece), api_version, kind: name }))
}

pub(super) fn decode_spec(kind: Kind, root: &Node) -> Result<Spec, Box<Finding>> {
    match kind {
        Kind::Backend => spec(root).map(Spec::Backend),
        Kind::BackendPolicy => spec(root).map(Box::new).map(Spec::BackendPolicy),
        Kind::BackendTlsPolicy => spec(root).map(Box::new).map(Spec::BackendTlsPolicy),
        Kind::ClientPolicy => spec(root).map(Box::new).map(Spec::ClientPolicy),
        Kind::Certificate => spec(root).map(Spec::Certificate),
        Kind::CertificateIssuer => spec(root).map(Box::new).map(Spec::CertificateIssuer),
        Kind::Gateway => spec(root).map(Box::new).map(Spec::Gateway),
        Kind::GatewayClass => spec(root).map(Spec::GatewayClass),
        Kind::GatewayConfig => spec(root).map(Box::new).map(Spec::GatewayConfig),
        Kind::GrpcRoute => spec(root).map(Box::new).map(Spec::GrpcRoute),
        Kind::HttpRoute => spec(root).map(Box::new).map(Spec::HttpRoute),
        Kind::ListenerSet => spec(root).map(Box::new).map(Spec::ListenerSet),
        Kind::ReferenceGrant => spec(root).map(Spec::ReferenceGrant),
        Kind::Resolver => spec(root).map(Spec::Resolver),
        Kind::TcpRoute => spec(root).map(Box::new).map(Spec::TcpRoute),
        Kind::TlsRoute => spec(root).map(Box::new).map(Spec::TlsRoute),
        Kind::UdpRoute => spec(root).map(Box::new).map(Spec::UdpRoute),
        Kind::XTelemetryPolicy => spec(root).map(Box::new).map(Spec::XTelemetryPolicy),
        Kind::ConfigMap => content(root).map(Spec::ConfigMap),
        Kind::Namespace => content(root).map(Spec::Namespace),
        Kind::Secret => content(root).map(Spec::Secret),
    }
}

fn spec<T: DeserializeOwned>(root: &Node) -> Result<T, Box<Finding>> {
    const FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
    if let Value::Mapping(entries) = &root.value
        && let Some(entry) = entries
            .iter()
            .find(|entry| !matches!(entry.node.value, Value::Hidden) && !FIELDS.contains(&entry.key.as_str()))
    {
        return Err(Box::new(Finding {
            severity: Severity::Error,
            fault: Fault::UnknownField,
            missing: None,
            at: entry.at,
            field: entry.key.clone(),
            message: format!("unknown field `{}`", entry.key),
            allowed: Some(FIELDS.join(", ")),
            hint: nearest(&entry.key, FIELDS).map(|field| format!("did you mean `{field}`?")),
        }));
    }
    let Some(entry) = root.get("spec") else { return Err(Box::new(missing("spec", root.at))) };
    decode(&entry.node).map_err(|error| Box::new(finding_of(&error, "spec", entry.node.at)))
}

/// Kinds of the core group have their content beside the metadata.
fn content<T: DeserializeOwned>(root: &Node) -> Result<T, Box<Finding>> {
    let mut own = root.clone();
    if let Value::Mapping(entries) = &mut own.value {
        entries.retain(|entry| !matches!(entry.key.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
    }
    decode(&own).map_err(|error| Box::new(finding_of(&error, "", root.at)))
}

/// What a broken document seems to be: good enough to keep the last good version of it.
fn guess_key(home: &str, kind: Kind, root: &Node) -> Option<ObjectKey> {
    let metadata = &root.get("metadata")?.node;
    let name = metadata.get("name")?.node.text()?;
    let namespace = metadata.get("namespace").and_then(|entry| entry.node.text()).unwrap_or(home);
    Some(ObjectKey::new(kind, namespace, name))
}

fn missing(field: &str, at: Position) -> Finding {
    let name = field.rsplit('.').next().unwrap_or(field);
    Finding {
        severity: Severity::Error,
        fault: Fault::Missing,
        missing: None,
        at,
        field: field.to_owned(),
        message: format!("field `{name}` is missing"),
        allowed: None,
        hint: Some(format!("add `{name}`")),
    }
}

fn finding_of(error: &DecodeError, root: &str, at: Position) -> Finding {
    Finding {
        severity: Severity::Error,
        fault: error.fault,
        missing: error.missing,
        at: error.at.unwrap_or(at),
        field: error.field(root),
        message: error.message.to_string(),
        allowed: error.allowed.clone(),
        hint: error.hint.clone(),
    }
}

fn finding_of_problem(problem: Problem, root: &Node) -> Finding {
    Finding {
        severity: Severity::Error,
        fault: problem.fault,
        missing: None,
        at: root.locate(&problem.place),
        field: problem.field,
        message: problem.message,
        allowed: problem.allowed,
        hint: problem.hint,
    }
}

/// Largest file.
const FILE_BYTES: usize = 16 * 1024 * 1024;
/// Largest document.
const DOCUMENT_BYTES: usize = 900_000;
const DOCUMENTS_MAX: usize = 20_000;
