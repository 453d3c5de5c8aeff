//! What is known at one moment, shared with everyone who shows it. Made cheaply at each change, written out
//! as a [`Listing`] only when somebody asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use igw_crds::objects::{Kind, Object};
use igw_crds::snapshot::{Listener, Protocol, Snapshot};
use igw_crds::sync::{ListenerReport, Report};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::listing::{Listing, Notice, Source};

/// Objects, statuses and notices of one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Term of the control side; 0 offline.
    pub epoch: u64,
    /// Generation of the snapshot; 0 offline.
    pub generation: u64,
    /// Writes of single objects ([`crate::embedded::Engine::write`]) that it has taken in.
    pub n_writes: u64,
    /// Every listener is bound or has failed for good, and every object has its status.
    pub ready: bool,
    /// Errors and warnings.
    pub notices: Vec<Notice>,
    /// The objects in order of kind, namespace, name.
    pub shown: Vec<Arc<Shown>>,
    /// Where each listener answers, in words.
    pub listeners: Vec<String>,
    /// What the cluster has beside them; nothing elsewhere.
    pub surroundings: Arc<Surroundings>,
}

/// What a cluster has beside the objects of igw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Name of the cluster.
    pub cluster: String,
    /// Namespaces in which something is.
    pub namespaces: BTreeSet<String>,
    /// Services of users, by namespace and name.
    pub services: BTreeSet<(String, String)>,
}

/// One object with what is known of it.
#[derive(Debug)]
pub struct Shown {
    /// The object with its defaults.
    pub object: Arc<Object>,
    /// `<Kind>/<namespace>/<name>`.
    pub name: Arc<str>,
    /// What the ledger knows; nothing offline.
    pub record: Option<Record>,
    /// Its status, if its kind has one.
    pub status: Option<Arc<Value>>,
    /// Where it was read.
    pub source: Source,
    /// All of it as JSON, once somebody has asked for it.
    json: OnceLock<Box<RawValue>>,
}

/// What the ledger knows of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Identity.
    pub uid: Arc<str>,
    /// First sight.
    pub created: Timestamp,
    /// Counts changes of the content.
    pub generation: u64,
}

// === impl View ===

impl View {
    /// Everything as JSON.
    #[must_use]
    pub fn listing(&self) -> Listing {
        Listing {
            epoch: self.epoch,
            generation: self.generation,
            ready: self.ready,
            notices: self.notices.clone(),
            sources: self.shown.iter().map(|shown| (shown.name.to_string(), shown.source.clone())).collect(),
            objects: self.shown.iter().map(|shown| shown.to_json()).collect(),
        }
    }

    /// The bytes of [`View::listing`] in JSON. What did not change since the last time is not written anew.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Text<'a> {
            epoch: u64,
            generation: u64,
            ready: bool,
            notices: &'a [Notice],
            sources: BTreeMap<&'a str, &'a Source>,
            objects: Vec<&'a RawValue>,
        }
        let text = Text {
            epoch: self.epoch,
            generation: self.generation,
            ready: self.ready,
            notices: &self.notices,
            sources: self.shown.iter().map(|shown| (&*shown.name, &shown.source)).collect(),
            objects: self.shown.iter().map(|shown| shown.json()).collect(),
        };
        // Text and maps with string keys always encode.
        serde_json::to_vec(&text).unwrap_or_default()
    }

    /// What standard error says when everything is ready.
    #[must_use]
    pub fn announcement(&self) -> String {
        let n_kind = |kind: Kind| {
            let prefix = format!("{kind}/");
            self.shown.iter().filter(|shown| shown.name.starts_with(&prefix)).count()
        };
        let mut text = format!(
            "igw: ready: {} gateways, {} routes, {} warnings\n",
            n_kind(Kind::Gateway),
            Kind::ROUTES.into_iter().map(n_kind).sum::<usize>(),
            self.notices.len(),
        );
        for listener in &self.listeners {
            text.push_str(&format!("igw: {listener}\n"));
        }
        text
    }
}

// === impl Shown ===

impl Shown {
    /// An object with what is known of it.
    #[must_use]
    pub fn new(
        object: Arc<Object>,
        name: Arc<str>,
        record: Option<Record>,
        status: Option<Arc<Value>>,
        source: Source,
    ) -> Self {
        Self { object, name, record, status, source, json: OnceLock::new() }
    }

    /// Whether this is what [`Shown::new`] would make of the same object.
    #[must_use]
    pub fn is_same(
        &self,
        object: &Arc<Object>,
        record: Option<&Record>,
        status: Option<&Arc<Value>>,
        source: &Source,
    ) -> bool {
        let is_same_status = match (&self.status, status) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (None, None) => true,
            _ => false,
        };
        is_same_status
            && Arc::ptr_eq(&self.object, object)
            && self.record.as_ref() == record
            && self.source == *source
    }

    fn json(&self) -> &RawValue {
        // Trees of JSON always encode.
        self.json.get_or_init(|| to_raw_value(&self.to_json()).unwrap_or_default())
    }

    /// The object as the API server would show it. Secret values are left out.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = match self.object.to_value() {
            Value::Object(object) => object,
            _ => Map::new(),
        };
        if self.name.starts_with("Secret/") {
            redact(&mut object);
        }
        if let (Some(record), Some(Value::Object(metadata))) = (&self.record, object.get_mut("metadata")) {
            metadata.insert("uid".into(), (*record.uid).into());
            metadata.insert("generation".into(), record.generation.into());
            metadata.insert("creationTimestamp".into(), seconds(record.created).into());
        }
        match &self.status {
            Some(status) => object.insert("status".into(), (**status).clone()),
            None => object.remove("status"),
        };
        Value::Object(object)
    }
}

/// A moment as the Kubernetes API writes it: RFC 3339, whole seconds, UTC.
#[must_use]
pub fn seconds(moment: Timestamp) -> String {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment).to_string()
}

/// Where the listeners of a snapshot answer, in the order of the snapshot.
#[must_use]
pub fn listeners_in_words(snapshot: &Snapshot, report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for gateway in &snapshot.gateways {
        let owner = format!("{}/{}", gateway.namespace, gateway.name);
        for listener in &gateway.listeners {
            lines.push(match report_of(report, &owner, &listener.name) {
                Some(found) if !found.bound.is_empty() => {
                    format!("{} ({owner}, listener {})", url(listener, found), listener.name)
                }
                Some(ListenerReport { error: Some(error), .. }) => {
                    format!("not bound: {owner}, listener {}: {}", listener.name, error.message)
                }
                _ => format!("not bound yet: {owner}, listener {}", listener.name),
            });
        }
    }
    lines
}

/// Whether the proxy has said of every listener that it is bound or why it is not.
#[must_use]
pub fn is_every_listener_told(snapshot: &Snapshot, report: &Report) -> bool {
    snapshot.gateways.iter().all(|gateway| {
        let owner = format!("{}/{}", gateway.namespace, gateway.name);
        gateway.listeners.iter().all(|listener| {
            report_of(report, &owner, &listener.name)
                .is_some_and(|report| !report.bound.is_empty() || report.error.is_some())
        })
    })
}

fn report_of<'a>(report: &'a Report, gateway: &str, listener: &str) -> Option<&'a ListenerReport> {
    report.listeners.iter().find(|report| report.gateway == gateway && report.listener == listener)
}

fn url(listener: &Listener, report: &ListenerReport) -> String {
    let (scheme, usual, path) = match listener.protocol {
        Protocol::Https => ("https", 443, "/"),
        Protocol::Tcp => ("tcp", 0, ""),
        Protocol::Tls => ("tls", 0, ""),
        Protocol::Udp => ("udp", 0, ""),
        _ => ("http", 80, "/"),
    };
    let port = if listener.port == usual { String::new() } else { format!(":{}", listener.port) };
    if let Some(hostname) = listener.hostname.as_deref().filter(|hostname| !hostname.starts_with('*')) {
        return format!("{scheme}://{hostname}{port}{path}");
    }
    // An address of this machine that clients can use, IPv4 first.
    let address = report.bound.iter().min_by_key(|address| address.is_ipv6());
    let host = match address {
        Some(address) if address.ip().is_unspecified() && address.is_ipv6() => "[::1]".to_owned(),
        Some(address) if address.ip().is_unspecified() => "127.0.0.1".to_owned(),
        Some(address) if address.is_ipv6() => format!("[{}]", address.ip()),
        Some(address) => address.ip().to_string(),
        None => "127.0.0.1".to_owned(),
    };
    format!("{scheme}://{host}{port}{path}")
}

fn redact(secret: &mut Map<String, Value>) {
    for part in ["data", "stringData"] {
        if let Some(Value::Object(values)) = secret.get_mut(part) {
            values.values_mut().for_each(|value| *value = "".into());
        }
    }
}
